"""What one pass of the scheduler hands out, and that nothing ends the scheduler."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from jobs import accounts, batches, events, lifecycle, polling, settings, stops, tables
from jobs import database as databases
from jobs.accounts.tally import Tally
from jobs.batches import PauseReason
from jobs.database import Database
from jobs.lanes import SLICE, Lane
from jobs.losses import Losses
from jobs.states import Phase, State
from scheduler import duties, timetable
from scheduler.duties import Again, Message, Scope
from tests import factory, rows
from worker import app

LEASE = timedelta(seconds=60)
HOUR = timedelta(hours=1)


def configure(**given):
    return settings.Settings(
        **{"OVERNIGHT_API_URL": factory.API, "api_token": "a-token-for-tests", "_env_file": None} | given
    )


@pytest.fixture
def account(database):
    """An account whose buckets are full."""
    return factory.make_account(database, refilled_at=rows.now(database) - HOUR)


@pytest.fixture
def batch(database, account):  # noqa: ARG001  a batch needs an account that buys for it
    return factory.make_batch(database)


def make(database, batch, count, state=State.PENDING, **columns):
    return [factory.make_job(database, batch, state=state, **columns).id for _ in range(count)]


def scope(database, api=factory.API, **given):
    return Scope(factory.seat(database, api), **given)


def handed(duty, database, whose=None, **given):
    """What a duty hands out, all messages together."""
    handed_out = duty(database, configure(**given), whose or scope(database))
    messages = [one for one in handed_out if isinstance(one, Message)]
    assert all(0 < len(message.payload) <= SLICE[message.lane] for message in messages)
    return [item for message in messages for item in message.payload]


# Release


@pytest.mark.parametrize("of_creates", [True, False])
def test_what_was_handed_out_when_the_api_said_wait_is_there_for_when_it_is_over(
    database, account, batch, of_creates
):
    make(database, batch, 3)
    assert len(handed(duties.release, database)) == 3
    chosen = configure()
    with database.write() as tx:
        known = accounts.get(tx, account.id)
        tally = Tally(throttled=5.0, throttled_creates=of_creates)
        stops.observe(tx, databases.now(tx), known, tally, chosen)
    assert {job.state for job in rows.rows(database, tables.jobs)} == {State.PENDING}
    assert handed(duties.release, database) == []


def test_no_more_is_released_than_the_quota_lets_leave(database, account, batch):
    make(database, batch, 30)
    # As if no time passed, however busy the machine is.
    rows.change(
        database, tables.accounts, account.id, creates_tokens=10, refilled_at=rows.now(database) + HOUR
    )
    assert len(handed(duties.release, database)) == 10  # a second's worth
    assert handed(duties.release, database) == []
    assert sum(job.state == State.QUEUED for job in rows.rows(database, tables.jobs)) == 10


def test_two_schedulers_at_once_share_the_quota_to_the_last_purchase(database, batch):
    make(database, batch, 30)
    together = threading.Barrier(8)

    def tick(_):
        together.wait(30)
        return handed(duties.release, database, creates_per_minute="6")

    with ThreadPoolExecutor(8) as schedulers:
        assert sum(map(len, schedulers.map(tick, range(8)))) == 1


def test_never_more_than_two_seconds_worth_is_queued(database, account, batch):
    make(database, batch, 17, State.QUEUED, due_at=rows.now(database) + LEASE)
    make(database, batch, 30)
    assert len(handed(duties.release, database)) == 3
    rows.change(database, tables.accounts, account.id, creates_tokens=10)
    assert handed(duties.release, database) == []


def test_no_more_is_in_flight_than_the_cap_allows(database, batch):
    for state in (State.QUEUED, State.SUBMITTING, State.UNCONFIRMED, State.RUNNING):
        make(database, batch, 2, state, due_at=rows.now(database) + LEASE)
    make(database, batch, 2, State.COLLECTING)
    make(database, batch, 20)
    assert len(handed(duties.release, database, max_in_flight="11")) == 3
    assert handed(duties.release, database, max_in_flight="11") == []


def test_images_that_are_not_fetched_take_places_in_flight_when_they_are_more_than_these(database, batch):
    make(database, batch, 12, State.COLLECTING)
    make(database, batch, 8, State.RUNNING, due_at=rows.now(database) + LEASE)
    make(database, batch, 20)
    assert len(handed(duties.release, database, max_in_flight="11")) == 2


def test_the_slower_purchases_are_the_more_go_into_one_message(database, account, batch):
    make(database, batch, 9, State.SUBMITTING, due_at=rows.now(database) + LEASE)
    make(database, batch, 30)
    for tokens, released in [(2, 0), (3, 3)]:
        rows.change(
            database, tables.accounts, account.id,
            creates_tokens=tokens, refilled_at=rows.now(database) + HOUR,
        )  # fmt: skip
        assert len(handed(duties.release, database)) == released
    make(database, batch, 90, State.SUBMITTING, due_at=rows.now(database) + LEASE)
    rows.change(database, tables.accounts, account.id, creates_tokens=5)
    assert len(handed(duties.release, database)) == 5, "half a bucket waits no longer"


def test_places_in_flight_that_become_free_are_asked_for_soon_and_tokens_are_not(database, batch):
    def again(**given):
        wishes = duties.release(database, configure(**given), scope(database))
        return any(isinstance(one, Again) for one in wishes)

    make(database, batch, 20)
    unlimited = {"creates_per_minute": "unlimited", "max_in_flight": "11"}
    assert again(**unlimited), "filled just now"
    assert again(**unlimited), "full"
    assert not again(creates_per_minute="60")
    assert not again(**unlimited | {"max_in_flight": "30"}), "more places than jobs"
    make(database, batch, 40, State.COLLECTING)
    assert not again(**unlimited | {"max_in_flight": "21"}), "no poll makes room while images are behind"


def test_without_a_limit_only_the_cap_limits(database, batch):
    make(database, batch, 90)
    assert len(handed(duties.release, database, creates_per_minute="unlimited", max_in_flight="70")) == 70


def test_an_account_that_was_slowed_releases_at_its_own_rate(database, account, batch):
    rows.change(database, tables.accounts, account.id, rate=6.0, refilled_at=rows.now(database))
    make(database, batch, 30)
    assert len(handed(duties.release, database)) <= 1


def test_batches_share_the_room_and_what_one_leaves_is_there_for_the_others(database, batch):
    second, third = factory.make_batch(database), factory.make_batch(database)
    for one in (batch, second):
        make(database, one, 20)
    make(database, third, 1)
    released = handed(duties.release, database)
    of = {
        one.id: sum(rows.job(database, i).batch_id == one.id for i in released)
        for one in (batch, second, third)
    }
    assert of[third.id] == 1
    assert sorted([of[batch.id], of[second.id]]) == [4, 5]


def test_batches_that_are_finished_take_no_share_and_no_canary(database, account):
    for _ in range(12):
        make(database, factory.make_batch(database), 1, State.SUCCEEDED)
    tonight = make(database, factory.make_batch(database), 20)
    assert len(handed(duties.release, database)) == 10
    open_breaker(database, account, "outage", rows.now(database))
    rows.change(database, tables.accounts, account.id, creates_tokens=10)
    [canary] = handed(duties.release, database)
    assert canary in tonight


def test_a_room_of_one_is_not_always_the_same_batchs(database, account, batch):
    other = factory.make_batch(database)
    for one in (batch, other):
        make(database, one, 1)
    served = set()
    for _ in range(60):
        rows.change(database, tables.accounts, account.id, creates_tokens=10)
        [job_id] = handed(duties.release, database, max_in_flight="1")
        served.add(rows.job(database, job_id).batch_id)
        rows.write(database, lambda tx, now: lifecycle.rescue(tx, now, expired_only=False))
    assert served == {batch.id, other.id}


def test_a_whole_room_for_one_is_shared_by_turns(database, batch):
    others = [factory.make_batch(database) for _ in range(3)]
    for one in (batch, *others):
        make(database, one, 5)
    assert len(handed(duties.release, database, max_in_flight="3")) == 3


def test_a_run_releases_its_own_batch_only_and_works_for_all(database, batch):
    other = factory.make_batch(database)
    ours = make(database, batch, 3)
    make(database, other, 3)
    running = make(database, other, 2, State.RUNNING)
    whose = scope(database, release_only=(batch.id,))
    assert sorted(handed(duties.release, database, whose)) == ours
    assert sorted(handed(duties.poll, database, whose)) == running


@pytest.mark.parametrize("state", ["loading", "ready", "paused", "cancelled"])
def test_only_open_batches_buy(database, account, state):  # noqa: ARG001  the account that would buy
    make(database, factory.make_batch(database, state=state), 3)
    assert handed(duties.release, database) == []


def test_a_scheduled_job_waits_for_its_time(database, batch):
    make(database, batch, 3, due_at=rows.now(database) + HOUR)
    assert handed(duties.release, database) == []


def test_where_no_worker_ever_was_nobody_is_handed_anything(database, make_timetable):
    [job_id] = make(database, factory.make_batch(database, api="https://elsewhere.example/v1"), 1)
    make_timetable(database).tick()
    assert rows.job(database, job_id).state == State.PENDING


def test_while_the_api_says_wait_nothing_leaves(database, account, batch):
    make(database, batch, 3)
    make(database, batch, 3, State.RUNNING, cancel_requested_at=rows.now(database))
    make(database, batch, 3, State.UNCONFIRMED)
    rows.change(database, tables.accounts, account.id, not_before=rows.now(database) + LEASE)
    for duty in (duties.release, duties.poll, duties.cancel, duties.reconcile, duties.sweep):
        assert handed(duty, database) == []


def test_a_look_up_waits_for_the_reads_that_the_last_one_took(database, account, batch):
    make(database, batch, 3, State.UNCONFIRMED)
    rows.change(database, tables.accounts, account.id, reads_tokens=-60, refilled_at=rows.now(database))
    assert handed(duties.reconcile, database) == []
    rows.change(database, tables.accounts, account.id, refilled_at=rows.now(database) - 2 * LEASE)
    assert len(handed(duties.reconcile, database)) == 3


# Canaries


def open_breaker(database, account, state, probe_at):
    rows.change(
        database, tables.accounts, account.id, breaker=state, breaker_reason="for a test", probe_at=probe_at
    )


@pytest.mark.parametrize("state", ["outage", "blocked"])
def test_while_the_breaker_is_open_one_wanted_job_at_a_time_tries_whether_it_is_over(
    database, account, batch, state
):
    make(database, batch, 20)
    if state == "blocked":
        with database.write() as tx:
            batches.pause(tx, rows.now(database), [batch.id], PauseReason.BLOCKED, "for a test")
    open_breaker(database, account, state, rows.now(database))
    assert len(handed(duties.release, database)) == 1
    assert handed(duties.release, database) == []
    assert rows.account(database, account.id).probe_at > rows.now(database) + LEASE / 3


@pytest.mark.parametrize("state", ["outage", "blocked"])
def test_without_an_appointment_nobody_tries(database, account, batch, state):
    make(database, batch, 20)
    open_breaker(database, account, state, None)
    assert handed(duties.release, database) == []


@pytest.mark.usefixtures("account")
def test_an_account_that_may_buy_opens_what_a_block_has_paused(database, batch):
    """One with a new token, or one that was blocked at the moment at which another was not any more."""
    make(database, batch, 5)
    with database.write() as tx:
        batches.pause(tx, rows.now(database), [batch.id], PauseReason.BLOCKED, "for a test")
    assert len(handed(duties.release, database)) == 5


def test_a_persons_pause_keeps_even_a_canary_back(database, account):
    make(database, factory.make_batch(database, state="paused"), 20)
    open_breaker(database, account, "blocked", rows.now(database))
    assert handed(duties.release, database) == []


def test_in_an_outage_one_poll_is_canary_enough(database, account, batch):
    make(database, batch, 5, State.RUNNING)
    make(database, batch, 5)
    open_breaker(database, account, "outage", rows.now(database))
    assert len(handed(duties.poll, database)) == 1
    assert handed(duties.poll, database) == handed(duties.release, database) == []


def test_in_an_outage_a_look_up_is_the_canary_only_where_a_send_is_in_doubt(database, account, batch):
    make(database, batch, 5)
    open_breaker(database, account, "outage", rows.now(database))
    assert handed(duties.reconcile, database) == []
    assert len(handed(duties.release, database)) == 1
    [doubtful] = make(database, batch, 1, State.UNCONFIRMED)
    open_breaker(database, account, "outage", rows.now(database))
    assert handed(duties.reconcile, database) == [doubtful]
    assert handed(duties.release, database) == []


def test_while_blocked_what_is_in_flight_is_asked_for(database, account, batch):
    make(database, batch, 5, State.RUNNING)
    open_breaker(database, account, "blocked", None)
    assert len(handed(duties.poll, database)) == 5


# Polls, downloads, looks


def test_no_more_is_asked_than_the_reads_allow(database, account, batch):
    make(database, batch, 15, State.RUNNING)
    # As if no time passed, however busy the machine is.
    rows.change(database, tables.accounts, account.id, reads_tokens=10, refilled_at=rows.now(database) + HOUR)
    assert len(handed(duties.poll, database, reads_per_minute="600")) == 10
    assert handed(duties.poll, database, reads_per_minute="600") == []


@pytest.fixture
def listed(database, account):
    """The account, at an API that has a list; return what a poll is told of it, in minutes for seconds."""

    def listed(reads="3000", **given):
        rows.change(database, tables.accounts, account.id, can_list=True, **given)
        configured = configure(reads_per_minute=reads, time_scale="60")
        return [(len(one.payload), one.pages) for one in duties.poll(database, configured, scope(database))]

    return listed


def due(database, batch, count):
    """Make predictions that have been due for a while."""
    return make(database, batch, count, State.RUNNING, due_at=rows.now(database) - timedelta(seconds=2))


def test_many_are_looked_at_on_pages_of_the_list_and_the_pages_are_what_it_costs(
    database, account, batch, listed
):
    due(database, batch, 130)
    assert listed() == [(130, 2)]
    assert rows.account(database, account.id).reads_tokens == 48
    assert listed() == []


def test_what_becomes_due_soon_after_a_look_waits_for_the_next_one(database, batch, account, listed):
    due(database, batch, 10)
    before = rows.now(database)
    assert listed() == [(10, 1)]
    assert rows.account(database, account.id).poll_at > before
    due(database, batch, 20)
    # As if no time passed, however busy the machine is.
    assert listed(poll_at=rows.now(database) + timedelta(seconds=60)) == []
    assert looked_at_lanes(database, time_scale="60") == {Lane.RECONCILE, Lane.SUBMIT}
    assert listed(poll_at=rows.now(database)) == [(20, 1)]


def test_an_appointment_from_before_the_clock_was_set_back_keeps_nothing_waiting(database, batch, listed):
    due(database, batch, 10)
    assert listed(poll_at=rows.now(database) + HOUR) == [(10, 1)]
    due(database, batch, 10)
    assert listed(poll_at=rows.now(database) + timedelta(seconds=60)) == []


def test_looks_are_fewer_while_webhooks_come(database, batch, account, listed):
    def wait(**given):
        due(database, batch, 1)
        before = rows.now(database)
        listed(poll_at=None, **given)
        return (rows.account(database, account.id).poll_at - before).total_seconds()

    usual = wait()
    assert wait(hinted_at=rows.now(database)) > 1.4 * usual
    assert wait(hinted_at=rows.now(database) - 1.1 * HOUR) < 1.2 * usual, "nobody calls any more"


def test_a_look_that_the_reads_do_not_cover_yet_is_waited_for(database, batch, listed):
    """Asking one by one would use them up as they come, and tell less."""
    due(database, batch, 130)
    later = rows.now(database) + HOUR  # as if no time passed
    assert listed(reads_tokens=1.0, refilled_at=later) == []
    assert listed(reads_tokens=2.0, refilled_at=later) == [(130, 2)]


def test_where_the_reads_never_cover_a_look_each_is_asked_for_without_an_appointment(
    database, batch, account, listed
):
    due(database, batch, 130)
    assert listed(reads="60", reads_tokens=1.0, refilled_at=rows.now(database) + HOUR) == [(1, 0)]
    assert rows.account(database, account.id).poll_at is None


def test_what_stands_for_many_is_looked_for_in_the_list_however_many_pages(database, batch, listed):
    [oldest] = due(database, batch, 1)
    make(database, batch, 150, State.RUNNING, due_at=rows.now(database) + HOUR)
    make_older(database, oldest)
    assert listed() == [(1, 2)]


def test_the_more_pages_a_look_reads_the_longer_it_is_to_the_next(database, account, batch, listed):
    def wait():
        before = rows.now(database)
        listed(poll_at=None)
        return (rows.account(database, account.id).poll_at - before).total_seconds()

    due(database, batch, 90)
    one = wait()
    due(database, batch, 110)
    assert wait() == pytest.approx(2 * one, rel=0.2)


def test_however_many_pages_a_look_reads_the_next_waits_for_its_appointment(
    database, batch, listed, monkeypatch
):
    """One that is further ahead than any is ever set would be taken for a clock's fault."""
    monkeypatch.setattr(polling, "interval", lambda *_, **__: 500.0)
    due(database, batch, 130)
    assert listed() == [(130, 2)]
    due(database, batch, 10)
    assert listed() == []


