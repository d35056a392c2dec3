"""When a prediction is looked at: by how long its version's predictions ran of late."""

from datetime import timedelta

import pytest

from jobs import polling, tables
from jobs.settings.times import Times
from jobs.states import State
from jobs.worklists import runs
from tests import factory, rows
from worker.foresight import Foresight

NEW = timedelta()
SLOW, FAST = "a-slow-model", "a-fast-model"


@pytest.fixture
def account(database):
    return factory.make_account(database)


@pytest.fixture
def batch(database, account):  # noqa: ARG001  a batch needs an account that buys for it
    return factory.make_batch(database)


def ran(database, batch, version, *durations):
    """Let predictions of a version have run for so many seconds each."""
    for seconds in durations:
        job = factory.make_job(database, batch, state=State.SUCCEEDED, version=version)
        begun = rows.now(database) - timedelta(minutes=5)
        rows.change(
            database, tables.attempts, job.attempt_id,
            accepted_at=begun, produced_at=begun + timedelta(seconds=seconds),
        )  # fmt: skip


def hinted(database, account, seconds_ago):
    at = rows.now(database) - timedelta(seconds=seconds_ago)
    rows.change(database, tables.accounts, account.id, hinted_at=at)
    return Foresight(account.id, Times(), webhooks=True)


def wait(database, account, version, age=NEW, foresight=None, among=1, now=None):
    foresight = foresight or Foresight(account.id, Times())
    now = now or rows.now(database)
    with database.read() as tx:
        return foresight.next_look(tx, now, version, age, among).total_seconds()


def test_run_times_are_known_by_version_and_in_order(database, account, batch):
    ran(database, batch, SLOW, 40, 38, 39)
    ran(database, batch, FAST, 2)
    factory.make_job(database, batch, state=State.RUNNING, version=FAST)
    with database.read() as tx:
        assert runs.lately(tx, account.id) == {SLOW: [38, 39, 40], FAST: [2]}


def test_only_the_latest_runs_speak_for_a_version(database, account, batch, monkeypatch):
    monkeypatch.setattr(runs, "_FOR_ONE", 3)
    ran(database, batch, SLOW, 1, 1, 1)
    ran(database, batch, SLOW, 40, 41, 42)
    with database.read() as tx:
        assert runs.lately(tx, account.id) == {SLOW: [40, 41, 42]}


def test_the_first_look_comes_when_the_first_may_have_ended(database, account, batch):
    ran(database, batch, SLOW, *(8 + n / 10 for n in range(20)))
    assert 8 < wait(database, account, SLOW) < 10
    assert 0.25 <= wait(database, account, SLOW, timedelta(seconds=9)) < 1


def test_what_stands_for_many_is_looked_at_as_soon_as_a_few_of_them_may_have_ended(database, account, batch):
    ran(database, batch, SLOW, *(8 + n / 10 for n in range(20)))
    usual = 9.0
    for among in (50, 100):
        assert wait(database, account, SLOW, among=among) == pytest.approx(polling.HARVEST * usual / among)
    assert wait(database, account, SLOW, among=50) < wait(database, account, SLOW) / 5
    assert wait(database, account, SLOW, among=100_000) == 0.05


def test_where_nothing_is_known_what_stands_for_many_is_looked_at_after_a_tenth_of_its_age(
    database, account, batch
):
    ran(database, batch, SLOW, *(8 + n / 10 for n in range(20)))
    ages = [timedelta(seconds=age) for age in (0.3, 1, 2, 60)]
    assert [wait(database, account, FAST, age, among=100) for age in ages] == pytest.approx(
        [0.1, 0.1, 0.2, 6]
    )
    assert wait(database, account, FAST, timedelta(seconds=60), among=2) == 15


def test_what_is_not_known_is_looked_at_after_1_2_4_seconds(database, account, batch):
    ran(database, batch, SLOW, *(38 + n / 10 for n in range(20)))
    assert [wait(database, account, FAST, timedelta(seconds=age)) for age in (0, 1, 2, 4)] == [1, 1, 2, 4]


def test_what_runs_longer_than_any_before_is_looked_at_ever_more_rarely(database, account, batch):
    ran(database, batch, FAST, *(2 + n / 10 for n in range(20)))
    assert [wait(database, account, FAST, timedelta(seconds=age)) for age in (10, 60, 600)] == [1, 6, 15]


def test_a_long_run_is_looked_at_before_its_end_for_it_may_have_failed(database, account, batch):
    ran(database, batch, SLOW, *(600 + n for n in range(20)))
    assert wait(database, account, SLOW) == pytest.approx(0.25 * 610)


@pytest.mark.parametrize(("runs", "seconds"), [(20, 1), (50, 10)])
def test_what_was_read_is_good_for_a_while_and_the_less_the_shorter(database, account, batch, runs, seconds):
    ran(database, batch, FAST, *(2 + n / 100 for n in range(runs)))
    foresight, first = Foresight(account.id, Times()), rows.now(database)
    soon = wait(database, account, FAST, foresight=foresight, now=first)
    ran(database, batch, FAST, *(38 + n / 10 for n in range(2 * runs)))
    just_before, just_after = (first + timedelta(seconds=seconds + by) for by in (-0.5, 0.5))
    assert wait(database, account, FAST, foresight=foresight, now=just_before) == soon
    assert wait(database, account, FAST, foresight=foresight, now=just_after) > soon


@pytest.mark.parametrize("age", [0, 600])
def test_while_hints_come_a_look_is_a_net_below_them(database, account, batch, age):
    ran(database, batch, FAST, *(2 + n / 10 for n in range(20)))
    ran(database, batch, SLOW, *(38 + n / 10 for n in range(20)))
    foresight, old = hinted(database, account, 1), timedelta(seconds=age)
    assert wait(database, account, "a-new-model", old, foresight) == 15
    assert wait(database, account, FAST, old, foresight) == 15
    assert wait(database, account, SLOW, old, foresight) == pytest.approx(3 * 39)


def test_what_a_hint_told_of_and_the_list_does_not_show_yet_is_looked_at_again_soon(database, account, batch):
    ran(database, batch, FAST, *(2 + n / 10 for n in range(20)))
    assert wait(database, account, FAST, timedelta(seconds=5), hinted(database, account, 1)) == 0.5


def test_even_of_long_runs_there_are_looks_before_the_deadline_that_the_api_keeps(database, account, batch):
    ran(database, batch, SLOW, *(900 + n for n in range(20)))
    assert wait(database, account, SLOW, NEW, hinted(database, account, 1)) == 1800 / 4


@pytest.mark.parametrize(("seconds_ago", "by_hints"), [(59, True), (61, False)])
def test_looks_go_by_run_times_again_when_no_hint_has_come_for_long(
    database, account, batch, seconds_ago, by_hints
):
    ran(database, batch, FAST, *(2 + n / 10 for n in range(20)))
    waited = wait(database, account, FAST, NEW, hinted(database, account, seconds_ago))
    assert (waited == 15) is by_hints
    assert by_hints or 2 < waited < 4


def test_looks_go_by_run_times_until_the_first_hint_and_where_none_are_asked_for(database, account, batch):
    ran(database, batch, FAST, *(2 + n / 10 for n in range(20)))
    learned = wait(database, account, FAST)
    assert wait(database, account, FAST, NEW, Foresight(account.id, Times(), webhooks=True)) == learned
    hinted(database, account, 1)
    assert wait(database, account, FAST, NEW, Foresight(account.id, Times())) == learned
