"""Who does what in which order: everything that must not buy twice, lose a job or lose a result."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from jobs import accounts, errors, lifecycle, tables
from jobs import database as databases
from jobs.lanes import Lane
from jobs.states import Phase, State
from scheduler import duties
from tests import factory, rows
from tests.integration import rehearsal, stepped
from tests.integration.stepped import (
    buy_elsewhere,
    cancel,
    collect,
    list_as,
    poll,
    reconcile,
    show_nothing,
    submit,
)
from tests.predictions import shown
from worker import clock
from worker.api.replies import Page


def sold(sandbox):
    """How many predictions the sandbox sold."""
    return len(sandbox.ledger())


def status_of(sandbox, attempt):
    """What the API says of an attempt's prediction."""
    with sandbox.client() as anybody:
        return anybody.get(f"/predictions/{attempt.prediction_id}").json()["status"]


def show_only(ids):
    """Show the list as it was when it had these."""

    async def show(ask, created_after, cursor):
        page = await ask(created_after, cursor)
        return dataclasses.replace(page, predictions=tuple(p for p in page.predictions if p.id in ids))

    return show


async def show_without_images(ask, created_after, cursor):
    page = await ask(created_after, cursor)
    hidden = [dataclasses.replace(p, input={**p.input, "image": None}) for p in page.predictions]
    return dataclasses.replace(page, predictions=tuple(hidden))


async def know_no_list(*_):
    raise errors.Unsupported("404")


async def break_off(ask, created_after, _):
    """Show the first page as the beginning of more, which cannot be had."""
    if break_off.pages:
        raise errors.Unanswered("503")
    break_off.pages += 1
    return Page((await ask(created_after)).predictions, "cursor=more")


async def show_an_hour_behind(ask, created_after, cursor):
    """Show the list of an API that goes by a clock an hour behind ours."""
    hour = timedelta(hours=1)
    page = await ask(created_after + hour, cursor)
    older = [dataclasses.replace(p, created_at=p.created_at - hour) for p in page.predictions]
    return Page(tuple(older), page.cursor, page.date - hour)


async def show_without_end(ask, created_after, cursor):
    """Show what there is, and then for ever what somebody else bought a quarter of an hour ago."""
    if cursor is None:
        return dataclasses.replace(await ask(created_after), cursor="cursor=more")
    then = datetime.now(UTC) - timedelta(minutes=15)
    return Page((shown("another's", {"seed": 1}, created_at=then),), "cursor=more")


# Nothing goes wrong


def test_every_job_is_bought_once_and_becomes_an_image(night, sandbox):
    night.make(5)
    assert night.finish() == {"succeeded": 5}
    assert sold(sandbox) == 5
    files = rows.rows(night.database, tables.outputs)
    assert all((night.settings.output / file.path).stat().st_size == file.bytes for file in files)


# Sends in doubt


@pytest.mark.parametrize("fault", ["exec_and_drop", "exec_and_reset", "502_after", "bad_json", "no_id"])
def test_a_send_whose_answer_was_lost_is_found_and_not_bought_again(night, sandbox, fault):
    sandbox.faults(**{fault: 1})
    ids = night.make(3)
    night.tick(duties.release)
    sandbox.heal()
    assert night.states() == {"unconfirmed": 3}
    assert night.finish() == {"succeeded": 3}
    assert sold(sandbox) == 3
    assert [night.phases(i) for i in ids] == [["succeeded"]] * 3


@pytest.mark.parametrize("fault", ["502_before", "refuse", "html200"])
def test_a_send_that_never_arrived_is_bought_after_two_looks(night, sandbox, fault):
    sandbox.faults(**{fault: 1})
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.passes(stepped.SETTLED)
    assert night.tick(duties.reconcile) == [Lane.RECONCILE]
    assert night.phases(job_id) == ["unconfirmed"]
    night.passes(31)
    night.tick(duties.reconcile)
    assert night.phases(job_id) == ["absent"]
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_a_send_by_a_connection_that_had_ended_unnoticed_is_in_doubt_and_is_bought_later(night, sandbox):
    sandbox.faults(stale=1)
    first, second = night.make(2)
    night.release()
    submit([first])
    submit([second])
    assert night.states() == {"running": 1, "unconfirmed": 1}
    sandbox.heal()
    assert night.finish() == {"succeeded": 2}
    assert night.phases(second) == ["absent", "succeeded"]
    assert sold(sandbox) == 2


def test_nothing_is_concluded_before_a_send_has_settled(night, sandbox):
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    night.passes(90)  # what a loaded machine adds is no settling
    for _ in range(3):
        reconcile([job_id])
    assert night.attempts(job_id)[0].absent_at is None


def test_a_send_settles_from_the_moment_it_left_and_not_from_when_it_queued_for_a_line(begin_night, sandbox):
    # Long enough for twenty connections to be opened on a loaded machine.
    night = begin_night(sandbox, post_deadline="5s", creates_per_minute="unlimited")
    sandbox.faults(exec_and_timeout=1)
    ids = night.make(21)
    submit(night.release())
    sent = sorted(night.attempts(i)[0].sent_at for i in ids)
    assert sent[-1] - sent[0] > timedelta(seconds=4)


