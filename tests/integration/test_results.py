"""What is counted, over rows in both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs import accounts, events
from jobs.accounts.breaker import BreakerState
from jobs.reports import results, status
from jobs.states import FINAL, BatchState, Phase, State
from tests import factory


def moments(seconds):
    return datetime.now(UTC) + timedelta(seconds=seconds)


def look(database, batch):
    with database.read() as tx:
        return status.progress(tx, batch.id)


def reap(database, batch):
    with database.read() as tx:
        return results.harvest(tx, batch.id)


def test_every_state_is_counted_and_other_batches_are_not(database):
    batch, other = factory.make_batch(database), factory.make_batch(database)
    for number, state in enumerate(State, start=1):
        for _ in range(number):
            factory.make_job(database, batch, state=state)
    factory.make_job(database, other)
    counts = look(database, batch).counts
    assert counts.by_state == {state: number for number, state in enumerate(State, start=1)}
    assert (counts.total, counts.ended, counts.unfinished) == (45, 7 + 8 + 9, 21)
    assert counts.in_flight == 2 + 3 + 4 + 5


def test_failures_are_counted_by_class_the_most_frequent_first(database):
    batch = factory.make_batch(database)
    for error_class in ("nsfw", "expired", "nsfw", "deadline"):
        factory.make_job(database, batch, state=State.FAILED, error_class=error_class)
    assert list(look(database, batch).failures.items()) == [("nsfw", 2), ("deadline", 1), ("expired", 1)]


@pytest.mark.parametrize("state", State)
def test_a_batch_is_finished_once_every_job_is(database, state):
    batch = factory.make_batch(database)
    factory.make_job(database, batch, state=State.SUCCEEDED)
    factory.make_job(database, batch, state=state)
    assert look(database, batch).finished is (state in FINAL)


def test_a_batch_that_is_being_loaded_is_never_finished(database):
    assert not look(database, factory.make_batch(database, state=BatchState.LOADING)).finished
    assert look(database, factory.make_batch(database)).finished


def test_the_last_send_in_doubt_says_when_look_ups_end(database):
    batch = factory.make_batch(database)
    assert look(database, batch).look_ups_end is None
    last = moments(140)
    for due_at in (moments(20), last, moments(60)):
        factory.make_job(database, batch, state=State.UNCONFIRMED, due_at=due_at)
    assert look(database, batch).look_ups_end == last


def test_a_pending_job_that_is_due_means_now_even_beside_ones_that_wait(database):
    batch = factory.make_batch(database)
    factory.make_job(database, batch, due_at=moments(300), priority=9)
    factory.make_job(database, batch, due_at=moments(-1))
    found = look(database, batch)
    assert found.next_due <= found.at


def test_if_every_pending_job_waits_the_first_of_them_says_until_when(database):
    batch = factory.make_batch(database)
    first = moments(40)
    factory.make_job(database, batch, due_at=moments(300))
    factory.make_job(database, batch, due_at=first)
    assert look(database, batch).next_due == first


def test_nothing_pending_is_never_due(database):
    batch = factory.make_batch(database)
    factory.make_job(database, batch, state=State.RUNNING)
    assert look(database, batch).next_due is None


def test_the_earliest_due_job_under_way_says_since_when_nobody_took_it_up(database):
    batch = factory.make_batch(database)
    factory.make_job(database, batch, due_at=moments(-999))
    assert look(database, batch).untouched_since is None
    earliest = moments(-100)
    factory.make_job(database, batch, state=State.COLLECTING, due_at=earliest)
    factory.make_job(database, batch, state=State.QUEUED, due_at=moments(50))
    assert look(database, batch).untouched_since == earliest


def test_the_account_seen_last_stands_for_the_api_with_all_that_is_in_flight_there(database):
    batch, other = factory.make_batch(database), factory.make_batch(database)
    elsewhere = factory.make_batch(database, api="https://other.example/v1")
    assert look(database, batch).account is None
    factory.make_account(database, seen_at=moments(-100), name="old")
    probe_at, moved_at = moments(12), moments(-34)
    factory.make_account(
        database,
        name="new",
        rate=480.0,
        breaker=BreakerState.OUTAGE,
        breaker_reason="no answer",
        probe_at=probe_at,
        refilled_at=moved_at,
    )
    factory.make_account(database, api=elsewhere.api)
    for home in (batch, other, elsewhere):
        factory.make_job(database, home, state=State.RUNNING)
        factory.make_job(database, home, state=State.COLLECTING)
    found = look(database, batch).account
    assert (found.name, found.rate, found.in_flight) == ("new", 480.0, 2)
    assert found.moved_at == moved_at
    assert (found.breaker.state, found.breaker.reason, found.breaker.probe_at) == (
        "outage",
        "no answer",
        probe_at,
    )


def test_looking_waits_for_no_writer_and_sees_nothing_of_it_before_its_end(database):
    batch, account = factory.make_batch(database), factory.make_account(database)
    with database.write() as tx:
        locked = accounts.get(tx, account.id)
        events.record(tx, moments(0), batch.id, events.EventKind.STARTED, "")
        seen = look(database, batch)
    assert (seen.account.name, seen.events) == (account.name, ())
    assert locked.id == account.id
    assert len(look(database, batch).events) == 1


def test_no_writer_waits_for_somebody_who_looks(database):
    batch, account = factory.make_batch(database), factory.make_account(database)
    with database.read() as tx:
        status.progress(tx, batch.id)
        with database.write() as writing:
            accounts.probed(writing, account.id, moments(0))
    assert look(database, batch).account.breaker.probe_at is not None


def test_the_latest_events_are_those_of_the_batch_and_of_all(database):
    batch, other = factory.make_batch(database), factory.make_batch(database)
    with database.write() as tx:
        for number in range(4):
            events.record(tx, moments(0), batch.id, events.EventKind.RETRIED, str(number))
            events.record(tx, moments(0), other.id, events.EventKind.RETRIED, "of the other")
            events.record(tx, moments(0), None, events.EventKind.RECOVERED, "all")
    told = [(event.kind, event.detail) for event in look(database, batch).events]
    assert told == [
        ("recovered", "all"),
        ("retried", "2"),
        ("recovered", "all"),
        ("retried", "3"),
        ("recovered", "all"),
    ]


def test_the_overview_has_every_batch_in_order_also_one_without_jobs(database):
    first, empty = factory.make_batch(database), factory.make_batch(database)
    factory.make_job(database, first)
    factory.make_job(database, first, state=State.SUCCEEDED)
    with database.read() as tx:
        rows = status.overview(tx)
    assert [row.batch.name for row in rows] == [first.name, empty.name]
    assert [row.counts.by_state for row in rows] == [{State.PENDING: 1, State.SUCCEEDED: 1}, {}]
    assert [row.finished for row in rows] == [False, True]


def test_the_harvest_adds_up_files_purchases_and_surplus_of_one_batch(database):
    batch, other = factory.make_batch(database), factory.make_batch(database)
    factory.make_job(database, other, state=State.SUCCEEDED)
    job = factory.make_job(database, batch, state=State.SUCCEEDED)
    factory.make_job(database, batch, state=State.COLLECTING)
    began, ended = moments(-900), moments(900)
    factory.make_attempt(database, job, Phase.ORPHAN, cost=0.5, intended_at=began)
    factory.make_attempt(database, job, Phase.ABSENT, possibly_paid=True)
    factory.make_attempt(database, job, Phase.FAILED, cost=0.25, finished_at=ended)
    with database.write() as tx:
        for found in (batch, batch, other):
            events.record(tx, moments(0), found.id, events.EventKind.FOUND, "a: p1")
        events.record(tx, moments(0), batch.id, events.EventKind.ORPHANED, "a: p2")
    assert reap(database, batch) == results.Harvest(
        images=1,
        bytes=1234,
        dropped=0,
        refused=0,
        found_late=2,
        predictions=4,
        cost=0.75,
        unpriced=2,
        orphans=1,
        orphans_left=1,
        orphans_refused=0,
        possibly_paid=1,
        unanswered=1,
        began_at=began,
        ended_at=ended,
    )


def test_what_a_person_had_bought_again_without_proof_is_counted_once_it_is_bought(database):
    batch = factory.make_batch(database)
    for bought_again in (True, False):
        job = factory.make_job(database, batch, state=State.PENDING)
        in_doubt = {"possibly_paid": True, "prediction_id": None}
        factory.make_attempt(database, job, Phase.FAILED, **in_doubt, error_class="unconfirmed")
        if bought_again:
            factory.make_attempt(database, job, Phase.FAILED)
    assert reap(database, batch).possibly_paid == 1


def test_what_was_presumed_absent_is_bought_again_only_once_it_is_and_a_job_counts_once(database):
    batch = factory.make_batch(database)
    waiting, twice = (factory.make_job(database, batch, state=State.PENDING) for _ in range(2))
    for job in (waiting, twice, twice):
        factory.make_attempt(database, job, Phase.ABSENT, possibly_paid=True)
    factory.make_attempt(database, twice, Phase.FAILED)
    assert (reap(database, batch).possibly_paid, reap(database, batch).unanswered) == (1, 3)


def test_sends_whose_answers_are_not_known_are_in_no_other_number(database):
    batch = factory.make_batch(database)
    for state in (State.SUBMITTING, State.UNCONFIRMED, State.RUNNING):
        factory.make_job(database, batch, state=state)
    job = factory.make_job(database, batch, state=State.PENDING)
    factory.make_attempt(database, job, Phase.ABSENT)  # seen to be absent
    factory.make_attempt(database, job, Phase.ORPHAN, possibly_paid=True)  # found after all
    reaped = reap(database, batch)
    assert (reaped.unanswered, reaped.predictions, reaped.possibly_paid) == (2, 2, 0)


def test_a_batch_that_bought_nothing_has_no_harvest(database):
    batch = factory.make_batch(database)
    factory.make_job(database, batch)
    assert reap(database, batch) == results.Harvest(0, 0, 0, 0, 0, 0, None, 0, 0, 0, 0, 0, 0, None, None)
