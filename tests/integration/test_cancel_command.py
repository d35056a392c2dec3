"""Giving up: a batch, or some of its jobs; what is paid is never thrown away."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from jobs import errors, tables
from jobs.by_hand import cancelling
from jobs.selecting import lookup, selection
from jobs.selecting.selection import Selection
from jobs.states import FINAL, BatchState, State
from tests import factory, rows
from tests.integration import rehearsal

EVERY = [str(state) for state in State]


@pytest.fixture
def batch(database):
    """A batch with a job in every state, each called by it."""
    made = factory.make_batch(database)
    for state in EVERY:
        factory.make_job(database, made, state=state, key=state)
    return made


def cancelled(database, batch, typed):
    chosen = cancelling.wanted(typed)
    with database.read() as tx:
        found = lookup.batch(tx, batch.name)
        ids = selection.ids(tx, chosen, found.id)
    if cancelling.is_whole(typed):
        cancelling.cancel_batch(database, found)
    return cancelling.cancel_jobs(database, found, chosen, ids)


def states(database):
    """Return by each job's key its state, and whether it is to be cancelled."""
    with database.read() as tx:
        rows = tx.execute(
            sa.select(tables.jobs.c.key, tables.jobs.c.state, tables.jobs.c.cancel_requested_at)
        )
        return {key: "to be cancelled" if asked else state for key, state, asked in rows}


def test_a_whole_batch_keeps_what_ended_and_what_is_paid(database, batch):
    assert cancelled(database, batch, Selection()) == cancelling.Cancelled(at_once=2, requested=3)
    unchanged = {state: state for state in (*FINAL, State.COLLECTING)}
    in_flight = dict.fromkeys((State.SUBMITTING, State.UNCONFIRMED, State.RUNNING), "to be cancelled")
    assert states(database) == unchanged | in_flight | dict.fromkeys(
        (State.PENDING, State.QUEUED), "cancelled"
    )
    with database.read() as tx:
        assert lookup.batch(tx, batch.name).state is BatchState.CANCELLED


def test_a_job_that_a_worker_moves_meanwhile_is_cancelled_all_the_same(postgres_database):
    """Its purchase was refused: from in flight it goes back to being wanted, and is missed by neither statement."""
    database, batch = postgres_database, factory.make_batch(postgres_database)
    job = factory.make_job(database, batch, state=State.SUBMITTING, key="moves")
    back = {"state": State.PENDING, "attempt_id": None}
    with ThreadPoolExecutor(1) as person:
        with database.write() as tx:
            tx.execute(sa.update(tables.jobs).where(tables.jobs.c.id == job.id).values(back))
            asked = person.submit(cancelled, database, batch, Selection(keys=("m*",)))
            rehearsal.eventually(lambda: rows.is_waited_for(database))
        assert asked.result(timeout=60) == cancelling.Cancelled(at_once=1)
    assert states(database) == {"moves": "cancelled"}


def test_an_empty_text_to_look_for_is_no_wish_for_everything():
    """A script's variable that was not set would cancel the whole batch."""
    with pytest.raises(errors.Mistake, match="--match is empty"):
        Selection(match="")


def test_with_filters_failed_jobs_are_given_up_and_the_batch_goes_on(database, batch):
    done = cancelled(database, batch, Selection(keys=("[pf]*",)))
    assert done == cancelling.Cancelled(at_once=1, given_up=1)
    assert states(database)["failed"] == states(database)["pending"] == "cancelled"
    with database.read() as tx:
        assert lookup.batch(tx, batch.name).state is BatchState.OPEN


@pytest.mark.parametrize(
    ("typed", "changed"),
    [
        (Selection(states=("failed",)), {"failed"}),
        (Selection(states=("pending", "running")), {"pending", "running"}),
        (Selection(classes=("model-error",)), {"failed"}),
        (Selection(states=("cancelled",)), set()),
        (Selection(limit=2), {"pending", "queued"}),
    ],
)
def test_it_takes_what_is_chosen_and_nothing_else(database, batch, typed, changed):
    before = states(database)
    assert cancelled(database, batch, typed).total == len(changed)
    after = states(database)
    assert {key for key in after if after[key] != before[key]} == changed


@pytest.mark.parametrize("state", ["collecting", "succeeded"])
def test_what_is_paid_for_cannot_be_chosen(state):
    with pytest.raises(errors.Mistake, match=f"a job that is {state} is paid for"):
        cancelling.wanted(Selection(states=("pending", state)))


