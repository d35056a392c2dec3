"""A person's pause holds until a person resumes."""

import pytest
import sqlalchemy as sa

from jobs import errors, tables
from jobs.accounts.breaker import BreakerState
from jobs.batches import PauseReason
from jobs.by_hand import buying
from jobs.selecting import lookup
from jobs.states import FINAL, BatchState, State
from tests import factory


def paused(database, batch):
    with database.write() as tx:
        return buying.pause(tx, lookup.batch(tx, batch.name))


def resumed(database, batch):
    with database.write() as tx:
        return buying.resume(tx, lookup.batch(tx, batch.name))


def now(database, batch):
    with database.read() as tx:
        found = lookup.batch(tx, batch.name)
    return found.state, found.pause_reason


def test_pausing_takes_back_what_was_handed_out_and_leaves_the_rest(database):
    batch = factory.make_batch(database)
    for state in (State.QUEUED, State.RUNNING, State.COLLECTING):
        factory.make_job(database, batch, state=state, key=state)
    assert paused(database, batch)
    assert now(database, batch) == (BatchState.PAUSED, PauseReason.PERSON)
    with database.read() as tx:
        states = dict(tx.execute(sa.select(tables.jobs.c.key, tables.jobs.c.state)).all())
    assert states == {"queued": "pending", "running": "running", "collecting": "collecting"}


@pytest.mark.parametrize("reason", [reason for reason in PauseReason if reason is not PauseReason.PERSON])
def test_a_pause_by_a_person_outranks_any_other(database, reason):
    batch = factory.make_batch(database, state=BatchState.PAUSED, pause_reason=reason)
    factory.make_job(database, batch)
    assert paused(database, batch)
    assert now(database, batch) == (BatchState.PAUSED, PauseReason.PERSON)
    assert not paused(database, batch)


def test_a_batch_that_was_not_begun_can_be_held(database):
    batch = factory.make_batch(database, state=BatchState.READY)
    factory.make_job(database, batch)
    assert paused(database, batch)
    assert now(database, batch) == (BatchState.PAUSED, PauseReason.PERSON)


@pytest.mark.parametrize("state", [BatchState.CANCELLED, BatchState.LOADING])
def test_what_buys_nothing_cannot_be_paused_or_resumed(database, state):
    batch = factory.make_batch(database, state=state)
    with pytest.raises(errors.Mistake, match=batch.name):
        paused(database, batch)
    with pytest.raises(errors.Mistake, match=batch.name):
        resumed(database, batch)


@pytest.mark.parametrize("reason", list(PauseReason))
def test_resuming_opens_whatever_paused_it_and_a_blocked_account_is_tried_at_once(database, reason):
    batch = factory.make_batch(database, state=BatchState.PAUSED, pause_reason=reason)
    account = factory.make_account(database, breaker=BreakerState.BLOCKED)
    assert resumed(database, batch)
    assert now(database, batch) == (BatchState.OPEN, None)
    with database.read() as tx:
        query = sa.select(tables.accounts.c.probe_at).where(tables.accounts.c.id == account.id)
        assert tx.execute(query).scalar_one() is not None
    assert not resumed(database, batch)


def test_pause_and_resume_say_what_to_type_next(desk):
    desk.job(State.PENDING)
    ended = desk.type("pause", "cats")
    assert ended.returncode == 0
    assert (
        ended.stderr == "cats: paused; what is in flight is still fetched. To go on: overnight resume cats\n"
    )
    assert desk.type("pause", "cats").stderr.startswith("cats: already paused.")
    ended = desk.type("resume", "cats")
    assert ended.stderr == (
        "cats: open again. A run of it that is under way picks them up by itself; otherwise type next: "
        "overnight run cats\n"
    )
    assert desk.type("resume", "cats").stderr.startswith("cats: not paused.")


def test_all_means_those_that_were_begun_and_are_not_finished(desk):
    desk.job(State.PENDING)
    finished = factory.make_batch(desk.database, name="done")
    factory.make_job(desk.database, finished, state=State.SUCCEEDED)
    waiting = factory.make_batch(desk.database, name="waiting", state=BatchState.READY)
    factory.make_job(desk.database, waiting)
    told = desk.type("pause", "--all").stderr
    assert [line.partition(":")[0] for line in told.splitlines()] == ["cats"]
    told = desk.type("resume", "--all").stderr
    assert [line.partition(":")[0] for line in told.splitlines()] == ["cats"]
    assert desk.type("resume", "--all").stderr == "no batch is paused\n"


def test_nothing_to_pause_is_said(desk):
    assert desk.type("pause", "--all").stderr == "no batch is being worked on\n"
    desk.job(State.SUCCEEDED)
    ended = desk.type("pause", "cats")
    said = "cats: nothing is left to pause, every job has ended; the batch is left as it is\n"
    assert (ended.returncode, ended.stderr) == (0, said)
    assert desk.type("resume", "cats").stderr == "cats: not paused. Every job has ended.\n"


@pytest.mark.parametrize("state", [BatchState.OPEN, BatchState.READY])
def test_a_batch_in_which_every_job_has_ended_is_not_paused(database, state):
    """Else the rows that the next evening adds to it would not be bought."""
    batch = factory.make_batch(database, state=state)
    for final in FINAL:
        factory.make_job(database, batch, state=final)
    assert not paused(database, batch)
    assert now(database, batch) == (state, None)


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name a BATCH, or use --all."),
        (["cats", "--all"], "Name a BATCH, or use --all."),
        (["cat"], 'no batch "cat"; did you mean cats?'),
    ],
)
def test_a_mistake_ends_with_2(desk, verb, words, sentence):
    ended = desk.type(verb, *words)
    assert ended.returncode == 2
    assert sentence in ended.stderr
