"""Polls by the list: a page for a hundred questions, and what is done when the list does not tell the truth."""

import dataclasses
import math
from datetime import timedelta

import pytest

from jobs import errors, tables
from scheduler import duties
from tests import rows
from tests.integration import stepped
from worker import foresight
from worker.api.replies import Page
from worker.lookup import glance

MINUTE = 60


class Counted:
    """An API client that counts its reads, and may have another list."""

    def __init__(self, api, show=None):
        self._api = api
        self._show = show
        self.pages = self.questions = 0

    def __getattr__(self, name):
        return getattr(self._api, name)

    async def list(self, *args, **named):
        self.pages += 1
        return await (self._show or self._api.list)(*args, **named)

    async def get(self, *args):
        self.questions += 1
        return await self._api.get(*args)


@pytest.fixture
def night(begin_night, sandbox):
    night = begin_night(sandbox, creates_per_minute="unlimited")
    night.make()
    night.finish()
    night.passes(6 * MINUTE)
    night.tick(duties.sweep)  # it learns that there is a list
    assert night.account.can_list
    return night


def bought(night, count):
    ids = night.make(count)
    night.tick(duties.release)
    return ids


def looks(night, show=None):
    """Poll once, as with this list; return how many pages and how many predictions were asked for."""
    api = Counted(night.here.api, show)
    before = night.here
    night.work_as(dataclasses.replace(before, api=api))
    night.passes(1)  # a beat of what is looked at together
    night.tick(duties.poll)
    night.work_as(before)
    return api.pages, api.questions


def make_due(night, ids, seconds):
    at = rows.now(night.database) + timedelta(seconds=seconds)
    for job_id in ids:
        rows.change(night.database, tables.jobs, job_id, due_at=at)


async def break_off(*_, **__):
    raise errors.Unanswered("503")


async def show_nothing(*_, **__):
    return Page((), None)


def states(night, ids):
    return [night.job(job_id).state for job_id in ids]


def test_one_page_ends_all_that_has_ended(night):
    ids = bought(night, 40)
    night.passes(5)
    assert looks(night) == (1, 0)
    assert states(night, ids) == ["collecting"] * 40


def test_a_look_that_finds_an_end_says_that_a_place_in_flight_is_free(night):
    told = []
    night.work_as(dataclasses.replace(night.here, freed=lambda: told.append("freed")))
    night.sandbox.faults(stuck=1)
    stuck = bought(night, 2)
    assert sum(looks(night)) == 1
    assert states(night, stuck) == ["running"] * 2
    assert not told
    night.sandbox.faults(stuck=0)
    bought(night, 1)
    looks(night)
    assert told


@pytest.mark.parametrize("pages", [-(10**9), -math.inf, 10**9, math.nan])
def test_no_number_of_pages_in_a_message_empties_the_bucket_of_reads(night, pages):
    ids = bought(night, 3)
    rows.change(night.database, tables.accounts, night.account.id, reads_tokens=50)
    stepped.poll(ids, pages)
    assert night.account.reads_tokens > 40


def test_a_page_that_is_read_ends_what_was_not_due_yet(night):
    due, early = bought(night, 2), bought(night, 3)
    make_due(night, due, -60)
    make_due(night, early, 60)
    assert looks(night) == (1, 0)
    assert states(night, early) == ["collecting"] * 3


@pytest.mark.parametrize(
    ("fault", "stripped", "ended"),
    [({}, {"output": ()}, "collecting"), ({"nsfw": 1}, {"error": None}, "failed")],
    ids=["no output", "no error"],
)
def test_an_entry_that_ends_without_saying_how_is_no_answer(night, fault, stripped, ended):
    """Else a list of excerpts would fail paid images as none, and buy again what can only fail again."""
    night.sandbox.faults(**fault)
    ids, api = bought(night, 3), night.here.api

    async def excerpts(*args, **named):
        page = await api.list(*args, **named)
        short = tuple(dataclasses.replace(p, **stripped) if p.final else p for p in page.predictions)
        return dataclasses.replace(page, predictions=short)

    night.passes(5)
    assert looks(night, excerpts) == (1, 3)
    assert states(night, ids) == [ended] * 3
    assert {night.job(job_id).error_class for job_id in ids} == {None if ended == "collecting" else "nsfw"}
    assert night.account.glance_at is not None  # it is left aside for a while


def in_doubt(night):
    """Buy one of which the answer is lost, and others; return its id."""
    night.sandbox.faults(**{"502_after": 1})
    [job_id] = bought(night, 1)
    night.sandbox.faults(**{"502_after": 0})
    assert night.job(job_id).state == "unconfirmed"
    buy_others(night)
    return job_id


def buy_others(night):
    """Buy one as a probe, since a loss is a doubt in the API, and then more."""
    bought(night, 1)
    bought(night, 3)
    night.passes(5)


def test_a_send_in_doubt_that_a_page_shows_is_adopted_at_once(night):
    job_id, sold = in_doubt(night), len(night.sandbox.ledger())
    assert looks(night)[0] == 1
    assert (night.job(job_id).state, night.phases(job_id)) == ("running", ["running"])
    assert night.finish() == {"succeeded": 6}
    assert len(night.sandbox.ledger()) == sold


def test_what_is_dead_is_left_to_the_look_up_that_sees_all(night):
    job_id, api = in_doubt(night), night.here.api

    async def dead(*args, **named):
        page = await api.list(*args, **named)
        return Page(tuple(dataclasses.replace(p, status="failed") for p in page.predictions), page.cursor)

    assert looks(night, dead)[0] == 1
    assert night.job(job_id).state == "unconfirmed"