def test_where_the_list_fails_nothing_waits_for_it(database, batch, listed):
    soon = rows.now(database) + timedelta(seconds=60)
    due(database, batch, 5)
    assert listed(poll_at=soon, glance_at=rows.now(database) + HOUR) == [(5, 0)]


def looked_at_lanes(database, **given):
    with database.read() as tx:
        return duties.lanes(tx, databases.now(tx), configure(**given), scope(database))


def test_one_is_asked_for_by_itself(database, batch, listed):
    due(database, batch, 1)
    assert listed() == [(1, 0)]


def test_where_the_oldest_lies_deeper_than_questions_cost_each_is_asked_for(database, batch, listed):
    old, young = due(database, batch, 2)
    make(database, batch, 250, State.SUCCEEDED)
    make_older(database, old)
    rows.change(database, tables.jobs, young, due_at=rows.now(database) + LEASE)
    assert listed() == [(1, 0)]


def test_one_that_is_stuck_is_asked_for_by_itself_and_the_list_is_not_read_down_to_it(
    database, batch, account, listed
):
    [stuck] = due(database, batch, 1)
    make_older(database, stuck)
    make(database, batch, 250, State.SUCCEEDED)
    due(database, batch, 19)
    assert listed() == [(19, 1), (1, 0)]
    assert rows.account(database, account.id).reads_tokens == 50 - 2


