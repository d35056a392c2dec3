"""Rows for tests: `make_job(database, batch, state=…)` also makes the attempt and the outputs that the state needs.

Each function takes any column by name and returns the row as the database has it.
"""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs import failures, marker, tables
from jobs.accounts import attendance
from jobs.database import Database
from jobs.states import FINAL, OPEN_PHASES, BatchState, Phase, State

API = "https://api.example/v1"

# The phase in which a job's current attempt must be; states that are not here need no attempt.
PHASE_OF = {
    State.SUBMITTING: Phase.SUBMITTING,
    State.UNCONFIRMED: Phase.UNCONFIRMED,
    State.RUNNING: Phase.RUNNING,
    State.COLLECTING: Phase.COLLECTING,
    State.SUCCEEDED: Phase.SUCCEEDED,
    State.FAILED: Phase.FAILED,
}
_BOUGHT = {Phase.RUNNING, Phase.COLLECTING, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.ORPHAN}

_numbers = itertools.count(1)


def make_batch(database: Database, **columns: Any) -> sa.Row[Any]:
    number = next(_numbers)
    state = columns.get("state", BatchState.OPEN)
    made = {
        "uuid": f"00000000-0000-4000-8000-{number:012}",
        "name": f"batch-{number}",
        "folder": f"batch-{number}",
        "api": API,
        "state": state,
        "pause_reason": "person" if state == BatchState.PAUSED else None,
        "options": {"images_root": "/"},
        "created_at": _now(),
    }
    with database.write() as tx:
        return _insert(tx, tables.batches, made | columns)


def make_account(database: Database, **columns: Any) -> sa.Row[Any]:
    with database.write() as tx:
        return _insert(tx, tables.accounts, _account(columns.get("breaker", "closed")) | columns)


def make_job(
    database: Database, batch: sa.Row[Any], *, state: str = State.PENDING, **columns: Any
) -> sa.Row[Any]:
    """Insert a job; its attempt, if the state needs one, is of the first account of the batch's API."""
    phase = PHASE_OF.get(State(state))
    with database.write() as tx:
        job = _insert(tx, tables.jobs, _job(batch, State(state)) | columns)
        if state == State.QUEUED and job.account_id is None:
            return _update(tx, tables.jobs, job.id, account_id=_account_of(tx, job).id)
        if phase is None:
            return job
        attempt = _insert(tx, tables.attempts, _attempt(job, phase, 1, _account_of(tx, job)))
        if phase in {Phase.COLLECTING, Phase.SUCCEEDED}:
            _insert(tx, tables.outputs, _output(attempt, index=0, collected=phase is Phase.SUCCEEDED))
        return _update(tx, tables.jobs, job.id, attempt_id=attempt.id, account_id=attempt.account_id)


def move_job(database: Database, job_id: int, account_id: int) -> None:
    """Make a job under way another account's."""
    with database.write() as tx:
        job = _update(tx, tables.jobs, job_id, account_id=account_id)
        _update(tx, tables.attempts, job.attempt_id, account_id=account_id)


def seat(database: Database, api: str = API) -> attendance.Seat:
    """Return the only account that is worked for at an API."""
    with database.read() as connection:
        [found] = [one for one in attendance.seats(connection) if one.account.api == api]
    return found


def make_attempt(
    database: Database,
    job: sa.Row[Any],
    phase: str = Phase.SUBMITTING,
    *,
    account: sa.Row[Any] | None = None,
    **columns: Any,
) -> sa.Row[Any]:
    """Insert the next attempt of a job, without a word to the job itself."""
    with database.write() as tx:
        made = tables.attempts.c.job_id == job.id
        number = tx.execute(sa.select(sa.func.count()).where(made)).scalar_one() + 1
        owner = account or _account_of(tx, job)
        return _insert(tx, tables.attempts, _attempt(job, Phase(phase), number, owner) | columns)


def make_output(
    database: Database, attempt: sa.Row[Any], *, index: int = 0, collected: bool = True, **columns: Any
) -> sa.Row[Any]:
    with database.write() as tx:
        return _insert(tx, tables.outputs, _output(attempt, index=index, collected=collected) | columns)