def test_it_can_be_said_twice(database, batch):
    cancelled(database, batch, Selection())
    assert cancelled(database, batch, Selection()) == cancelling.Cancelled()
    with database.read() as tx:
        events = tx.execute(sa.select(tables.events.c.kind, tables.events.c.detail)).all()
    assert events == [("cancelled", ""), ("cancelled", "5 jobs")]


@pytest.mark.parametrize("ends", [FINAL, {State.SUCCEEDED}, set()])
def test_a_batch_in_which_every_job_has_ended_is_left_as_it_is(database, ends):
    """Cancelled it would be gone for good: rows that were added to its manifest could only be bought anew."""
    batch = factory.make_batch(database)
    for state in ends:
        factory.make_job(database, batch, state=state)
    with database.read() as tx:
        found = lookup.batch(tx, batch.name)
    assert not cancelling.cancel_batch(database, found)
    with database.read() as tx:
        assert lookup.batch(tx, batch.name) == found
        assert tx.scalar(sa.select(sa.func.count()).select_from(tables.events)) == 0


def test_a_batch_that_is_not_loaded_whole_can_be_cancelled(database):
    batch = factory.make_batch(database, state=BatchState.LOADING)
    assert cancelled(database, batch, Selection()) == cancelling.Cancelled()
    with database.read() as tx:
        assert lookup.batch(tx, batch.name).state is BatchState.CANCELLED


def test_nothing_to_cancel_is_said_and_not_asked_about(desk):
    desk.job(State.SUCCEEDED)
    desk.job(State.FAILED)
    said = "cats: nothing to cancel, every job has ended; the batch is left as it is\n"
    assert desk.type_in_a_terminal("cancel", "cats") == (0, said)
    ended = desk.type("retry", "cats", "--class", "model-error")
    assert (ended.returncode, "1 job" in ended.stderr) == (0, True)


def test_the_command_says_what_became_of_each_kind_and_who_does_the_rest(desk):
    for state in EVERY:
        desk.job(state)
    ended = desk.type("cancel", "cats", "--yes")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.splitlines() == [
        "batch cats is cancelled",
        "cats: 2 jobs cancelled",
        "3 in flight: the `overnight run` that is under way cancels them at the API, or else the next one of any batch",
        "1 already paid for: still fetched",
        "1 failed stay failed; to give them up: overnight cancel cats --state failed",
    ]
    printed = ended.stderr.splitlines()[-1].rpartition(": ")[2]
    assert desk.type_line(printed).stderr == "cats: 1 job cancelled\n"


def test_with_a_broker_the_scheduler_and_the_workers_do_it(desk, postgres_url):
    other = type(desk.database)(postgres_url)
    factory.make_job(other, factory.make_batch(other, name="cats"), state=State.RUNNING)
    other.close()
    distributed = {"OVERNIGHT_DATABASE_URL": postgres_url, "OVERNIGHT_BROKER_URL": "redis://127.0.0.1:1/0"}
    ended = desk.type("cancel", "cats", "--state", "running", **distributed)
    assert "1 in flight: the scheduler and the workers cancel them at the API" in ended.stderr


@pytest.mark.parametrize(
    ("words", "answer", "code", "state"),
    [
        ([], "n\n", 130, "pending"),
        ([], "\n", 130, "pending"),
        ([], "y\n", 0, "cancelled"),
        (["--key", "a"], "n\n", 130, "pending"),
        (["--yes"], "", 0, "cancelled"),
    ],
)
def test_in_a_terminal_it_asks_and_no_answer_is_no(desk, words, answer, code, state):
    desk.job(State.PENDING, key="a")
    ended, shown = desk.type_in_a_terminal("cancel", "cats", *words, answer=answer)
    assert ended == code
    assert ("[y/N]" in shown) is ("--yes" not in words)
    assert ("cannot be undone" in shown) is (not words)
    assert ("overnight: nothing was changed" in shown) is (code == 130)
    assert desk.states() == {"a": state}


def test_where_nobody_can_be_asked_a_whole_batch_is_cancelled_only_with_yes(desk):
    """A script's variable that was not set would leave no filter."""
    desk.job(State.PENDING, key="a")
    ended = desk.type("cancel", "cats")
    assert ended.returncode == 2
    assert ended.stderr == (
        "overnight: to cancel the whole batch cats cannot be undone, and nobody can be asked here: add --yes\n"
    )
    assert desk.states() == {"a": "pending"}
    assert desk.type("cancel", "cats", "--key", "a").returncode == 0  # which `retry` takes back
    assert desk.states() == {"a": "cancelled"}


def test_a_batch_that_is_not_there_ends_with_2(desk):
    ended = desk.type("cancel", "cat")
    assert ended.returncode == 2
    assert ended.stderr == 'overnight: there is no batch "cat"; did you mean cats?\n'