def make_older(database, job_id):
    """Let a job have been bought an hour before every other."""
    attempt_id = rows.job(database, job_id).attempt_id
    rows.change(database, tables.attempts, attempt_id, intended_at=rows.now(database) - HOUR)


def test_no_more_pages_are_read_than_the_reads_allow(database, batch, listed):
    due(database, batch, 130)
    assert listed(reads="6") == [(1, 0)]


def test_the_list_is_not_read_in_an_outage_nor_after_it_has_failed(database, batch, listed):
    due(database, batch, 5)
    assert listed(glance_at=rows.now(database) + LEASE) == [(5, 0)]
    due(database, batch, 5)
    assert listed(glance_at=None, failures=5, failing="reads") == [(1, 0)]


def test_what_another_account_bought_makes_no_page_worth_while(database, batch, listed):
    other = factory.make_account(database, name="another", seen_at=rows.now(database) - HOUR)
    for job_id in due(database, batch, 5):
        factory.move_job(database, job_id, other.id)
    assert listed() == [(5, 0)]


def test_what_is_paid_is_fetched_whatever_became_of_its_batch(database, account):  # noqa: ARG001  somebody must buy
    for state in ("paused", "cancelled"):
        batch = factory.make_batch(database, state=state)
        make(database, batch, 2, State.COLLECTING)
        make(database, batch, 2, State.RUNNING)
        make(database, batch, 2, State.UNCONFIRMED)
    assert len(handed(duties.collect, database)) == 4
    assert len(handed(duties.poll, database)) == 4
    assert len(handed(duties.reconcile, database)) == 4


