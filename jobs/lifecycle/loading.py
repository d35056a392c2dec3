"""From manifest rows to jobs: wanted, nothing bought. `jobs.loading` decides which rows, and when."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from jobs import marker
from jobs.failures import FailureClass
from jobs.lifecycle import bulk, deciding
from jobs.states import State
from jobs.tables import batches, jobs

_REPLACEABLE = (State.PENDING, State.FAILED, State.CANCELLED)


class Wanted(NamedTuple):
    """One row as a job. The input lacks the image; if ``own_seed``, it has the job's own seed.

    ``row`` is its line in the batch's own manifest; None if it is in another, as in an export that was edited.
    A row with a ``problem`` cannot be bought: its job is failed from the start, with the ``error_class``. Input
    and labels are JSON texts, which both databases take as they are.
    """

    key: str
    stem: str
    row: int | None
    row_digest: str
    image: str
    input_json: str
    version: str
    own_seed: bool
    labels_json: str
    priority: int
    problem: str | None = None
    error_class: FailureClass = FailureClass.INVALID_INPUT


# The columns of a `Wanted`, in its order, except how it failed.
_OF_ROW = [name.removesuffix("_json") for name in Wanted._fields[:-2]]
_COLUMNS = (
    *("batch_id", *_OF_ROW, "state", "due_at", "attempts", "absences"),
    *("error_class", "error_message", "created_at", "finished_at"),
)
# As the driver takes them.
_PENDING, _FAILED = State.PENDING.value, State.FAILED.value


def add(tx: sa.Connection, now: datetime, batch_id: int, wanted: Sequence[Wanted]) -> None:
    """→ pending, or → failed for rows with a problem. Their keys must be new to the batch.

    The database decides whether two file names are the same, by its own rules for letters. A job whose name
    is taken gets six digits of its key's hash appended.
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
    return wanted._replace(stem=f"{wanted.stem}-{hashlib.sha256(wanted.key.encode()).hexdigest()[:6]}")


def replace_input(tx: sa.Connection, now: datetime, batch_id: int, wanted: Sequence[Wanted]) -> set[str]:
    """pending and cancelled stay, failed → pending, with the edited row's input. Return the keys that won.

    What is under way or has its images stays as it was bought. A job keeps its own seed, which may be a later
    one than the manifest's, unless the API's list could not tell the edited row from what was sent before: a
    prediction of the old image must not be taken for the new one's.
    """
    if not wanted:
        return set()
    by_key = {one.key: one for one in wanted}
    found = tx.execute(
        sa.select(
            jobs.c.id,
            jobs.c.key,
            jobs.c.row,
            jobs.c.state,
            jobs.c.input,
            jobs.c.own_seed,
            jobs.c.image,
            jobs.c.version,
        )
        .where(jobs.c.batch_id == batch_id, jobs.c.key.in_(by_key), jobs.c.state.in_(_REPLACEABLE))
        .with_for_update()
    ).all()
    if not found:
        return set()
    uuid = tx.execute(sa.select(batches.c.uuid).where(batches.c.id == batch_id)).scalar_one()
    sent = deciding.sent(tx, [row.id for row in found])
    changes = [_change(row, by_key[row.key], sent.get(row.id, ()), uuid) for row in found]
    tx.execute(sa.update(jobs).where(jobs.c.id == sa.bindparam("job")), changes)
    deciding.retry(tx, now, [row.id for row in found if row.state == State.FAILED])
    return {row.key for row in found}


def _seed(row: Any, wanted: Wanted, sent: Sequence[Mapping[str, Any]], uuid: str) -> int:
    """Return the own seed of an edited row: the one it has, if earlier predictions can still be told apart from it."""
    kept: int = row.input["seed"]
    edited = {**json.loads(wanted.input_json), "seed": kept}
    if (edited, wanted.image, wanted.version) == (row.input, row.image, row.version):
        return kept
    return marker.seed_of_edited(edited, sent, uuid, row.key)


def _change(row: Any, wanted: Wanted, sent: Sequence[Mapping[str, Any]], uuid: str) -> dict[str, Any]:
    kept = {"seed": _seed(row, wanted, sent, uuid)} if row.own_seed and wanted.own_seed else {}
    return {
        "job": row.id,
        "row": row.row if wanted.row is None else wanted.row,
        "row_digest": wanted.row_digest,
        "image": wanted.image,
        "input": {**json.loads(wanted.input_json), **kept},
        "version": wanted.version,
        "own_seed": wanted.own_seed,
        "labels": json.loads(wanted.labels_json),
        "priority": wanted.priority,
    }


def forget(tx: sa.Connection, batch_id: int, keys: Sequence[str]) -> int:
    """failed at its load → gone: its row was refused, nothing was ever bought for it, and it is no longer listed."""
    if not keys:
        return 0
    return tx.execute(
        sa.delete(jobs).where(jobs.c.batch_id == batch_id, jobs.c.key.in_(keys), ~deciding.ACCEPTED)
    ).rowcount


def _insert(tx: sa.Connection, now: datetime, batch_id: int, wanted: Sequence[Wanted]) -> None:
    as_time = jobs.c.created_at.type.dialect_impl(tx.dialect).bind_processor(tx.dialect)
    moment = as_time(now) if as_time else now
    bulk.insert(tx, jobs, _COLUMNS, [_values(moment, batch_id, one) for one in wanted])


def _values(moment: Any, batch_id: int, wanted: Wanted) -> tuple[Any, ...]:
    """Return a job's values in the order of `_COLUMNS`."""
    row = wanted[: len(_OF_ROW)]
    if wanted.problem is None:
        return (batch_id, *row, _PENDING, moment, 0, 0, None, None, moment, None)
    return (batch_id, *row, _FAILED, None, 0, 0, wanted.error_class.value, wanted.problem, moment, moment)