def test_a_reconcile_message_that_comes_twice_is_one_look(night, sandbox):
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    night.passes(stepped.SETTLED)
    [message] = night.told(duties.reconcile)
    threads = [threading.Thread(target=reconcile, args=(message.payload,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reconcile(message.payload)
    assert night.phases(job_id) == ["unconfirmed"]


def test_a_list_that_breaks_off_proves_no_absence_but_what_it_showed_is_adopted(night, sandbox):
    sandbox.faults(exec_and_drop=1)
    [shown] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    sandbox.faults(**{"502_before": 1})
    [hidden] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    for _ in range(3):
        break_off.pages = 0
        list_as(night, break_off)
        night.settles()
    assert (night.phases(shown), night.phases(hidden)) == (["running"], ["unconfirmed"])
    assert night.attempts(hidden)[0].absent_at is None


def test_a_list_that_lacks_what_we_know_it_must_have_proves_no_absence(night, sandbox):
    """So it looks when our clock is fast: the list begins after the send."""
    night.make()
    night.finish()
    sandbox.faults(exec_and_drop=1)
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    honest = night.here
    list_as(night, show_nothing)
    night.settles()
    night.settles()
    assert night.phases(job_id) == ["unconfirmed"]
    night.work_as(honest)
    assert night.finish() == {"succeeded": 2}
    assert sold(sandbox) == 2


def test_a_list_that_stopped_before_the_send_proves_no_absence_however_long_ago_it_settled(night, sandbox):
    """What was bought earlier is shown, so it is ours; what was bought later is not, so it is behind."""
    night.make()
    night.finish()
    stopped = [entry["id"] for entry in sandbox.ledger()]
    sandbox.faults(exec_and_drop=1)
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.passes(1)
    night.make()
    night.tick(duties.release)
    night.passes(400)
    honest = night.here
    list_as(night, show_only(stopped))
    for _ in range(4):
        night.settles()
    assert night.attempts(job_id)[0].absent_at is None
    night.work_as(honest)
    assert night.finish() == {"succeeded": 3}
    assert sold(sandbox) == 3


def test_a_clock_of_ours_that_is_fast_proves_no_absence_even_when_nothing_is_known_yet(night, sandbox):
    sandbox.faults(exec_and_drop=1)
    night.make()
    night.tick(duties.release)
    sandbox.heal()
    list_as(night, show_an_hour_behind)
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def lost_before_the_clock_was_set_back(night, sandbox):
    """A send that arrived, dated by a clock that was ahead until the next run began; it has settled since."""
    sandbox.faults(exec_and_drop=1)
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.passes(-3600)
    rows.write(night.database, lifecycle.take_over, timedelta(seconds=stepped.SETTLED))
    night.passes(stepped.SETTLED)
    return job_id


def show_as_bought(ago):
    """Show the list of an API as if all in it had been bought so long ago."""

    async def show(ask, created_after, cursor):
        page = await ask(created_after + ago, cursor)
        older = [dataclasses.replace(p, created_at=p.created_at - ago) for p in page.predictions]
        return dataclasses.replace(page, predictions=tuple(older))

    return show


def test_a_send_from_before_the_clock_was_set_back_is_looked_for_where_it_may_be(night, sandbox):
    job_id = lost_before_the_clock_was_set_back(night, sandbox)
    list_as(night, show_as_bought(timedelta(minutes=20)))
    night.tick(duties.reconcile)
    assert night.phases(job_id) == ["running"]
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_a_send_from_before_the_clock_was_set_back_is_never_taken_for_absent(night, sandbox):
    job_id = lost_before_the_clock_was_set_back(night, sandbox)
    honest = night.here
    list_as(night, show_nothing)
    night.tick(duties.reconcile)
    job = night.job(job_id)
    assert (job.state, job.error_class) == ("failed", "unconfirmed")
    night.work_as(honest)
    night.passes(301)
    night.tick(duties.sweep)
    assert night.phases(job_id) == ["running"]
    assert sold(sandbox) == 1


def test_a_case_that_the_list_does_not_go_back_to_holds_up_no_other(begin_night, sandbox):
    night = begin_night(sandbox, reads_per_minute="unlimited")  # or there is a pause after each of many pages
    sandbox.faults(**{"502_before": 1})
    [old] = night.make()
    night.tick(duties.release)
    night.passes(2000)
    [new] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    list_as(night, show_without_end)
    night.settles()
    assert (night.phases(old), night.phases(new)) == (["unconfirmed"], ["absent"])
    night.passes(1000)
    night.settles()
    job = night.job(old)
    assert (job.state, job.error_class) == ("failed", "unconfirmed")


async def refuse(*_, **__):
    raise errors.Unanswered("503")


def doubtful_since(night, sandbox, seconds):
    """Make a send that never arrived doubtful for so long."""
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.passes(seconds)
    return job_id


def test_a_list_that_only_ever_fails_ends_the_wait_when_the_api_answers_otherwise(night, sandbox):
    job_id = doubtful_since(night, sandbox, 3001)
    list_as(night, refuse)
    night.settles()
    assert night.phases(job_id) == ["unconfirmed"]
    night.passes(6000)
    night.settles()
    assert night.job(job_id).error_class == "unconfirmed"


def test_an_api_that_is_away_is_waited_for_however_long(night, sandbox, monkeypatch):
    job_id = doubtful_since(night, sandbox, 9001)
    with monkeypatch.context() as away:
        for call in ("list", "get"):
            away.setattr(night.here.api, call, refuse)
        night.settles()
    assert night.phases(job_id) == ["unconfirmed"]
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_a_list_without_inputs_proves_no_absence(begin_night, start_sandbox):
    sandbox = start_sandbox(lifetime=0.001)
    night = begin_night(sandbox)
    sandbox.faults(exec_and_drop=1)
    [job_id] = night.make()
    night.tick(duties.release)
    night.settles()
    night.settles()
    assert night.phases(job_id) == ["unconfirmed"]
    night.sent_before(job_id, 3001)
    night.settles()
    job = night.job(job_id)
    assert (job.state, job.error_class) == ("failed", "unconfirmed")
    assert sold(sandbox) == 1


def test_after_fifty_minutes_a_list_with_nothing_strange_still_proves_an_absence(night, sandbox):
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.passes(7200)
    assert night.finish() == {"succeeded": 1}
    assert night.phases(job_id) == ["absent", "succeeded"]
    assert sold(sandbox) == 1


def test_after_fifty_minutes_a_prediction_that_nobody_knows_may_be_ours(night, sandbox):
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    buy_elsewhere(sandbox, {"prompt": "by hand, on the web page", "seed": 1})
    night.sent_before(job_id, 3001)
    night.settles()
    job = night.job(job_id)
    assert (job.state, job.error_class) == ("failed", "unconfirmed")
    rows.write(night.database, lifecycle.retry, [job_id])
    assert night.finish() == {"succeeded": 1}


def test_another_accounts_list_proves_no_absence(begin_night, sandbox):
    night = begin_night(sandbox)
    sandbox.faults(exec_and_drop=1)
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    later = begin_night(sandbox, api_token="another-token")
    later.settles()
    later.settles()
    assert night.phases(job_id) == ["unconfirmed"]
    night.sent_before(job_id, 3001)
    later.settles()
    assert night.job(job_id).error_class == "unconfirmed"
    assert sold(sandbox) == 1


def test_a_second_prediction_of_one_send_is_an_orphan_and_is_cancelled(begin_night, start_sandbox):
    sandbox = start_sandbox(latency=600, creates_per_minute=0)
    night = begin_night(sandbox)
    sandbox.faults(exec_and_drop=1)
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    [line] = sandbox.ledger()
    buy_elsewhere(sandbox, line["input"])  # as a gateway does that posts twice
    night.passes(stepped.SETTLED)
    night.tick(duties.reconcile)
    assert sorted(night.phases(job_id)) == ["orphan", "running"]
    ours, orphan = sorted(night.attempts(job_id), key=lambda one: one.phase, reverse=True)
    assert ours.prediction_id == line["id"]
    assert night.tick(duties.cancel) == [Lane.CANCEL]
    assert night.told(duties.cancel) == []
    assert status_of(sandbox, orphan) == "canceled"
    assert status_of(sandbox, ours) in {"starting", "processing"}
    assert "orphaned" in night.events()


def test_another_clients_prediction_is_left_alone(night, sandbox):
    buy_elsewhere(sandbox, {"prompt": "a fox", "seed": 7})
    night.make(input={"prompt": "a fox", "seed": 7}, own_seed=False)
    night.finish()
    sandbox.faults(**{"502_before": 1})
    night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.settles()
    assert Phase.ORPHAN not in [one.phase for one in rows.rows(night.database, tables.attempts)]
    assert night.told(duties.cancel) == []


# Stale workers and late ids


def test_a_worker_that_slept_before_its_send_sends_nothing_any_more(night, sandbox, monkeypatch):
    [job_id] = night.make()
    stale = stepped.Stalled(night, night.release(), "before")
    night.passes(61)
    night.tick(duties.reconcile)
    assert night.job(job_id).state == State.UNCONFIRMED
    later = clock.ticks() + 61
    with monkeypatch.context() as awake:
        awake.setattr(clock, "ticks", lambda: later)
        stale.go_on()
    assert sold(sandbox) == 0
    night.settles()
    assert night.phases(job_id) == ["absent"]
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_a_stale_workers_id_is_taken_although_its_lease_has_ended(night, sandbox):
    [job_id] = night.make()
    stale = stepped.Stalled(night, night.release(), "after")
    night.passes(61)
    night.tick(duties.reconcile)
    assert night.job(job_id).state == State.UNCONFIRMED
    stale.go_on()
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_a_stale_workers_id_is_no_news_when_the_list_told_it_first(night, sandbox):
    [job_id] = night.make()
    stale = stepped.Stalled(night, night.release(), "after")
    night.passes(61)
    night.tick(duties.reconcile)
    night.settles()
    assert night.phases(job_id) == ["running"]
    stale.go_on()
    assert night.phases(job_id) == ["running"]
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def given_back(night, job_id):
    """Buy with a worker that stalls with the id in hand, until its send is taken for absent."""
    stale = stepped.Stalled(night, night.release(), "after")
    honest = night.here
    list_as(night, show_nothing)
    night.passes(61)
    night.tick(duties.reconcile)
    night.settles()
    night.work_as(honest)
    assert night.phases(job_id) == ["absent"]
    return stale


def test_an_id_that_comes_when_the_job_is_wanted_again_saves_the_second_purchase(night, sandbox):
    [job_id] = night.make()
    stale = given_back(night, job_id)
    queued = night.release()
    stale.go_on()
    submit(queued)
    assert night.phases(job_id) == ["running"]
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_an_id_that_comes_after_the_second_purchase_is_an_orphan_and_is_cancelled(begin_night, start_sandbox):
    sandbox = start_sandbox(latency=600, creates_per_minute=0)
    night = begin_night(sandbox)
    [job_id] = night.make()
    stale = given_back(night, job_id)
    night.tick(duties.release)
    stale.go_on()
    assert night.phases(job_id) == ["orphan", "running"]
    orphan, _ = night.attempts(job_id)
    assert night.tick(duties.cancel) == [Lane.CANCEL]
    assert status_of(sandbox, orphan) == "canceled"
    assert "orphaned" in night.events()


def test_an_id_that_comes_after_the_job_was_cancelled_is_an_orphan(night, sandbox):
    [job_id] = night.make()
    stale = given_back(night, job_id)
    rows.write(night.database, lifecycle.cancel, [job_id])
    stale.go_on()
    assert night.phases(job_id) == ["orphan"]
    assert night.states() == {"cancelled": 1}
    assert sold(sandbox) == 1


def taken_over_without(night, job_id):
    """Undo a job's purchase in the database, as a server does that takes over without the last commits."""
    with night.database.write() as tx:
        tx.execute(sa.delete(tables.attempts).where(tables.attempts.c.job_id == job_id))
    back = {
        "state": State.PENDING,
        "attempt_id": None,
        "account_id": None,
        "due_at": rows.now(night.database),
    }
    rows.change(night.database, tables.jobs, job_id, **back)


def test_the_ids_of_a_slice_are_kept_although_the_database_has_forgotten_one_of_its_intents(night, sandbox):
    known, forgotten, loaded_just_before = night.make(3)
    stale = stepped.Stalled(night, night.release(), "after")
    taken_over_without(night, forgotten)
    taken_over_without(night, loaded_just_before)
    with night.database.write() as tx:
        tx.execute(sa.delete(tables.jobs).where(tables.jobs.c.id == loaded_just_before))
    stale.go_on()
    assert (night.phases(known), night.phases(forgotten)) == (["running"], ["running"])
    assert night.release() == []
    list_as(night, know_no_list)
    assert night.finish() == {"succeeded": 2}
    assert sold(sandbox) == 3


def test_the_id_of_a_forgotten_intent_that_was_bought_again_is_an_orphan(night, sandbox):
    [job_id] = night.make()
    stale = stepped.Stalled(night, night.release(), "after")
    taken_over_without(night, job_id)
    night.tick(duties.release)
    stale.go_on()
    assert sorted(night.phases(job_id)) == ["orphan", "running"]
    assert sold(sandbox) == 2


@pytest.mark.parametrize("first", ["429", "fail_transient"])
def test_a_walk_takes_no_prediction_from_a_send_whose_answer_is_still_on_its_way(night, sandbox, first):
    """An earlier attempt of the job explains it as well, but whoever sent it will tell its id in a moment."""
    sandbox.faults(**{"502_before": 1})
    [doubtful] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    sandbox.faults(**{first: 1})
    [job_id] = night.make()
    night.tick(duties.release)
    night.passes(2)
    night.tick(duties.poll)
    assert night.states() == {"pending": 1, "unconfirmed": 1}
    sandbox.heal()
    night.passes(stepped.SETTLED)
    stale = stepped.Stalled(night, night.release(), "after")
    reconcile([doubtful])
    stale.go_on()
    assert [one.phase for one in night.attempts(job_id)][1:] == ["running"]
    assert night.finish() == {"succeeded": 2}
    assert Phase.ORPHAN not in [one.phase for one in rows.rows(night.database, tables.attempts)]
    assert sold(sandbox) == (3 if first == "fail_transient" else 2)


def test_a_send_in_doubt_takes_no_prediction_of_a_send_that_said_more(night, sandbox):
    sandbox.faults(**{"502_before": 1})
    [less] = night.make(input={"prompt": "a fox", "seed": 7}, own_seed=False)
    night.tick(duties.release)
    sandbox.heal()
    night.passes(stepped.SETTLED)
    [more] = night.make(input={"prompt": "a fox", "seed": 7, "guidance_scale": 9}, own_seed=False)
    stale = stepped.Stalled(night, night.release(), "after")
    reconcile([less])
    stale.go_on()
    assert (night.phases(less), night.phases(more)) == (["unconfirmed"], ["running"])


def test_a_failed_attempt_before_a_lost_one_is_not_taken_for_it(night, sandbox):
    sandbox.faults(fail_transient=1)
    [job_id] = night.make()
    night.until(lambda: night.phases(job_id) == ["failed"])
    sandbox.heal()
    sandbox.faults(exec_and_drop=1)
    night.until(lambda: night.job(job_id).state == State.UNCONFIRMED)
    sandbox.heal()
    assert night.finish() == {"succeeded": 1}
    first, second = sandbox.ledger()
    assert [one.prediction_id for one in night.attempts(job_id)] == [first["id"], second["id"]]
    assert night.phases(job_id) == ["failed", "succeeded"]


def test_twins_are_in_doubt_one_after_the_other_and_each_has_its_own(night, sandbox):
    sandbox.faults(exec_and_drop=1)
    twins = night.make(2, input={"prompt": "a fox", "seed": 7}, own_seed=False)
    night.tick(duties.release)
    night.tick(duties.release)
    assert night.states() == {"pending": 1, "unconfirmed": 1}
    assert sold(sandbox) == 1
    assert night.finish() == {"succeeded": 2}
    assert sold(sandbox) == 2
    assert len({one.prediction_id for i in twins for one in night.attempts(i)}) == 2


def twins_of_other_images(night, count):
    sent = {"prompt": "a fox", "seed": 7}
    return [
        night.make(input=sent, own_seed=False, image=f"https://images.example/{number}.png")[0]
        for number in range(count)
    ]


def images_bought(night, sandbox, ids):
    """The image of each job, and that of the prediction it has."""
    bought = {entry["id"]: entry["input"]["image"] for entry in sandbox.ledger()}
    return [(night.job(i).image, bought[night.attempts(i)[-1].prediction_id]) for i in ids]


def test_twins_of_other_images_are_in_doubt_together_once_the_list_has_shown_images(night, sandbox):
    first, *twins = twins_of_other_images(night, 4)
    night.tick(duties.release)
    assert night.states() == {"pending": 3, "running": 1}
    night.passes(6)
    night.tick(duties.sweep)
    assert night.account.list_shows_images is True
    sandbox.faults(exec_and_drop=1)
    night.passes(5)
    night.tick(duties.release)
    sandbox.heal()
    assert night.states()["unconfirmed"] == 3
    assert night.finish() == {"succeeded": 4}
    assert sold(sandbox) == 4
    assert all(wanted == got for wanted, got in images_bought(night, sandbox, [first, *twins]))


def test_twins_in_doubt_at_a_list_that_ceased_to_show_images_get_no_other_ones_picture(night, sandbox):
    first, *twins = twins_of_other_images(night, 3)
    rows.change(night.database, tables.accounts, night.here.account.id, list_shows_images=True)
    sandbox.faults(exec_and_drop=1)
    night.tick(duties.release)
    sandbox.heal()
    assert night.states() == {"unconfirmed": 3}
    list_as(night, show_without_images)
    night.settles()
    night.make(input={"prompt": "a hare", "seed": 8}, own_seed=False)
    night.tick(duties.release)
    night.settles()
    night.settles()
    assert night.account.list_shows_images is False
    assert [night.phases(i) for i in (first, *twins)] == [["unconfirmed"]] * 3
    assert all(night.attempts(i)[0].absent_at is None for i in twins)
    assert sold(sandbox) == 4


def test_a_persons_seed_that_another_client_sent_too_gets_no_other_images_picture(night, sandbox):
    [job_id] = twins_of_other_images(night, 1)
    rows.change(night.database, tables.accounts, night.here.account.id, list_shows_images=True)
    sandbox.faults(**{"502_before": 1})
    night.tick(duties.release)
    sandbox.heal()
    buy_elsewhere(sandbox, {"prompt": "a fox", "seed": 7})
    night.passes(5)
    night.tick(duties.poll)
    night.settles()
    assert night.phases(job_id) == ["unconfirmed"], (
        "the other client's may yet be ours, and is not taken for it"
    )
    assert sold(sandbox) == 1


CHILD = """
import sys
from jobs import database, settings
from worker import app, context
from worker.tasks.submit import submit

given = settings.load()
[here] = context.start(given, database.Database(given.database_url))
app.hold(here)
submit([int(sys.argv[1])], here.account.id)
"""


def test_a_worker_process_that_was_stopped_and_continued_finds_itself_fenced_out(
    night, sandbox, database_url
):
    sandbox.faults(exec_and_timeout=1)
    [job_id] = night.make()
    night.release()
    environment = {
        "PATH": os.environ["PATH"],
        "OVERNIGHT_API_URL": sandbox.url,
        "OVERNIGHT_API_TOKEN": stepped.TOKEN,
        "OVERNIGHT_DATABASE_URL": database_url,
        "OVERNIGHT_OUTPUT": str(night.settings.output),
        "OVERNIGHT_POST_DEADLINE": "4s",
    }
    command = [sys.executable, "-c", CHILD, str(job_id)]
    with subprocess.Popen(command, cwd=rehearsal.ROOT, env=environment) as child:
        try:
            rehearsal.eventually(lambda: sold(sandbox))
            child.send_signal(signal.SIGSTOP)
            sandbox.heal()
            night.passes(61)
            night.settles()
            assert night.finish() == {"succeeded": 1}
            before = rows.everything(night.database)
            child.send_signal(signal.SIGCONT)
            assert child.wait(30) == 0
        finally:
            child.kill()
    assert rows.everything(night.database) == before
    assert sold(sandbox) == 1


# Messages


@pytest.mark.parametrize("at_once", [False, True])
def test_messages_that_come_twice_do_everything_once(night, sandbox, at_once):
    ids = night.make(8)
    submit([])  # a process compares the database with the list once; what comes meanwhile is held back

    def twice(task, payload):
        if not at_once:
            task(payload)
            task(payload)
            return
        threads = [threading.Thread(target=task, args=(payload,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    twice(submit, night.release())
    assert sold(sandbox) == 8
    night.passes(2)
    twice(poll, ids)
    assert night.states() == {"collecting": 8}
    twice(collect, ids)
    assert night.states() == {"succeeded": 8}
    files = [path for path in night.settings.output.rglob("*") if path.is_file()]
    assert len(files) == len(rows.rows(night.database, tables.outputs)) == 8
    before = rows.everything(night.database)
    for task in (submit, poll, collect, reconcile):
        task(ids)
    assert rows.everything(night.database) == before
    assert sold(sandbox) == 8


def test_a_message_of_yesterday_about_a_batch_that_was_paused_buys_nothing(night, sandbox):
    night.make(3)
    queued = night.release()
    rows.change(night.database, tables.batches, night.batch.id, state="paused", pause_reason="person")
    submit(queued)
    assert sold(sandbox) == 0
    night.passes(61)
    assert night.release() == []
    assert night.states() == {"pending": 3}


def test_a_poll_that_is_throttled_waits_and_slows_no_purchase(begin_night, start_sandbox):
    sandbox = start_sandbox(reads_per_minute=60, latency=600)
    night = begin_night(sandbox, creates_per_minute="unlimited")
    ids = night.make(40)
    submit(night.release())
    poll(ids)
    assert night.account.not_before > night.account.throttled_at
    assert (night.account.rate, night.account.reads_tokens) == (None, 0.0)


def test_predictions_of_another_api_are_not_this_workers(begin_night, start_sandbox):
    sandboxes = [start_sandbox(), start_sandbox()]
    night = begin_night(sandboxes[0])
    [running] = night.make()
    night.tick(duties.release)
    [collecting] = night.make()
    night.tick(duties.release)
    night.passes(2)
    poll([collecting])
    elsewhere = begin_night(sandboxes[1], api_token="another-token")
    elsewhere.passes(7200)
    before = rows.everything(night.database)
    poll([running, collecting])
    collect([running, collecting])
    cancel([(one.id, one.prediction_id) for one in night.attempts(running)])
    assert rows.everything(night.database) == before


def test_predictions_of_another_account_are_not_taken_for_gone_while_they_may_be_there(begin_night, sandbox):
    night = begin_night(sandbox)
    [job_id] = night.make()
    night.tick(duties.release)
    other = begin_night(sandbox, api_token="another-token")
    other.passes(1900)
    poll([job_id])
    assert night.states() == {"running": 1}
    other.passes(3600)
    other.tick(duties.cancel)
    poll([job_id])
    assert night.states() == {"running": 1}
    other.passes(1800)
    poll([job_id])
    assert night.job(job_id).error_class == "expired"


# Stops


def test_at_the_first_429_the_rest_of_the_slice_stays_here_and_costs_no_attempt(begin_night, start_sandbox):
    sandbox = start_sandbox(creates_per_minute=60)
    night = begin_night(sandbox, creates_per_minute="unlimited")
    ids = night.make(45)
    submit(night.release())
    bought = sold(sandbox)
    assert 0 < bought < 30
    assert sandbox.stats()["requests"]["create"] < 45
    assert night.states() == {"pending": 45 - bought, "running": bought}
    assert {night.job(i).attempts for i in ids} == {0, 1}
    assert night.account.not_before > night.account.throttled_at
    night.passes(5)
    assert 0 < len(night.release()) < 45 - bought, "at the rate that was found"


def test_what_another_buyer_with_the_same_token_uses_up_is_not_released(begin_night, start_sandbox):
    sandbox = start_sandbox(creates_per_minute=600)
    night = begin_night(sandbox, creates_per_minute="6000")
    night.make(30)
    first, *_ = night.release()
    rows.change(night.database, tables.accounts, night.account.id, creates_tokens=100.0)
    buy_elsewhere(sandbox, {"prompt": "theirs"})
    submit([first])
    assert night.account.creates_tokens < 60  # what the sandbox sells at once


def test_the_first_purchases_use_what_the_api_s_bucket_holds_and_meet_no_429(begin_night, start_sandbox):
    sandbox = start_sandbox(creates_per_minute=600)
    night = begin_night(sandbox, creates_per_minute="600")
    night.make(100)
    night.passes(1)
    for _ in range(4):
        submit(night.release())
    assert sold(sandbox) >= 50, "the bucket of one second alone gives ten"
    assert sandbox.stats()["throttled"] == 0


def test_a_slower_quota_after_a_429_still_buys_everything_once(begin_night, start_sandbox):
    sandbox = start_sandbox(creates_per_minute=300)
    night = begin_night(sandbox, creates_per_minute="6000")
    night.make(45)
    assert night.finish() == {"succeeded": 45}
    assert sold(sandbox) == 45
    assert sandbox.stats()["throttled"] > 0


@pytest.mark.parametrize(("fault", "reason"), [("401_after", "token"), ("402_after", "credit")])
def test_a_blocked_account_pauses_the_batch_and_a_probe_brings_it_back(night, sandbox, fault, reason):
    ids = night.make(5)
    submit(night.release()[:2])
    bought = sold(sandbox)  # both, unless the machine is so busy that one could not be sent in time
    sandbox.faults(**{fault: bought})
    submit(ids)
    assert night.batch_state == ("paused", "blocked")
    assert night.account.breaker_reason.startswith(f"{reason}: ")
    assert night.states() == {"pending": 5 - bought, "running": bought}
    assert night.release() == []
    if reason == "credit":
        night.until(lambda: night.states() == {"pending": 5 - bought, "succeeded": bought})
        night.passes(31)
        assert len(night.release()) == 1  # the canary
        assert night.release() == []
    sandbox.heal()
    with night.database.write() as tx:
        accounts.probe_now(tx, databases.now(tx), night.settings.api.identity)
    night.passes(61)
    assert night.finish() == {"succeeded": 5}
    assert night.batch_state == ("open", None)
    assert night.events() == ["paused", "recovered"]
    assert sold(sandbox) == 5


def test_while_the_account_is_blocked_only_a_canary_is_sent(night, sandbox):
    sandbox.faults(**{"402_after": 0})
    night.make(40)
    night.tick(duties.release)
    sent = sandbox.stats()["requests"]["create"]
    for _ in range(10):
        night.passes(31)
        night.tick()
    assert sent < sandbox.stats()["requests"]["create"] <= sent + 11
    assert night.states() == {"pending": 40}


def test_in_an_outage_nothing_fails_and_one_canary_at_a_time_looks_out(night, sandbox):
    sandbox.options["port"] = int(sandbox.url.rsplit(":", 1)[1].split("/")[0])
    night.make(40)
    submit(night.release()[:4])
    sandbox.stop(signal.SIGKILL)
    night.until(lambda: night.account.breaker == "outage")
    assert night.batch_state == ("open", None)
    assert night.states() == {"pending": 36, "running": 4}
    assert night.told(duties.poll) == night.release() == []
    for _ in range(3):
        night.passes(31)
        handed = [(m.lane, len(m.payload)) for duty in stepped.DUTIES for m in night.told(duty)]
        assert handed == [(Lane.POLL, 1)]
        night.passes(61)
    assert set(night.states()) == {"pending", "running"}
    assert all(job.attempts <= 1 for job in night.jobs())
    sandbox.start()
    assert night.finish() == {"succeeded": 40}
    assert night.events() == ["outage", "recovered"]
    assert sold(sandbox) == 40


def test_a_canary_is_a_wanted_job_when_nothing_is_in_flight(night, sandbox):
    night.make(40)
    night.release()
    sandbox.stop(signal.SIGKILL)
    night.passes(61)
    night.until(lambda: night.account.breaker == "outage")
    night.passes(31)
    assert len(night.release()) == 1
    assert night.release() == []
    assert all(job.attempts == job.absences == 0 for job in night.jobs())


@pytest.mark.parametrize(("breaker", "absences"), [("closed", 1), ("outage", 0), ("blocked", 0)])
def test_a_canary_that_is_lost_is_not_held_against_its_job(night, sandbox, breaker, absences):
    sandbox.faults(**{"502_before": 1})
    [job_id] = stepped.started(night)
    sandbox.heal()
    stop = {"breaker_reason": "for a test", "failing": "creates"} if breaker != "closed" else {}
    rows.change(night.database, tables.accounts, night.account.id, breaker=breaker, **stop)
    night.settles()
    assert (night.phases(job_id), night.job(job_id).absences) == (["absent"], absences)


# Results


def test_a_dead_url_is_asked_for_again(night, sandbox):
    [job_id] = night.make()
    night.tick(duties.release)
    night.passes(2)
    night.tick(duties.poll)
    [output] = rows.rows(night.database, tables.outputs)
    dead = output.url.rsplit("/", 2)[0] + "/moved/out-0.png"
    rows.change(night.database, tables.outputs, output.id, url=dead)
    collect([job_id])
    assert night.states() == {"succeeded": 1}
    assert sold(sandbox) == 1


@pytest.mark.parametrize("first", ["a URL", "the image itself"])
def test_an_image_that_the_api_lists_before_it_has_arrived_is_waited_for(night, sandbox, monkeypatch, first):
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    if first == "the image itself":
        [output] = rows.rows(night.database, tables.outputs)
        rows.change(night.database, tables.outputs, output.id, url=None)
    with monkeypatch.context() as early:
        early.setattr(night.here.downloads, "fetch", not_there)
        collect([job_id])
    assert night.states() == {"collecting": 1}
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_one_look_after_hours_asleep_gives_no_image_up(night, monkeypatch):
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    night.passes(7200)
    with monkeypatch.context() as early:
        early.setattr(night.here.downloads, "fetch", not_there)
        for misses in range(1, 5):
            collect([job_id])
            assert (night.states(), night.attempts(job_id)[-1].misses) == ({"collecting": 1}, misses)
        collect([job_id])
    assert night.job(job_id).error_class == "expired"


def tries(night, job_id, until):
    """Fetch whenever it is due, until the image is so many seconds old; return its age at each try."""
    ages = []
    while (job := night.job(job_id)).state == State.COLLECTING:
        age = (job.due_at - night.attempts(job_id)[0].produced_at).total_seconds()
        if age > until:
            break
        night.passes(max(0, (job.due_at - rows.now(night.database)).total_seconds()))
        night.tick(duties.collect)
        ages.append(age)
    return ages


def test_an_image_that_its_host_denies_is_tried_until_its_end_while_the_api_lists_it(night, sandbox):
    sandbox.faults(**{"expire_url:listed": 1})
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    tries(night, job_id, until=54 * 60)
    sandbox.heal()
    tries(night, job_id, until=56 * 60)
    assert night.states() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_a_host_that_denies_its_images_is_asked_rarely_and_once_at_their_end(night, sandbox):
    sandbox.faults(**{"expire_url:listed": 1})
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    ages = tries(night, job_id, until=3600)
    assert night.job(job_id).error_class == "expired"
    assert ages[-1] == pytest.approx(55 * 60, abs=5)
    assert len(ages) < 40


def test_what_the_api_says_is_deleted_is_given_up_at_once(night, sandbox):
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    sandbox.faults(**{"expire_url:removed": 1})
    night.passes(2)
    night.tick(duties.collect)
    assert night.job(job_id).error_class == "expired"


async def stall(*_, **__):
    await asyncio.sleep(3600)


async def break_down(*_, **__):
    raise RuntimeError("a fault of our own")


@pytest.mark.parametrize("hindrance", [stall, break_down])
def test_an_image_that_never_comes_is_given_up_at_its_end_and_not_fetched_for_ever(
    begin_night, sandbox, monkeypatch, hindrance
):
    night = begin_night(sandbox, time_scale="0.02")
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    night.passes(7200)
    monkeypatch.setattr(night.here.downloads, "fetch", hindrance)
    for misses in range(1, 5):
        collect([job_id])
        assert (night.states(), night.attempts(job_id)[-1].misses) == ({"collecting": 1}, misses)
    collect([job_id])
    assert night.job(job_id).error_class == "download-failed"


def test_one_answer_without_an_image_is_no_proof_that_it_was_deleted(night, monkeypatch):
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    ask = night.here.api.get

    async def half_written(prediction_id):
        return dataclasses.replace(await ask(prediction_id), output=())

    with monkeypatch.context() as cached:
        cached.setattr(night.here.downloads, "fetch", not_there)
        cached.setattr(night.here.api, "get", half_written)
        collect([job_id])
    assert night.finish() == {"succeeded": 1}


@pytest.mark.parametrize("gone_403", [0, 1])
def test_an_output_that_is_dead_under_every_url_is_lost_and_not_bought_again_unasked(
    night, sandbox, gone_403
):
    sandbox.faults(**{"expire_url:listed": 1, "gone_403": gone_403})
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    night.passes(3600)
    assert night.finish() == {"failed": 1}
    assert night.job(job_id).error_class == "expired"
    assert sold(sandbox) == 1
    sandbox.heal()
    rows.write(night.database, lifecycle.retry, [job_id])
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 2


@pytest.mark.parametrize("fault", ["truncate", "no_length_cut"])
def test_a_download_that_breaks_off_is_tried_again_without_a_purchase(night, sandbox, fault):
    sandbox.faults(**{fault: 1})
    [job_id] = night.make()
    night.until(lambda: night.job(job_id).state == State.COLLECTING)
    for _ in range(3):
        night.passes(16)
        night.tick(duties.collect)
    assert night.states() == {"collecting": 1}
    assert not [path for path in night.settings.output.rglob("*") if path.is_file()]
    sandbox.heal()
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


def test_images_that_come_in_the_answer_are_stored_as_they_came(night, sandbox):
    sandbox.faults(inline=1)
    [job_id] = night.make(input={"prompt": "a fox", "seed": 7, "num_outputs": 2})
    night.until(lambda: night.job(job_id).state == State.COLLECTING)
    asked = sandbox.stats()["requests"].get("get", 0)
    assert night.finish() == {"succeeded": 1}
    assert "output" not in sandbox.stats()["requests"]
    assert sandbox.stats()["requests"]["get"] == asked + 1, "one answer holds both"
    [line] = sandbox.ledger()
    host = sandbox.url.removesuffix("/v1")
    pictures = [rehearsal.fetch(f"{host}/output/{line['key']}/out-{index}.png").content for index in range(2)]
    stored = rows.rows(night.database, tables.outputs)
    assert [(night.settings.output / output.path).read_bytes() for output in stored] == pictures


def test_an_image_that_an_earlier_attempt_left_behind_is_in_nobodys_way(night):
    """The same input makes the same bytes: their file is there already, and belongs to the attempt that failed."""
    [job_id] = night.make(input={"prompt": "a fox", "seed": 7, "num_outputs": 2})
    night.until(lambda: night.job(job_id).state == State.COLLECTING)
    _, second = rows.rows(night.database, tables.outputs)
    rows.change(night.database, tables.outputs, second.id, url="http://127.0.0.1:9/out-1.png")
    list_as(night, show_nothing)
    night.here.api.get = forget
    collect([job_id])
    rows.write(
        night.database, lifecycle.failed, [lifecycle.Failure(rows.fence(night.job(job_id)), "expired", "")]
    )
    night.work_as(dataclasses.replace(night.here, api=night.here.api._api))
    rows.write(night.database, lifecycle.retry, [job_id])
    assert night.finish() == {"succeeded": 1}
    paths = [output.path for output in rows.rows(night.database, tables.outputs) if output.path]
    assert len(set(paths)) == len(paths) == 3


def test_an_attempt_that_makes_the_same_picture_again_has_a_file_of_its_own(night):
    """The first could not have its usual name, and took the one that the second would have had."""
    [job_id] = night.make(input={"prompt": "a fox", "seed": 7})
    job = night.job(job_id)
    with night.database.read() as tx:
        folder = tx.execute(sa.select(tables.batches.c.folder)).scalar_one()
    strangers = night.settings.output / folder / f"{job.stem}-0.png"
    strangers.parent.mkdir(parents=True)
    strangers.write_bytes(b"a stranger's")
    assert night.finish() == {"succeeded": 1}
    rows.write(night.database, lifecycle.retry, [job_id])
    assert night.finish() == {"succeeded": 1}
    paths = [output.path for output in rows.rows(night.database, tables.outputs)]
    assert paths == [f"{folder}/{job.stem}.2-0.png", f"{folder}/{job.stem}.2.2-0.png"]
    assert strangers.read_bytes() == b"a stranger's"


async def not_there(*_, **__):
    raise errors.Gone("404")


async def forget(_):
    raise errors.Missing("404")


# Cancelling


def test_a_job_cancelled_while_the_api_said_wait_is_over_and_never_bought(begin_night, start_sandbox):
    sandbox = start_sandbox(faults={"429": 1})
    night = begin_night(sandbox)
    [job_id] = night.make()
    stale = stepped.Stalled(night, night.release(), "before")
    rows.write(night.database, lifecycle.ask_to_cancel, [job_id])
    stale.go_on()
    night.passes(61)
    night.tick()
    assert night.states() == {"cancelled": 1}
    assert sold(sandbox) == 0


def test_a_running_job_that_a_person_cancels_is_cancelled_at_the_api_first(begin_night, start_sandbox):
    sandbox = start_sandbox(latency=600)
    night = begin_night(sandbox)
    [job_id] = night.make()
    stale = stepped.Stalled(night, night.release(), "after")
    rows.write(night.database, lifecycle.ask_to_cancel, [job_id])
    assert night.told(duties.cancel) == []  # it has no id yet
    stale.go_on()
    assert night.finish() == {"cancelled": 1}
    assert night.phases(job_id) == ["cancelled"]


def test_a_job_cancelled_while_its_poll_was_on_the_way_is_cancelled_and_no_failure(
    begin_night, start_sandbox, monkeypatch
):
    sandbox = start_sandbox(latency=600)
    night = begin_night(sandbox)
    [job_id] = night.make()
    night.tick(duties.release)
    ask = night.here.api.get

    async def cancel_meanwhile(prediction_id):
        await asyncio.to_thread(rows.write, night.database, lifecycle.ask_to_cancel, [job_id])
        await night.here.api.cancel(prediction_id)
        return await ask(prediction_id)

    monkeypatch.setattr(night.here.api, "get", cancel_meanwhile)
    poll([job_id])
    assert night.states() == {"cancelled": 1}


def test_what_succeeded_before_it_could_be_cancelled_is_kept(night, sandbox):
    [job_id] = night.make()
    night.tick(duties.release)
    rows.write(night.database, lifecycle.ask_to_cancel, [job_id])
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox) == 1


# An API without a list


def one_purchase(night):
    """Buy once, at an API whose list nobody has asked for yet."""
    night.make()
    night.finish()
    rows.change(night.database, tables.accounts, night.account.id, can_list=None, list_echoes=None)


def learn_that_there_is_no_list(night):
    list_as(night, know_no_list)
    for _ in range(2):
        night.passes(stepped.SETTLED)
        night.tick(duties.reconcile)


def test_without_a_list_a_send_in_doubt_is_bought_once_more_and_then_held(night, sandbox):
    one_purchase(night)
    sandbox.faults(**{"502_after": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    learn_that_there_is_no_list(night)
    assert night.account.can_list is False
    night.passes(61)
    night.tick(duties.reconcile)
    [attempt] = night.attempts(job_id)
    assert (attempt.phase, attempt.possibly_paid) == ("absent", True)
    night.tick(duties.release)
    night.passes(stepped.SETTLED)
    night.tick(duties.reconcile)
    job = night.job(job_id)
    assert (job.state, job.error_class) == ("failed", "unconfirmed")
    assert sold(sandbox) == 3


def test_without_a_list_who_prefers_to_hold_buys_nothing_twice(begin_night, sandbox):
    night = begin_night(sandbox, when_unconfirmed="hold")
    one_purchase(night)
    sandbox.faults(**{"502_after": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    learn_that_there_is_no_list(night)
    night.passes(61)
    night.tick(duties.reconcile)
    assert night.job(job_id).error_class == "unconfirmed"
    assert sold(sandbox) == 2


def test_two_missing_lists_in_quick_succession_prove_nothing(night, sandbox):
    one_purchase(night)
    sandbox.faults(**{"502_after": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    list_as(night, know_no_list)
    night.passes(stepped.SETTLED)
    for _ in range(3):
        reconcile([job_id])
    assert night.account.can_list is None
    assert night.phases(job_id) == ["unconfirmed"]


def test_a_missing_list_proves_nothing_while_predictions_cannot_be_asked_for_either(night, sandbox):
    one_purchase(night)
    sandbox.faults(**{"502_after": 1, "get_5xx": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    learn_that_there_is_no_list(night)
    assert night.account.can_list is None
    assert night.phases(job_id) == ["unconfirmed"]


def test_a_list_that_was_seen_once_is_not_taken_for_missing(night, sandbox):
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    night.passes(stepped.SETTLED)
    night.tick(duties.reconcile)
    learn_that_there_is_no_list(night)
    assert night.account.can_list is True
    assert night.phases(job_id) == ["unconfirmed"]


def test_jobs_of_two_batches_share_an_account_and_get_in_each_others_way_in_nothing(night, sandbox):
    second = factory.make_batch(night.database, api=night.settings.api.identity)
    night.make(10)
    for _ in range(10):
        factory.make_job(night.database, second, version=stepped.VERSION)
    assert night.finish() == {"succeeded": 20}
    assert sold(sandbox) == 20


# A database that breaks transactions off

SERIALIZE = """
CREATE SEQUENCE touched;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF mod(nextval('touched'), 13) = 0 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""


def test_units_of_work_that_the_server_breaks_off_fail_no_job_and_buy_nothing_twice(
    postgres_database, sandbox, tmp_path
):
    night = stepped.Night(postgres_database, sandbox.url, tmp_path / "outputs")
    ids = night.make(6)
    with postgres_database.write() as tx:
        tx.exec_driver_sql(SERIALIZE)
        tx.exec_driver_sql("ALTER TABLE jobs DISABLE TRIGGER refuse")
    for duty, wait in ((duties.release, 2), (duties.poll, 0), (duties.collect, 0)):
        refusing(postgres_database, "ENABLE")
        night.tick(duty)
        refusing(postgres_database, "DISABLE")
        night.passes(wait)
    assert night.states() == {"succeeded": len(ids)}
    assert sold(sandbox) == len(ids)
    with postgres_database.read() as tx:
        assert tx.scalar(sa.text("SELECT last_value FROM touched")) > 13
    night.close()


def refusing(database, word):
    with database.write() as tx:
        tx.exec_driver_sql(f"ALTER TABLE jobs {word} TRIGGER refuse")