@pytest.mark.parametrize(
    ("duty", "state", "lane"),
    [
        (duties.reconcile, State.UNCONFIRMED, Lane.RECONCILE),
        (duties.collect, State.COLLECTING, Lane.COLLECT),
        (duties.poll, State.RUNNING, Lane.POLL),
    ],
)
def test_what_was_handed_out_is_due_again_a_lease_later(database, batch, duty, state, lane):
    [job_id] = make(database, batch, 1, state)
    [message] = duty(database, configure(), scope(database))
    assert (message.lane, message.payload) == (lane, [job_id])
    assert list(duty(database, configure(), scope(database))) == []
    rows.change(database, tables.jobs, job_id, due_at=rows.now(database) - timedelta(seconds=1))
    assert len(list(duty(database, configure(), scope(database)))) == 1


@pytest.mark.usefixtures("account")  # somebody must buy
def test_the_more_images_are_being_fetched_the_more_go_into_one_message(database, batch):
    def due(count):
        return make(database, batch, count, State.COLLECTING)

    for count, handed_out in [(9, 9), (2, 0), (1, 3), (3, 0), (1, 4)]:
        due(count)
        assert len(handed(duties.collect, database)) == handed_out
    due(1)
    overdue = rows.now(database) - timedelta(seconds=4)
    rows.change(database, tables.jobs, due(1)[0], due_at=overdue)
    assert len(handed(duties.collect, database)) == 2, "what has waited long enough waits for no company"
    due(49)
    due(1)
    assert len(handed(duties.collect, database)) == 50, "a whole message waits for none"


