"""A copy of the database that is put back: what was bought since is found in the API's list, and not bought again."""

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
import sqlalchemy as sa

from jobs import accounts, errors, tables
from jobs import database as databases
from jobs.states import State
from scheduler import duties
from tests import rows
from tests.integration import stepped
from tests.integration.evening import Evening
from worker import context

JOBS = 40


@pytest.fixture
def night(tmp_path, start_sandbox):
    return Evening(tmp_path, start_sandbox(), jobs=JOBS, creates_per_minute=240)


def copy(night):
    with (
        closing(sqlite3.connect(night.folder / "night.db")) as source,
        closing(sqlite3.connect(night.folder / "copy.db")) as target,
    ):
        source.backup(target)


def put_back(night):
    for name in ("night.db-wal", "night.db-shm"):
        (night.folder / name).unlink(missing_ok=True)
    shutil.copy(night.folder / "copy.db", night.folder / "night.db")


def sold_once(night):
    assert night.bought() == JOBS
    report = night.check()
    assert report.clean, report
    return True


def test_what_was_bought_after_the_copy_is_found_and_not_bought_again(night):
    with night.running() as child:
        night.until_bought(10)
        copy(night)
        assert child.wait(timeout=60) == 0
    for _ in range(2):  # a copy may be put back more than once
        put_back(night)
        process = night.run_again()
        assert process.returncode == 0, process.stderr
        assert sold_once(night)
        assert process.stdout.startswith(f"night: {JOBS} jobs: {JOBS} succeeded\n")
        assert "orphans" not in process.stdout


def test_what_failed_and_was_bought_again_after_the_copy_is_not_bought_once_more(tmp_path, start_sandbox):
    sandbox = start_sandbox(latency=1, faults={"fail_transient": 0.3})
    night = Evening(tmp_path, sandbox, jobs=JOBS, creates_per_minute=600, max_attempts=20)
    night.remember()
    with night.running() as child:
        night.until_bought(30)
        copy(night)
        assert child.wait(timeout=60) == 0
    before = night.bought()
    put_back(night)
    process = night.run_again()
    assert process.returncode == 0, process.stderr
    assert (night.bought(), night.check().clean) == (before, True)
    assert "orphans" not in process.stdout


def test_a_copy_from_before_the_first_purchase_is_no_licence_to_buy_again(night):
    assert night.type("load", "night.csv").returncode == 0
    copy(night)
    assert night.run_again().returncode == 0
    put_back(night)
    assert night.run_again().returncode == 0
    assert sold_once(night)


# Step by step: a night of which one purchase is forgotten, and a new process


@pytest.fixture
def night_set_back(begin):
    """Four jobs of which two are bought; the second of these is forgotten, and nothing has read the list yet."""
    night = begin(latency=600)
    night.ids = night.make(4)
    stepped.submit(night.release()[:2])
    night.kept, night.lost = (night.attempts(one)[0].prediction_id for one in night.ids[:2])
    with night.database.write() as tx:
        tx.execute(sa.delete(tables.attempts).where(tables.attempts.c.prediction_id == night.lost))
        now = databases.now(tx)
        unbought = {"state": State.PENDING, "attempt_id": None, "attempts": 0, "due_at": now}
        of_all = sa.update(tables.jobs).where(tables.jobs.c.id.in_(night.ids[1:]))
        tx.execute(of_all.values(**unbought))
        accounts.lists(tx, night.here.account.id, pages=1)
    before = night.here
    night.start()
    context.close([before])
    return night


def compare(night):
    """Try to buy, with a look at the list if one was made before."""
    night.here.comparison.again_at = 0
    night.passes(1)
    night.tick(duties.release)


def bought(night):
    return [len(night.attempts(one)) for one in night.ids]


def test_after_a_find_nothing_is_bought_until_a_list_that_lags_must_show_what_came_after_it(night_set_back):
    night = night_set_back
    for _ in range(2):
        compare(night)
        [found] = night.attempts(night.ids[1])
        assert (found.phase, found.prediction_id) == ("running", night.lost)
        assert night.states() == {"pending": 2, "running": 2}
    night.here.comparison.latest -= timedelta(seconds=130)
    compare(night)
    assert bought(night) == [1, 1, 1, 1]
    assert len(night.sandbox.ledger()) == 4


