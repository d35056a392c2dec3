"""From the rows of a manifest to jobs: wanted, nothing bought. Which rows, and when, is `jobs.loading`'s question."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs.failures import FailureClass
from jobs.lifecycle import deciding
from jobs.states import State
from jobs.tables import jobs

_REPLACEABLE = (State.PENDING, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One row as a job. ``input`` is without the image and with the job's own seed, if ``own_seed``.

    A row with a ``problem`` cannot be bought: it is a failed job from the start.
    """

    key: str
    stem: str
    row: int
    row_digest: str
    image: str
    input: Mapping[str, Any]
    version: str
    own_seed: bool
    labels: Mapping[str, str]
    priority: int
    problem: str | None = None


def add(tx: sa.Connection, now: datetime, batch_id: int, wanted: Sequence[Wanted]) -> None:
    """→ pending, or → failed for rows with a problem. Their keys must be new to the batch.

    Whether two file names are one is for the database to say, by its own rules for letters: a job whose name is
    taken gets six digits of its key behind it.
    """
    if not wanted:
        return
    try:
        with tx.begin_nested():
            _insert(tx, now, batch_id, wanted)
            return
    except sa.exc.IntegrityError:
        if len(wanted) == 1:
            _insert(tx, now, batch_id, [_told_apart(wanted[0])])
            return
    middle = len(wanted) // 2
    add(tx, now, batch_id, wanted[:middle])
    add(tx, now, batch_id, wanted[middle:])


def _told_apart(wanted: Wanted) -> Wanted:
    return replace(wanted, stem=f"{wanted.stem}-{hashlib.sha256(wanted.key.encode()).hexdigest()[:6]}")


def replace_input(tx: sa.Connection, now: datetime, batch_id: int, wanted: Sequence[Wanted]) -> set[str]:
    """pending and cancelled stay, failed → pending: the edited row is what is wanted now. Return the keys that won.

    What is under way or has its images stays as it was bought. A seed of our making stays the job's own, for it
    may be a later one than the manifest's.
    """
    if not wanted:
        return set()
    by_key = {one.key: one for one in wanted}
    found = tx.execute(
        sa.select(jobs.c.id, jobs.c.key, jobs.c.state, jobs.c.input, jobs.c.own_seed)
        .where(jobs.c.batch_id == batch_id, jobs.c.key.in_(by_key), jobs.c.state.in_(_REPLACEABLE))
        .with_for_update()
    ).all()
    if not found:
        return set()
    changes = [_change(row, by_key[row.key]) for row in found]
    values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in changes[0] if name != "job"}
    tx.execute(
        sa.update(jobs).where(jobs.c.id == sa.bindparam("job")).values(values),
        [{name if name == "job" else f"new_{name}": value for name, value in c.items()} for c in changes],
    )
    deciding.retry(tx, now, [row.id for row in found if row.state == State.FAILED])
    return {row.key for row in found}


def _change(row: Any, wanted: Wanted) -> dict[str, Any]:
    kept = {"seed": row.input["seed"]} if row.own_seed and wanted.own_seed else {}
    return {
        "job": row.id,
        "row": wanted.row,
        "row_digest": wanted.row_digest,
        "image": wanted.image,
        "input": {**wanted.input, **kept},
        "version": wanted.version,
        "own_seed": wanted.own_seed,
        "labels": dict(wanted.labels),
        "priority": wanted.priority,
    }


def _insert(tx: sa.Connection, now: datetime, batch_id: int, wanted: Sequence[Wanted]) -> None:
    rows = [_columns(now, batch_id, one) for one in wanted]
    if tx.dialect.name == "postgresql":
        _copy(tx, rows)
    else:
        tx.execute(sa.insert(jobs), rows)


def _columns(now: datetime, batch_id: int, wanted: Wanted) -> dict[str, Any]:
    failed = wanted.problem is not None
    return {
        "batch_id": batch_id,
        "key": wanted.key,
        "stem": wanted.stem,
        "row": wanted.row,
        "row_digest": wanted.row_digest,
        "image": wanted.image,
        "input": wanted.input,
        "version": wanted.version,
        "own_seed": wanted.own_seed,
        "labels": wanted.labels,
        "priority": wanted.priority,
        "state": State.FAILED if failed else State.PENDING,
        "due_at": None if failed else now,
        "attempts": 0,
        "absences": 0,
        "error_class": FailureClass.INVALID_INPUT if failed else None,
        "error_message": wanted.problem,
        "created_at": now,
        "finished_at": now if failed else None,
    }


def _copy(tx: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert by COPY; the driver's errors become those that SQLAlchemy makes of any other statement's."""
    names = ", ".join(tx.dialect.identifier_preparer.quote(name) for name in rows[0])
    statement = f"COPY jobs ({names}) FROM STDIN"
    driver: Any = tx.dialect.loaded_dbapi
    connection: Any = tx.connection.driver_connection
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row([json.dumps(v) if isinstance(v, dict) else v for v in row.values()])
    except driver.IntegrityError as error:
        raise sa.exc.IntegrityError(statement, None, error) from error
    except driver.OperationalError as error:
        raise sa.exc.OperationalError(statement, None, error) from error