def test_more_images_than_one_tick_hands_out_are_asked_for_again_soon(database, batch):
    make(database, batch, 150, State.COLLECTING)
    configured = configure()
    with_more, without = (list(duties.collect(database, configured, scope(database))) for _ in range(2))
    assert [isinstance(one, duties.Again) for one in with_more] == [False, False, True]
    assert [len(one.payload) for one in without] == [50]


def test_one_walk_serves_every_send_in_doubt(database, batch):
    make(database, batch, 300, State.UNCONFIRMED)
    assert len(list(duties.reconcile(database, configure(), scope(database)))) == 1


def test_leases_that_ended_are_taken_back(database, batch):
    past, ahead = (rows.now(database) + sign * LEASE for sign in (-1, 1))
    for due_at in (past, ahead):
        for state in (State.QUEUED, State.SUBMITTING):
            make(database, batch, 1, state, due_at=due_at)
    duties.rescue(database, configure())
    found = [job.state for job in rows.rows(database, tables.jobs)]
    assert found == ["pending", "unconfirmed", "queued", "submitting"]


def test_the_scale_of_time_shortens_a_lease(database, batch):
    [job_id] = make(database, batch, 1, State.RUNNING)
    handed(duties.poll, database, time_scale="0.01")
    assert rows.job(database, job_id).due_at < rows.now(database) + timedelta(seconds=1)


# Cancelling


def cancelled(database, **given):
    return {tuple(target) for target in handed(duties.cancel, database, **given)}


def target(database, job_id):
    attempt = rows.attempts(database, job_id)[-1]
    return attempt.id, attempt.prediction_id


def test_what_a_person_cancelled_what_is_overdue_and_what_is_surplus_is_ended(database, batch):
    now = rows.now(database)
    wanted, overdue, running, done = make(database, batch, 4, State.RUNNING)
    rows.change(database, tables.jobs, wanted, cancel_requested_at=now)
    rows.change(database, tables.attempts, rows.job(database, overdue).attempt_id, accepted_at=now - HOUR)
    orphan = factory.make_attempt(database, rows.job(database, done), Phase.ORPHAN)
    expected = {
        target(database, wanted),
        target(database, overdue),
        (orphan.id, orphan.prediction_id),
    }
    assert cancelled(database) == expected
    assert target(database, running) not in expected
    assert cancelled(database) == set()  # a worker is at it
    leases_of_cancels_end(database)
    assert cancelled(database) == expected
    with database.write() as tx:
        lifecycle.cancel_sent(tx, now, [attempt for attempt, _ in expected])
    assert cancelled(database) == set()
    leases_of_cancels_end(database)
    assert cancelled(database) == {target(database, wanted)}  # a person is asked for again and again


