"""What a night does where the API is slow to answer purchases, or sells few: counted, not timed."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from jobs import tables
from scheduler import duties
from tests import rows
from tests.integration import rehearsal, stepped

JOBS = 20
TICKS = 8
GRANTED = JOBS / TICKS  # purchases by the quota in a quarter of a second, which is a tick's


@pytest.fixture
def database(sqlite_database):
    return sqlite_database


def messages(night, *, answered):
    """Tick, each message acted on in a thread of its own; return how many purchases were in each message."""
    sizes, under_way = [], {"queued"}
    creates = stepped.Held(night.here.api, "before")
    night.work_as(dataclasses.replace(night.here, api=creates))
    if answered:
        creates.go_on()
        under_way.add("submitting")
    with ThreadPoolExecutor(TICKS) as threads:
        rows.change(night.database, tables.accounts, night.account.id, creates_tokens=0.0)
        try:
            for _ in range(TICKS):
                grant(night)
                for message in night.told(duties.release):
                    sizes.append(len(message.payload))
                    threads.submit(stepped.TASKS[message.lane], *message.args)
                rehearsal.eventually(lambda: under_way.isdisjoint(night.states()))
        finally:
            creates.go_on()
    return sizes


def grant(night):
    """Grant the quota of one tick, as if no other time passed, however busy the machine is."""
    account = night.account
    soon = rows.now(night.database) + timedelta(seconds=30)
    rows.change(
        night.database, tables.accounts, account.id,
        creates_tokens=account.creates_tokens + GRANTED, refilled_at=soon,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answered", "sizes"),
    [(True, [2, 3, 2, 3, 2, 3, 2, 3]), (False, [2, 3, 2, 3, 5, 5])],
    ids=["answered at once", "not answered meanwhile"],
)
def test_the_slower_purchases_are_answered_the_more_are_in_one_message(begin, answered, sizes):
    night = begin()
    night.make(JOBS)
    assert messages(night, answered=answered) == sizes
    assert night.finish() == {"succeeded": JOBS}
    assert len(night.sandbox.ledger()) == night.sandbox.stats()["requests"]["create"] == JOBS


def test_when_credit_gets_low_the_night_slows_down_and_nothing_stops_or_fails(begin):
    # The API asks to wait for ten seconds, as in life, and they pass in a tenth of one.
    night = begin(faults={"low_credit_after": 4}, low_credit=600, wait=10)
    night.make(JOBS)
    assert night.finish() == {"succeeded": JOBS}
    assert {job.attempts for job in night.jobs()} == {1}
    assert (night.account.breaker, night.batch_state, night.events()) == ("closed", ("open", None), [])
    assert len(night.sandbox.ledger()) == JOBS
    assert night.sandbox.stats()["throttled"] > 0
