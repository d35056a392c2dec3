"""Which rows the database itself refuses, on both kinds alike."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from jobs import tables
from jobs.states import BatchState, Phase, State
from tests import factory

NOW = datetime(2026, 11, 23, 3, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def rows(database):
    """A legal row by name, made when it is asked for."""
    batch = factory.make_batch(database)

    def make(name):
        match name.split():
            case ["batch"]:
                return tables.batches, batch
            case ["account"]:
                return tables.accounts, factory.make_account(database)
            case ["job", state]:
                return tables.jobs, factory.make_job(database, batch, state=state)
            case ["attempt", phase]:
                job = factory.make_job(database, batch)
                return tables.attempts, factory.make_attempt(database, job, phase)
            case ["output"]:
                job = factory.make_job(database, batch)
                attempt = factory.make_attempt(database, job, Phase.COLLECTING)
                return tables.outputs, factory.make_output(database, attempt)

    return make


# The constraint, a legal row, and what makes it a lie.
LIES = [
    ("batches_state_known", "batch", {"state": "done"}),
    ("batches_pause_has_a_reason", "batch", {"state": "paused"}),
    ("batches_pause_has_a_reason", "batch", {"pause_reason": "person"}),
    ("jobs_state_known", "job pending", {"state": "lost"}),
    ("jobs_final_has_an_end", "job pending", {"finished_at": NOW}),
    ("jobs_final_has_an_end", "job succeeded", {"finished_at": None}),
    ("jobs_final_is_never_due", "job pending", {"due_at": None}),
    ("jobs_final_is_never_due", "job cancelled", {"due_at": NOW}),
    ("jobs_failed_has_a_class", "job failed", {"error_class": None}),
    ("jobs_failed_has_a_class", "job running", {"error_class": "nsfw"}),
    *(
        ("jobs_open_has_an_attempt", f"job {state}", {"attempt_id": None})
        for state in (State.SUBMITTING, State.UNCONFIRMED, State.RUNNING, State.COLLECTING)
    ),
    ("accounts_breaker_known", "account", {"breaker": "ajar", "breaker_reason": "wind"}),
    ("accounts_breaker_has_a_reason", "account", {"breaker": "blocked"}),
    ("accounts_breaker_has_a_reason", "account", {"breaker_reason": "wind"}),
    ("attempts_phase_known", "attempt failed", {"phase": "gone"}),
    ("attempts_closed_has_an_end", "attempt running", {"finished_at": NOW}),
    ("attempts_closed_has_an_end", "attempt refused", {"finished_at": None}),
    *(
        ("attempts_bought_has_an_id", f"attempt {phase}", {"prediction_id": None})
        for phase in (Phase.RUNNING, Phase.COLLECTING, Phase.SUCCEEDED, Phase.ORPHAN)
    ),
    ("outputs_file_is_whole", "output", {"path": None}),
    ("outputs_file_is_whole", "output", {"sha256": None}),
    ("outputs_file_is_whole", "output", {"collected_at": None}),
]


@pytest.mark.parametrize(("constraint", "name", "lie"), LIES)
def test_a_row_that_cannot_be_true_is_refused(database, rows, constraint, name, lie):
    table, row = rows(name)
    with pytest.raises(sa.exc.IntegrityError, match=rf"\b{constraint}\b"):
        _change(database, table, row, **lie)


def test_every_check_has_its_lie():
    checks = {
        constraint.name
        for table in tables.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }
    assert checks == {constraint for constraint, _, _ in LIES}


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_stored(database, state):
    job = factory.make_job(database, factory.make_batch(database), state=state)
    assert job.state == state


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_be_stored(database, phase):
    job = factory.make_job(database, factory.make_batch(database))
    assert factory.make_attempt(database, job, phase).phase == phase


@pytest.mark.parametrize("state", BatchState)
def test_every_state_of_a_batch_can_be_stored(database, state):
    assert factory.make_batch(database, state=state).state == state


def test_a_job_has_one_open_attempt_at_most(database):
    job = factory.make_job(database, factory.make_batch(database))
    factory.make_attempt(database, job, Phase.FAILED)
    factory.make_attempt(database, job, Phase.COLLECTING)
    with pytest.raises(sa.exc.IntegrityError, match=r"attempts_one_open|attempts\.job_id"):
        factory.make_attempt(database, job, Phase.SUBMITTING)


def test_of_two_equal_sends_one_may_be_in_doubt_at_most(database):
    batch = factory.make_batch(database)
    twins = [factory.make_job(database, batch, input={"prompt": "a fox", "seed": 7}) for _ in range(3)]
    factory.make_attempt(database, twins[0], Phase.RUNNING)
    factory.make_attempt(database, twins[1], Phase.UNCONFIRMED)
    with pytest.raises(sa.exc.IntegrityError, match=r"attempts_one_unsettled_twin|attempts\.input_digest"):
        factory.make_attempt(database, twins[2], Phase.SUBMITTING)
    factory.make_attempt(database, twins[2], Phase.SUBMITTING, account=factory.make_account(database))


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("job pending", ("batch_id", "key")),
        ("attempt running", ("prediction_id",)),
        ("attempt running", ("job_id", "number")),
        ("output", ("path",)),
        ("output", ("attempt_id", "index")),
        ("account", ("name",)),
    ],
)
def test_what_names_one_thing_names_no_other(database, rows, name, columns):
    table, one = rows(name)
    _, other = rows(name)
    taken = {column: getattr(one, column) for column in columns if column != "index"}
    with pytest.raises(sa.exc.IntegrityError, match=r"(?i)unique"):
        _change(database, table, other, **taken)


def test_two_jobs_never_share_a_file_name_that_differs_in_case_only(database):
    batch = factory.make_batch(database)
    factory.make_job(database, batch, stem="Cats/Tom")
    with pytest.raises(sa.exc.IntegrityError, match="jobs_one_file_name"):
        factory.make_job(database, batch, stem="cats/tom")
    factory.make_job(database, factory.make_batch(database), stem="cats/tom")


def test_no_row_is_deleted_as_a_side_effect(database):
    batch = factory.make_batch(database)
    factory.make_job(database, batch, state=State.SUCCEEDED)
    for table in (tables.batches, tables.jobs, tables.attempts, tables.accounts):
        with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
            connection.execute(sa.delete(table))


def test_a_moment_comes_back_as_it_was_in_utc(database):
    local = NOW.astimezone(timezone(timedelta(hours=9)))
    batch = factory.make_batch(database, created_at=local)
    assert batch.created_at == NOW
    assert batch.created_at.tzinfo is UTC


def test_results_has_one_line_for_each_job(database):
    batch = factory.make_batch(database, name="cats")
    for state in State:
        factory.make_job(database, batch, state=state, key=state.value)
    with database.read() as connection:
        lines = connection.exec_driver_sql(
            "SELECT key, state, images, path, prediction_id FROM results"
        ).all()
    assert {line.key: line.state for line in lines} == {state: state for state in State}
    [done] = [line for line in lines if line.state == State.SUCCEEDED]
    assert (done.images, done.path is None, done.prediction_id is None) == (1, False, False)


def _change(database, table, row, **values):
    with database.write() as connection:
        connection.execute(sa.update(table).where(table.c.id == row.id).values(values))