def test_what_another_client_of_the_account_bought_is_left_alone(night_set_back):
    night = night_set_back
    theirs = stepped.buy_elsewhere(night.sandbox, {"prompt": "a", "seed": 7})
    compare(night)
    known = {one.prediction_id for ids in night.ids for one in night.attempts(ids)}
    assert known == {night.kept, night.lost}
    assert night.told(duties.cancel) == []
    assert theirs not in known


def test_while_the_list_fails_nothing_is_bought_for_as_long_as_an_absence_takes(night_set_back):
    night = night_set_back
    stepped.list_as(night, fail)
    compare(night)
    assert night.states() == {"pending": 3, "running": 1}
    assert night.account.breaker == "closed"
    night.here.comparison.first_failed -= 121
    compare(night)
    assert len(night.sandbox.ledger()) == 5  # and one is paid for twice


def test_a_list_that_never_answered_is_not_waited_for(night_set_back):
    night = night_set_back
    rows.change(night.database, tables.accounts, night.here.account.id, can_list=None)
    stepped.list_as(night, fail)
    compare(night)
    assert len(night.sandbox.ledger()) == 5


def test_a_list_that_was_missing_is_asked_for_once_by_each_process(night_set_back):
    night = night_set_back
    rows.change(night.database, tables.accounts, night.here.account.id, can_list=False)
    compare(night)
    assert night.account.can_list is True
    assert [one.prediction_id for one in night.attempts(night.ids[1])] == [night.lost]


# What was bought a second time after the copy was made


def bought_twice(begin):
    """A night with a job that failed and was bought again; also return its rows while it ran, and when it had failed.

    A list that lagged then would hide nothing any more.
    """
    night = begin(latency=0, faults={"fail_transient": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    ran = night.job(job_id), night.attempts(job_id)
    night.until(lambda: night.phases(job_id) == ["failed"])
    failed = night.job(job_id), night.attempts(job_id)
    night.sandbox.heal()
    night.until(lambda: len(night.attempts(job_id)) == 2)
    return night, job_id, ran, failed


def set_back(night, job_id, then):
    """Put a job's rows back as they were, and begin a new process; return which prediction is forgotten by that."""
    job, attempts = then
    [lost] = {one.prediction_id for one in night.attempts(job_id)} - {one.prediction_id for one in attempts}
    with night.database.write() as tx:
        of_job, kept = (
            tables.attempts.c.job_id == job_id,
            tables.attempts.c.id.in_([one.id for one in attempts]),
        )
        tx.execute(sa.delete(tables.outputs).where(tables.outputs.c.job_id == job_id))
        tx.execute(sa.delete(tables.attempts).where(of_job, ~kept))
    for table, rows_then in ((tables.jobs, [job]), (tables.attempts, attempts)):
        for row in rows_then:
            rows.change(night.database, table, row.id, **row._asdict())
    before = night.here
    night.start()
    context.close([before])
    return lost


def test_what_was_bought_after_a_failure_is_not_bought_a_third_time(begin):
    night, job_id, _, failed = bought_twice(begin)
    lost = set_back(night, job_id, failed)
    night.passes(10)
    night.tick(duties.release)
    assert [one.prediction_id for one in night.attempts(job_id)][1:] == [lost]
    assert night.phases(job_id) == ["failed", "running"]
    assert night.here.comparison.latest is not None
    assert night.finish() == {"succeeded": 1}
    assert len(night.sandbox.ledger()) == 2


def test_what_was_bought_after_what_seems_to_run_waits_for_its_end_and_takes_its_place(begin):
    night, job_id, ran, _ = bought_twice(begin)
    lost = set_back(night, job_id, ran)
    night.make()
    compare(night)
    assert night.phases(job_id) == ["running", "orphan"]
    assert night.told(duties.cancel) == []
    night.passes(20)
    night.tick(duties.poll)
    assert night.phases(job_id) == ["failed", "running"]
    assert night.attempts(job_id)[1].prediction_id == lost
    night.here.comparison.latest -= timedelta(seconds=130)
    assert night.finish() == {"succeeded": 2}
    assert len(night.sandbox.ledger()) == 3


async def fail(*_):
    raise errors.Unanswered("The list fails.")