def leases_of_cancels_end(database):
    with database.write() as tx:
        tx.execute(sa.update(tables.attempts).values(cancel_at=databases.now(tx) - LEASE / 60))


def test_cancels_that_are_being_sent_keep_no_others_from_their_turn(database, batch):
    ids = make(database, batch, 2 * SLICE[Lane.CANCEL], State.RUNNING, cancel_requested_at=rows.now(database))
    first, second = (cancelled(database, reads_per_minute="unlimited") for _ in range(2))
    assert not first & second
    assert first | second == {target(database, job_id) for job_id in ids}


def test_nothing_is_cancelled_in_an_outage(database, account, batch):
    make(database, batch, 3, State.RUNNING, cancel_requested_at=rows.now(database))
    open_breaker(database, account, "outage", rows.now(database))
    assert cancelled(database) == set()
    assert len(handed(duties.poll, database)) == 1


def test_another_apis_orphans_are_not_asked_for_here(database, batch):  # noqa: ARG001  an API of ours, without orphans
    elsewhere = factory.make_batch(database, api="https://elsewhere.example/v1")
    foreign = factory.make_account(database, api="https://elsewhere.example/v1")
    job = factory.make_job(database, elsewhere)
    orphan = factory.make_attempt(database, job, Phase.ORPHAN, account=foreign)
    assert cancelled(database) == set()
    assert handed(duties.cancel, database, scope(database, foreign.api)) == [
        (orphan.id, orphan.prediction_id)
    ]


# Losses


def losses(database, batch):
    duties.limit_losses(database)
    return rows.batch(database, batch.id).pause_reason


def end(database, batch, state, count):
    make(database, batch, count, state, finished_at=rows.now(database) + LEASE)


@pytest.mark.parametrize(
    ("failed", "succeeded", "stops"),
    [
        (20, 0, False),
        (20, 5, False),
        (21, 0, True),
        (21, 4, True),
        (40, 4, True),
        (40, 5, False),
        (49, 51, False),
        (50, 200, False),
        (51, 200, True),
    ],
)
def test_a_batch_of_whose_jobs_too_many_fail_stops(database, batch, failed, succeeded, stops):
    end(database, batch, State.FAILED, failed)
    end(database, batch, State.SUCCEEDED, succeeded)
    queued = make(database, batch, 2, State.QUEUED)
    assert losses(database, batch) == ("stop-loss" if stops else None)
    assert rows.job(database, queued[0]).state == ("pending" if stops else "queued")


@pytest.mark.parametrize(("jobs", "most"), [(10, 10), (500, 20), (1000, 30)])
def test_the_fuse_bears_ten_surplus_purchases_and_two_in_a_hundred_jobs(jobs, most):
    borne, blown = (
        Losses(succeeded=0, failed=0, worst=None, jobs=jobs, surplus=surplus) for surplus in (most, most + 1)
    )
    assert (borne.fuse, borne.stopping) == (False, False)
    assert (blown.fuse, blown.stopping, blown.stop_loss) == (True, True, False)


def test_failures_of_before_it_was_opened_again_count_no_more(database, batch):
    end(database, batch, State.FAILED, 25)
    rows.change(database, tables.batches, batch.id, opened_at=rows.now(database) + HOUR)
    assert losses(database, batch) is None


def test_a_batch_that_is_run_on_another_night_is_judged_by_that_night(database, batch):
    make(database, batch, 1)
    end(database, batch, State.FAILED, 20)
    begin = rows.now(database) + 2 * LEASE
    with database.write() as tx:
        events.record(tx, begin, batch.id, events.EventKind.STARTED, "")
    tonight = make(database, batch, 21, State.FAILED, finished_at=begin + LEASE)
    rows.change(database, tables.jobs, tonight[0], finished_at=begin - LEASE)
    assert losses(database, batch) is None, "of tonight's there are twenty"
    end(database, batch, State.SUCCEEDED, 30)
    rows.change(database, tables.jobs, tonight[0], finished_at=begin + LEASE)
    assert losses(database, batch) == "stop-loss", "and yesterday's images excuse none"


def test_what_may_have_been_paid_twice_stops_the_batch(database, batch):
    ids = make(database, batch, 10)
    phases = itertools.cycle([{"phase": Phase.ORPHAN}, {"phase": Phase.ABSENT, "possibly_paid": True}])
    for job_id in ids:
        factory.make_attempt(database, rows.job(database, job_id), **next(phases))
    assert losses(database, batch) is None
    factory.make_attempt(database, rows.job(database, ids[0]), Phase.ORPHAN)
    assert losses(database, batch) == "fuse"
    with database.write() as tx:
        now = databases.now(tx) + HOUR
        batches.open_(tx, now, batches.get(tx, batch.id))
    assert losses(database, batch) is None, "whoever opened it again knew of those"


# The ticks


@pytest.fixture
def make_timetable():
    made = []

    def make(database, **own):
        given = configure(**own)
        celery = app.create(given)
        made.append(timetable.Timetable(celery, configured=given, db=database, lazy=True))
        with celery.connection_for_write() as connection:  # one broker in memory serves the whole process
            for lane in Lane:
                connection.default_channel.queue_declare(lane)
                connection.default_channel.queue_purge(lane)
        return made[-1]

    return make


