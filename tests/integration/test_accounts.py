"""The account's row, as processes that start at the same moment make it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from jobs import accounts, settings
from jobs import database as databases
from jobs.accounts import quota
from jobs.accounts.tally import Tally
from jobs.states import State
from jobs.tables import accounts as rows
from jobs.tables import attempts
from tests import factory
from tests import rows as written
from tests.integration import rehearsal


def register(database):
    with database.write() as tx:
        return accounts.register(tx, databases.now(tx), "api.example-00000000", "https://api.example/v1")


def test_two_workers_that_start_at_once_share_one_row(postgres_database):
    with ThreadPoolExecutor(1) as second:
        with postgres_database.write() as tx:
            first = accounts.register(tx, databases.now(tx), "api.example-00000000", "https://api.example/v1")
            other = second.submit(register, postgres_database)
            rehearsal.eventually(lambda: written.is_waited_for(postgres_database))
        assert other.result(timeout=30) == first
    assert register(postgres_database) == first


@pytest.mark.parametrize("times", [1, 3])
def test_a_token_has_one_row_however_often_it_is_registered(times, database):
    ids = {register(database) for _ in range(times)}
    with database.read() as tx:
        assert tx.execute(sa.select(rows.c.id)).scalars().all() == list(ids)


def test_what_a_clock_that_was_ahead_has_put_off_does_not_wait_for_it(database):
    now = written.now(database)
    soon, later = now + timedelta(minutes=5), now + timedelta(hours=3)
    put_off = ("refilled_at", "not_before", "probe_at", "sweep_at", "glance_at", "poll_at")
    account = factory.make_account(database, **dict.fromkeys(put_off, later))
    other = factory.make_account(database, **dict.fromkeys(put_off[1:], soon))
    with database.write() as tx:
        accounts.forget_the_future(tx, now, settings.Settings(_env_file=None).times)
    row, kept = written.account(database, account.id), written.account(database, other.id)
    assert {getattr(row, name) for name in put_off} == {now}
    assert {getattr(kept, name) for name in put_off[1:]} == {soon}


def test_a_clock_that_was_ahead_leaves_no_sweep_in_the_future_and_no_earlier_token_in_the_place_of_the_new(
    database,
):
    later = written.now(database) + timedelta(minutes=5)
    before = factory.make_account(database, seen_at=later, swept_at=later)
    with database.write() as tx:
        now = databases.now(tx)
        accounts.forget_the_future(tx, now, settings.Settings(_env_file=None).times)
        new = accounts.register(tx, now, "another", before.api)
    assert factory.seat(database, before.api).account.id == new
    assert written.account(database, before.id).swept_at is None


# Limits of an account's own


def retune(database, account, own):
    """Set limits; return those that the row then has."""
    with database.write() as tx:
        accounts.retune(tx, account.id, own)
    with database.read() as tx:
        return accounts.known(tx, account.id).own_limits


def test_a_new_account_has_no_limits_of_its_own(database):
    account_id = register(database)
    with database.read() as tx:
        assert accounts.known(tx, account_id).own_limits == {}


def test_limits_come_back_as_they_were_set_and_those_not_named_stay(database):
    account = factory.make_account(database)
    assert retune(database, account, {"creates_per_minute": 300}) == {"creates_per_minute": 300}
    both = {"creates_per_minute": 300, "max_in_flight": 999_999_999}
    assert retune(database, account, {"max_in_flight": 999_999_999}) == both


def test_unlimited_is_a_limit_that_was_set(database):
    account = factory.make_account(database)
    unlimited = {"creates_per_minute": None, "reads_per_minute": None}
    assert retune(database, account, unlimited) == unlimited


def test_an_account_that_follows_the_settings_again_has_none_left(database):
    account, other = factory.make_account(database), factory.make_account(database)
    for one in (account, other):
        retune(database, one, {"creates_per_minute": 300, "reads_per_minute": None, "max_in_flight": 7})
    with database.write() as tx:
        accounts.follow_settings(tx, account.id)
        assert accounts.known(tx, account.id).own_limits == {}
        assert accounts.known(tx, other.id).own_limits["max_in_flight"] == 7


# A limit that nobody told


@pytest.mark.parametrize(("since", "a_minute"), [(0, 20 * 30), (4, 20 * 15), (8, 20 * 7.5), (30, 19 * 30)])
def test_the_rate_that_is_found_where_no_limit_was_told_is_what_was_sold_of_late_less_a_fifth(
    database, since, a_minute
):
    account, batch = factory.make_account(database), factory.make_batch(database)
    first, *_ = [factory.make_job(database, batch, state=State.RUNNING) for _ in range(20)]
    configured = settings.Settings(creates_per_minute="unlimited", _env_file=None)
    told = Tally(throttled=1.0, throttled_creates=True)
    with database.write() as tx:
        now = databases.now(tx)
        intended = sa.update(attempts).values(intended_at=now)
        tx.execute(intended)
        tx.execute(
            intended.where(attempts.c.job_id == first.id).values(intended_at=now - timedelta(seconds=since))
        )
        accounts.observe(tx, now, account.id, told, configured)
        slowed = accounts.get(tx, account.id)
        assert slowed.rate == pytest.approx(0.8 * a_minute)
        later = accounts.refill(slowed, now + timedelta(seconds=30), configured)
    assert later.rate > slowed.rate
    assert later.creates_tokens == pytest.approx(quota.capacity(later.rate))


def test_what_is_on_its_way_counts_as_sold_for_a_429_is_answered_sooner_than_a_sale(database):
    account, batch = factory.make_account(database), factory.make_batch(database)
    for state in [State.SUBMITTING] * 19 + [State.RUNNING]:
        factory.make_job(database, batch, state=state)
    configured = settings.Settings(creates_per_minute="unlimited", _env_file=None)
    told = Tally(throttled=1.0, throttled_creates=True)
    with database.write() as tx:
        now = databases.now(tx)
        tx.execute(sa.update(attempts).values(intended_at=now))
        accounts.observe(tx, now, account.id, told, configured)
        assert accounts.get(tx, account.id).rate == pytest.approx(0.8 * 20 * 30)


@pytest.mark.parametrize(("sold", "rate"), [(0, 480), (1, 384)])
def test_an_api_that_sells_nothing_between_two_429s_tells_nothing_of_its_rate(database, sold, rate):
    account, batch = factory.make_account(database), factory.make_batch(database)
    configured = settings.Settings(creates_per_minute="600", _env_file=None)
    told = Tally(throttled=1.0, throttled_creates=True)
    with database.write() as tx:
        at = databases.now(tx) - timedelta(seconds=10)
        accounts.observe(tx, at, account.id, told, configured)
    for _ in range(sold):
        factory.make_job(database, batch, state=State.RUNNING)
    with database.write() as tx:
        accounts.observe(tx, databases.now(tx), account.id, told, configured)
        assert accounts.get(tx, account.id).rate == pytest.approx(rate)


def test_while_the_api_said_wait_the_rate_does_not_climb_back(database):
    account = factory.make_account(database)
    configured = settings.Settings(creates_per_minute="600", _env_file=None)
    told = Tally(bought=1, throttled=10.0, throttled_creates=True)
    with database.write() as tx:
        now = databases.now(tx)
        accounts.observe(tx, now, account.id, told, configured)
        slowed = accounts.get(tx, account.id)
    later = {
        seconds: accounts.refill(slowed, now + timedelta(seconds=seconds), configured).rate
        for seconds in (5, 10, 12)
    }
    assert later == {5: 480, 10: 480, 12: pytest.approx(480 + 2 * 600 / 40)}


# What the API tells of its own bucket


@pytest.mark.parametrize(("left", "tokens"), [(2, 2), (0, 0), (9, 5), (None, 5)])
def test_a_bucket_that_somebody_else_draws_from_holds_no_more_than_the_api_says(database, left, tokens):
    account = factory.make_account(database, creates_tokens=5.0, reads_tokens=20.0)
    configured = settings.Settings(_env_file=None)
    with database.write() as tx:
        now = accounts.get(tx, account.id).refilled_at
        accounts.observe(tx, now, account.id, Tally(bought=1, left=left), configured)
        after = accounts.get(tx, account.id)
    assert (after.creates_tokens, after.reads_tokens) == (tokens, 20.0)


@pytest.mark.parametrize(
    ("sent_ago", "tokens"),
    [
        ([2], 55 - 10 - 2),  # beside one that runs; two are not answered yet
        ([90, 2], 55 - 10 - 2),  # the API's bucket has filled since
        ([30, 2], 5.0),
    ],
)
def test_at_a_beginning_a_bucket_holds_what_the_api_says_but_for_a_second_of_the_rate(
    database, sent_ago, tokens
):
    account = factory.make_account(database, creates_tokens=5.0)
    batch = factory.make_batch(database)
    for state in (State.QUEUED, State.SUBMITTING, State.RUNNING):
        factory.make_job(database, batch, state=state)
    now = account.refilled_at
    for ago in sent_ago:
        job = factory.make_job(database, batch, state=State.SUCCEEDED)
        written.change(database, attempts, job.attempt_id, intended_at=now - timedelta(seconds=ago))
    with database.write() as tx:
        configured = settings.Settings(creates_per_minute="600", _env_file=None)
        accounts.observe(tx, now, account.id, Tally(bought=2, left=55), configured)
        assert accounts.get(tx, account.id).creates_tokens == tokens