def _account(breaker: str) -> dict[str, Any]:
    return {
        "name": f"api.example-{next(_numbers):08x}",
        "api": API,
        "creates_tokens": 10.0,
        "reads_tokens": 50.0,
        "refilled_at": _now(),
        "breaker": breaker,
        "breaker_reason": None if breaker == "closed" else "made for a test",
        "failures": 0,
        "seen_at": _now(),
    }


def _job(batch: sa.Row[Any], state: State) -> dict[str, Any]:
    number = next(_numbers)
    final = state in FINAL
    return {
        "batch_id": batch.id,
        "key": f"job-{number}",
        "stem": f"job-{number}",
        "row": number,
        "row_digest": f"{number:032x}",
        "image": "https://images.example/fox.png",
        "input": {"prompt": "a fox", "seed": number},
        "version": "stability-ai/stable-diffusion-img2img",
        "own_seed": True,
        "labels": {},
        "priority": 0,
        "state": state,
        "due_at": None if final else _now(),
        # Only until the real one is there: an open state must have one from the first.
        "attempt_id": 0 if state in PHASE_OF else None,
        "attempts": 1 if PHASE_OF.get(state) in _BOUGHT else 0,
        "absences": 0,
        "error_class": failures.FailureClass.MODEL_ERROR if state is State.FAILED else None,
        "error_message": "it did not work out" if state is State.FAILED else None,
        "created_at": _now(),
        "finished_at": _now() if final else None,
    }


def _attempt(job: sa.Row[Any], phase: Phase, number: int, account: sa.Row[Any]) -> dict[str, Any]:
    intended = _now() - timedelta(seconds=5)
    bought = phase in _BOUGHT
    return {
        "job_id": job.id,
        "number": number,
        "account_id": account.id,
        "phase": phase,
        "input": job.input,
        "input_digest": marker.digest(job.input),
        "prediction_id": f"prediction{next(_numbers):016}" if bought else None,
        "intended_at": intended,
        "sent_at": None if phase is Phase.SUBMITTING else intended,
        "accepted_at": _now() if bought else None,
        "produced_at": _now() if phase in {Phase.COLLECTING, Phase.SUCCEEDED} else None,
        "absent_at": _now() if phase is Phase.ABSENT else None,
        "finished_at": None if phase in OPEN_PHASES else _now(),
        "possibly_paid": False,
        "error_class": failures.FailureClass.MODEL_ERROR if phase is Phase.FAILED else None,
    }


def _output(attempt: sa.Row[Any], *, index: int, collected: bool) -> dict[str, Any]:
    file = {
        "path": f"made/{attempt.id}-{index}.png",
        "media_type": "image/png",
        "bytes": 1234,
        "width": 64,
        "height": 64,
        "sha256": f"{attempt.id:064x}",
        "collected_at": _now(),
    }
    row = {
        "job_id": attempt.job_id,
        "attempt_id": attempt.id,
        "index": index,
        "url": f"https://files.example/{attempt.id}/{index}.png",
    }
    return row | (file if collected else {})


def _account_of(tx: sa.Connection, job: sa.Row[Any]) -> sa.Row[Any]:
    api = sa.select(tables.batches.c.api).where(tables.batches.c.id == job.batch_id).scalar_subquery()
    found = tx.execute(sa.select(tables.accounts).where(tables.accounts.c.api == api)).first()
    return found or _insert(tx, tables.accounts, _account("closed"))


def _insert(tx: sa.Connection, table: sa.Table, values: dict[str, Any]) -> sa.Row[Any]:
    return tx.execute(sa.insert(table).values(values).returning(table)).one()


def _update(tx: sa.Connection, table: sa.Table, row: int, **values: Any) -> sa.Row[Any]:
    return tx.execute(sa.update(table).where(table.c.id == row).values(values).returning(table)).one()


def _now() -> datetime:
    return datetime.now(UTC)
