"""What stops the buying, on the tables: a block that a person tries again, and one that holds."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from jobs import accounts, batches, settings, stops
from jobs import database as databases
from jobs.accounts.breaker import BreakerState
from jobs.accounts.tally import Tally
from jobs.batches import PauseReason
from jobs.by_hand import buying
from jobs.errors import BlockReason
from jobs.settings.times import Times
from jobs.states import BatchState
from tests import factory, rows
from tests.integration import rehearsal

TIMES = Times()
NO_CREDIT = Tally(blocked=(BlockReason.CREDIT, "the API answered 402"))


@pytest.fixture
def account(database):
    return factory.make_account(database)


@pytest.fixture
def batch(database):
    return factory.make_batch(database)


def tell(db, account, tally, after=0.0):
    """Tell the account what its calls came to, some seconds from now."""
    configured = settings.Settings(_env_file=None)
    with db.write() as tx:
        moment = databases.now(tx) + timedelta(seconds=after)
        stops.observe(tx, moment, accounts.get(tx, account.id), tally, configured)


def look(db, account, batch):
    with db.write() as tx:  # an account is looked at with its row locked
        return accounts.get(tx, account.id).breaker, batches.get(tx, batch.id)


def try_again(db, batch, after):
    """Open the batch and ask for a probe, as `run` does."""
    with db.write() as tx:
        moment = databases.now(tx) + timedelta(seconds=after)
        batches.open_(tx, moment, batches.get(tx, batch.id))
        accounts.probe_now(tx, moment, batch.api)


def test_a_batch_that_was_opened_to_try_a_block_is_paused_again_when_it_holds(database, account, batch):
    tell(database, account, NO_CREDIT)
    try_again(database, batch, after=10)
    assert look(database, account, batch)[1].state is BatchState.OPEN
    tell(database, account, NO_CREDIT, after=11)
    breaker, now = look(database, account, batch)
    assert (breaker.state, now.state, now.pause_reason) == (
        BreakerState.BLOCKED,
        BatchState.PAUSED,
        PauseReason.BLOCKED,
    )


def test_who_tries_again_hours_later_has_the_whole_patience_again(database, account, batch):
    tell(database, account, NO_CREDIT)
    tell(database, account, NO_CREDIT, after=TIMES.credit_patience + 1)
    assert look(database, account, batch)[0].probe_at is None
    try_again(database, batch, after=TIMES.credit_patience + 100)
    tell(database, account, NO_CREDIT, after=TIMES.credit_patience + 101)
    assert look(database, account, batch)[0].probe_at is not None


def test_an_answer_to_anything_but_a_purchase_leaves_a_block_as_it_is(database, account, batch):
    tell(database, account, NO_CREDIT)
    try_again(database, batch, after=10)
    tell(database, account, Tally(answered=3), after=11)
    breaker, now = look(database, account, batch)
    assert (breaker.state, now.state) == (BreakerState.BLOCKED, BatchState.OPEN)


@pytest.mark.parametrize("opened", ["unblock", "open_"])
def test_a_pause_by_a_person_outlasts_an_opening_that_did_not_see_it(postgres_database, opened):
    database = postgres_database
    account, batch = factory.make_account(database), factory.make_batch(database)
    tell(database, account, NO_CREDIT)
    with ThreadPoolExecutor(1) as other:
        with database.write() as tx:
            seen, now = batches.get(tx, batch.id), databases.now(tx)
            batches.pause_by_hand(tx, now, batch.id)
            what = {"unblock": accounts.get(tx, account.id), "open_": seen}[opened]
            late = other.submit(database.unit, lambda tx: getattr(batches, opened)(tx, now, what))
            rehearsal.eventually(lambda: rows.is_waited_for(database))
        late.result(timeout=60)
    assert look(database, account, batch)[1].pause_reason is PauseReason.PERSON


@pytest.mark.parametrize("opened", ["unblock", "open_"])
def test_a_pause_by_a_person_that_meets_an_opening_comes_after_it(postgres_database, opened):
    database = postgres_database
    account, batch = factory.make_account(database), factory.make_batch(database)
    factory.make_job(database, batch)
    tell(database, account, NO_CREDIT)
    with ThreadPoolExecutor(1) as other:
        with database.write() as tx:
            seen, now = batches.get(tx, batch.id), databases.now(tx)
            what = {"unblock": accounts.get(tx, account.id), "open_": seen}[opened]
            getattr(batches, opened)(tx, now, what)
            late = other.submit(database.unit, lambda tx: buying.pause(tx, seen))
            rehearsal.eventually(lambda: rows.is_waited_for(database))
        assert late.result(timeout=60)
    assert look(database, account, batch)[1].pause_reason is PauseReason.PERSON