@pytest.fixture
def clock(monkeypatch):
    """Seconds of the ticks' clock, which stands still unless it is moved."""
    stands = SimpleNamespace(monotonic=lambda: stands.now, now=0.0)
    monkeypatch.setattr(timetable, "time", stands)
    return stands


@pytest.mark.usefixtures("clock")
def test_ticks_follow_closely_while_places_in_flight_are_to_be_filled(database, batch, make_timetable):
    make(database, batch, 20)
    assert make_timetable(database).tick() == 0.25
    assert make_timetable(database, max_in_flight="10").tick() == 0.05


def test_a_tick_that_follows_closely_does_only_what_fills_places_and_fetches(
    database, batch, make_timetable, clock
):
    make(database, batch, 20)
    ticking = make_timetable(database, max_in_flight="10")
    ticking.tick()
    states = (State.RUNNING, State.COLLECTING, State.UNCONFIRMED)
    [running, collecting, unconfirmed] = [make(database, batch, 1, state)[0] for state in states]
    due = rows.job(database, unconfirmed).due_at
    clock.now += ticking.tick()
    assert all(rows.job(database, job).due_at > rows.now(database) for job in (running, collecting))
    while rows.job(database, unconfirmed).due_at == due:
        began = clock.now
        clock.now += ticking.tick()
    assert began == pytest.approx(0.25), "the seconds until the next whole one"


def test_ticks_in_vain_take_a_fifth_of_the_time_and_who_hands_out_goes_on_at_once(
    database, batch, make_timetable, clock, monkeypatch
):
    def slow(*whose):
        clock.now += 0.04
        return duties.release(*whose)

    monkeypatch.setattr(timetable, "_DUTIES", ((Lane.SUBMIT, slow),))
    make(database, batch, 20)
    ticking = make_timetable(database, max_in_flight="10")
    assert ticking.tick() == 0.05
    assert ticking.tick() == pytest.approx(0.04 / 0.2)


def rests_less_than_asked(ticking, freed, stopping):
    """Rest for ten minutes; return whether that was over at once."""
    resting = threading.Thread(target=ticking.rest, args=(600, freed, stopping), daemon=True)
    resting.start()
    resting.join(30)
    return not resting.is_alive()


@pytest.mark.parametrize("jobs", [0, 20])
def test_when_predictions_have_ended_the_next_tick_comes_at_once(database, batch, make_timetable, jobs):
    freed = threading.Event()
    ticking = make_timetable(database, max_in_flight="10")
    make(database, batch, jobs)
    ticking.tick()
    freed.set()
    assert rests_less_than_asked(ticking, freed, threading.Event())
    assert not freed.is_set()


@pytest.mark.parametrize("jobs", [0, 20])
def test_who_stops_does_not_wait_for_the_next_tick(database, batch, make_timetable, jobs):
    make(database, batch, jobs)
    ticking = make_timetable(database, max_in_flight="10")
    ticking.tick()
    stopping = threading.Event()
    stopping.set()
    assert rests_less_than_asked(ticking, threading.Event(), stopping)


def test_a_tick_hands_everything_out(database, batch, make_timetable):
    states = (State.PENDING, State.UNCONFIRMED, State.RUNNING, State.COLLECTING)
    ids = [i for state in states for i in make(database, batch, 1, state)]
    assert make_timetable(database).tick() < 1
    now = rows.now(database)
    assert all(rows.job(database, i).due_at > now for i in ids)
    assert rows.job(database, ids[0]).state == State.QUEUED


def test_a_lane_whose_messages_nobody_takes_gets_no_more_and_keeps_no_other_back(
    database, batch, make_timetable
):
    [running], [collecting] = (make(database, batch, 1, state) for state in (State.RUNNING, State.COLLECTING))
    due_at = rows.job(database, running).due_at
    ticking = make_timetable(database)
    for _ in range(3):
        ticking.app.send_task(Lane.POLL, queue=Lane.POLL)
    ticking.tick()
    assert rows.job(database, running).due_at == due_at
    assert rows.job(database, collecting).due_at > rows.now(database)
    with ticking.app.connection_for_write() as connection:
        connection.default_channel.basic_get(Lane.POLL, no_ack=True)
    ticking.tick()
    assert rows.job(database, running).due_at > rows.now(database)


def test_ticks_see_before_long_that_too_much_fails(database, batch, make_timetable, clock):
    end(database, batch, State.FAILED, 21)
    make(database, batch, 1, due_at=rows.now(database) + HOUR)
    ticking = make_timetable(database)
    for _ in range(20):
        clock.now += ticking.tick()
    assert rows.batch(database, batch.id).pause_reason == "stop-loss"