def test_a_job_that_was_sent_before_waits_until_both_sends_would_be_shown(night):
    night.sandbox.faults(**{"502_before": 1})
    [job_id] = bought(night, 1)
    night.settles()
    assert night.phases(job_id) == ["absent"]
    night.sandbox.faults(**{"502_before": 0, "502_after": 1})
    night.tick(duties.release)
    night.sandbox.faults(**{"502_after": 0})
    buy_others(night)
    assert looks(night)[0] == 1
    assert night.phases(job_id) == ["absent", "unconfirmed"]
    night.settles()
    assert night.phases(job_id) == ["absent", "running"]


@pytest.mark.parametrize(("pages", "each"), [(1, 5), (2, 2)])
def test_the_oldest_that_runs_stands_for_all_that_one_page_shows(night, monkeypatch, pages, each):
    seen, ids, api = [], bought(night, 5), night.here.api

    def next_look(_self, _tx, _now, _version, _age, among):
        seen.append(among)
        return timedelta(minutes=1)

    async def running(created_after=None, cursor=None, **named):
        page = await api.list(created_after, **named)
        *newer, an_earlier_one = page.predictions
        some = [*(dataclasses.replace(p, status="processing") for p in newer), an_earlier_one]
        if pages == 1:
            return dataclasses.replace(page, predictions=tuple(some))
        shown, following = (some[2:], None) if cursor else (some[:2], "cursor=2")
        return dataclasses.replace(page, predictions=tuple(shown), cursor=following)

    night.passes(5)
    make_due(night, ids[:-2], 60)
    make_due(night, ids[-2:], -60)
    if pages == 2:
        make_due(night, ids[:1], -60)
    monkeypatch.setattr(foresight.Foresight, "next_look", next_look)
    assert looks(night, running) == (pages, 0)
    assert max(seen) == each
    assert seen.count(1) == len(seen) - 1


def test_one_prediction_is_asked_for_by_its_id(night):
    [job_id] = bought(night, 1)
    night.passes(5)
    assert looks(night) == (0, 1)
    assert night.job(job_id).state == "collecting"


def test_what_the_list_does_not_show_is_asked_for(night):
    ids, api = bought(night, 5), night.here.api

    async def without_the_first(*args, **named):
        page = await api.list(*args, **named)
        hidden = {night.attempts(job_id)[0].prediction_id for job_id in ids[:1]}
        return dataclasses.replace(page, predictions=tuple(p for p in page.predictions if p.id not in hidden))

    night.passes(5)
    assert looks(night, without_the_first) == (1, 1)
    assert states(night, ids) == ["collecting"] * 5
    assert night.account.glance_at is None


def test_a_list_that_shows_little_of_ours_is_left_aside_for_a_while(night):
    ids = bought(night, 5)

    night.passes(5)
    assert looks(night, show_nothing) == (1, 5)
    assert states(night, ids) == ["collecting"] * 5
    bought(night, 3)
    night.passes(5)
    assert looks(night) == (0, 3)
    bought(night, 3)
    night.passes(6 * MINUTE)
    assert looks(night) == (1, 0)


def test_a_list_that_fails_alone_is_left_aside_and_its_predictions_are_asked_for(night):
    ids = bought(night, 5)

    night.passes(5)
    assert looks(night, break_off) == (1, 1), "one question tells whether it is the list or the API"
    night.passes(30)
    assert looks(night) == (0, 4)
    assert states(night, ids) == ["collecting"] * 5
    assert night.account.breaker == "closed"


def test_a_list_that_fails_with_everything_else_is_not_to_blame(night):
    bought(night, 5)

    night.passes(5)
    api = Counted(night.here.api, break_off)
    api.get = break_off
    night.work_as(dataclasses.replace(night.here, api=api))
    night.tick(duties.poll)
    assert night.account.glance_at is None
    assert night.account.failures == 2


def test_a_list_that_shows_for_ever_what_once_was_is_found_out(night, monkeypatch):
    monkeypatch.setattr(glance, "_PROVEN_EVERY", 1)
    monkeypatch.setattr(glance, "_STALE", timedelta())
    ids, api = bought(night, 5), night.here.api

    async def as_it_was(*args, **named):
        page = await api.list(*args, **named)
        running = tuple(dataclasses.replace(p, status="processing") for p in page.predictions)
        return dataclasses.replace(page, predictions=running)

    night.passes(20)
    assert looks(night, as_it_was) == (1, 1)
    assert sorted(states(night, ids)) == ["collecting", *["running"] * 4]
    night.passes(30)
    assert looks(night, as_it_was) == (0, 4)
    assert states(night, ids) == ["collecting"] * 5


@pytest.mark.parametrize(
    "doubt",
    [
        {"failures": 5, "failing": "reads"},
        {"breaker": "outage", "breaker_reason": "for a test", "failing": "reads"},
    ],
)
def test_a_message_that_is_older_than_a_doubt_costs_one_question_more(night, doubt):
    ids = bought(night, 40)
    night.passes(5)
    [message] = night.told(duties.poll)
    api = Counted(night.here.api)
    rows.change(night.database, tables.accounts, night.here.account.id, **doubt)
    night.work_as(dataclasses.replace(night.here, api=api))
    stepped.TASKS[message.lane](*message.args)
    assert (api.pages, api.questions) == (1, 1)
    assert states(night, ids) == ["collecting"] * 40