def test_a_look_that_breaks_keeps_no_duty_from_its_turn(database, batch, make_timetable, monkeypatch):
    states = (State.PENDING, State.UNCONFIRMED, State.RUNNING, State.COLLECTING)
    ids = [i for state in states for i in make(database, batch, 1, state)]
    breaks = sa.select(sa.literal_column("no_such_column"))
    monkeypatch.setattr(duties, "lanes", lambda tx, *_: tx.execute(breaks))
    make_timetable(database).tick()
    now = rows.now(database)
    assert all(rows.job(database, i).due_at > now for i in ids)


def test_after_stop_buying_a_tick_releases_nothing_and_still_polls(database, batch, make_timetable):
    [pending] = make(database, batch, 1)
    [running] = make(database, batch, 1, State.RUNNING)
    ticking = make_timetable(database)
    ticking.stop_buying()
    ticking.tick()
    assert rows.job(database, pending).state == State.PENDING
    assert rows.job(database, running).due_at > rows.now(database)


@pytest.mark.parametrize(
    ("state", "lane"),
    [(State.UNCONFIRMED, Lane.RECONCILE), (State.COLLECTING, Lane.COLLECT), (State.RUNNING, Lane.POLL)],
)
def test_a_look_finds_the_lanes_in_which_something_is_due(database, account, batch, state, lane):
    swept = {"swept_at": rows.now(database) + HOUR, "sweep_at": rows.now(database) + HOUR}
    rows.change(database, tables.accounts, account.id, **swept)
    [job] = make(database, batch, 1, state, due_at=rows.now(database) + LEASE)

    def look():
        return looked_at_lanes(database) - {Lane.SUBMIT}

    assert look() == set()
    rows.change(database, tables.jobs, job, due_at=rows.now(database))
    assert look() == {lane}
    if state is State.RUNNING:
        rows.change(database, tables.jobs, job, cancel_requested_at=rows.now(database))
        assert look() == {lane, Lane.CANCEL}
    rows.change(database, tables.accounts, account.id, sweep_at=None)
    # Sends in flight may have brought more.
    assert (Lane.RECONCILE in look()) is (state is not State.COLLECTING)


def test_a_tick_writes_nothing_where_nothing_is_due(database, account, batch, make_timetable):
    make(database, batch, 3, State.RUNNING, due_at=rows.now(database) + LEASE)
    rows.change(database, tables.accounts, account.id, sweep_at=rows.now(database) + HOUR)
    before = rows.account(database, account.id)
    make_timetable(database).tick()
    assert rows.account(database, account.id) == before


def test_a_tick_survives_whatever_breaks_in_it(database, batch, make_timetable, monkeypatch):
    [running] = make(database, batch, 1, State.RUNNING)
    make(database, batch, 1, State.QUEUED)  # due, so that there is something to rescue
    ticking = make_timetable(database)

    def break_down(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(duties, "rescue", break_down)
        before = ticking.last_tick
        assert ticking.tick() >= 1
        assert ticking.last_tick > before
    ticking.tick()
    assert rows.job(database, running).due_at > rows.now(database)


def test_a_tick_survives_a_database_that_is_away(make_timetable):
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    assert make_timetable(away).tick() >= 1
    away.close()


def test_a_tick_goes_on_when_the_database_is_back(sqlite_database, make_timetable, tmp_path):
    account = factory.make_account(sqlite_database)
    [running] = make(sqlite_database, factory.make_batch(sqlite_database, api=account.api), 1, State.RUNNING)
    path = sqlite_database.path
    ticking = make_timetable(sqlite_database)
    sqlite_database.engine.dispose()
    path.rename(tmp_path / "away")
    path.mkdir()
    assert ticking.tick() >= 1
    path.rmdir()
    (tmp_path / "away").rename(path)
    assert ticking.tick() < 1
    assert rows.job(sqlite_database, running).due_at > rows.now(sqlite_database)


# Doubt


@pytest.mark.parametrize("failing", ["creates", "reads"])
def test_while_an_outage_is_in_doubt_calls_leave_one_by_one(database, account, batch, failing):
    make(database, batch, 20)
    running = make(database, batch, 20, State.RUNNING)
    doubt = {"failures": 3, "failing": failing, "failing_since": rows.now(database), "creates_tokens": 10}
    rows.change(database, tables.accounts, account.id, **doubt)
    polled = handed(duties.poll, database)
    released = handed(duties.release, database)
    assert (len(polled), len(released)) == ((0, 1) if failing == "creates" else (1, 0))
    assert handed(duties.poll, database) == handed(duties.release, database) == []
    assert handed(duties.cancel, database) == handed(duties.sweep, database) == []
    with database.write() as tx:
        overdue = rows.now(database) - timedelta(seconds=31)
        tx.execute(sa.update(tables.jobs).where(tables.jobs.c.id.in_(running)).values(due_at=overdue))
    # Without a purchase that could end the doubt, polls must go on; but for the doubtful kind, one by one.
    assert len(handed(duties.poll, database)) == (20 if failing == "creates" else 0)
    rows.change(database, tables.accounts, account.id, probe_at=rows.now(database))
    assert len(handed(duties.release, database)) == 1
