"""Images that are paid and still to be fetched, and how large images are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from jobs import lifecycle
from jobs.lifecycle import Fence
from jobs.states import UNDER_WAY, State
from jobs.tables import attempts, batches, jobs, outputs

_LATEST = 50  # images


@dataclass(frozen=True, slots=True)
class Output:
    """One image still to fetch; ``url`` is None if the reply carried the image itself."""

    index: int
    url: str | None


@dataclass(frozen=True, slots=True)
class Collecting:
    """A paid prediction whose images are not all on disk."""

    fence: Fence
    name: str  # BATCH/KEY
    output: str | None  # the folder that is kept with its batch
    prediction_id: str
    produced_at: datetime
    stem: str  # the files' name below OUTPUT, without index and suffix
    # Files of the job's earlier attempts: never reused for this one, even if identical.
    taken: frozenset[str]
    missing: tuple[Output, ...]
    misses: int  # earlier fetches that did not bring them all
    suspect: bool  # a worker that had it before fell silent


_COLLECTING = (
    sa.select(
        jobs.c.id, jobs.c.attempt_id, jobs.c.key, jobs.c.stem, batches.c.name, batches.c.folder,
        batches.c.options["output"].as_string().label("output"),
        attempts.c.prediction_id, attempts.c.produced_at, attempts.c.misses, jobs.c.crashes,
    )
    .join(attempts, attempts.c.id == jobs.c.attempt_id)
    .join(batches, batches.c.id == jobs.c.batch_id)
    .where(
        jobs.c.id.in_(sa.bindparam("ids", expanding=True)),
        jobs.c.state == State.COLLECTING,
        lifecycle.OF_ACCOUNTS,
    )
    .order_by(attempts.c.produced_at)
)  # fmt: skip
_MISSING = (
    sa.select(outputs.c.attempt_id, outputs.c["index"], outputs.c.url)
    .where(outputs.c.attempt_id.in_(sa.bindparam("some", expanding=True)), outputs.c.path.is_(None))
    .order_by(outputs.c["index"])
)


@dataclass(frozen=True, slots=True)
class ToFetch:
    """How many jobs' images are due to be fetched, since when, and of how many a visit is under way."""

    due: int
    since: datetime | None
    visited: int


_IS_DUE = jobs.c.due_at <= sa.bindparam("now")
_TO_FETCH = sa.select(
    sa.func.count().filter(_IS_DUE),
    sa.func.min(jobs.c.due_at),
    sa.func.count().filter(~_IS_DUE, jobs.c.crashes > 0),  # handed out, and not reported on yet
).where(jobs.c.state == State.COLLECTING, jobs.c.due_at.is_not(None), lifecycle.OF_ACCOUNTS)


def to_fetch(tx: sa.Connection, of: Collection[int], now: datetime) -> ToFetch:
    """Count the jobs of these accounts whose images are to be fetched."""
    due, first, visited = tx.execute(_TO_FETCH, {"now": now, "accounts": of}).one()
    return ToFetch(due, first if due else None, visited)


def collecting(tx: sa.Connection, of: Collection[int], ids: Collection[int]) -> list[Collecting]:
    """Return the jobs among ``ids`` with images of these accounts to fetch, earliest expiry first."""
    rows = tx.execute(_COLLECTING, {"ids": ids, "accounts": of}).all()
    missing = _missing(tx, [row.attempt_id for row in rows])
    earlier = _earlier(tx, [Fence(row.id, row.attempt_id) for row in rows])
    return [
        Collecting(
            Fence(row.id, row.attempt_id), f"{row.name}/{row.key}", row.output, row.prediction_id, row.produced_at,
            _stem(row.folder, row.stem, len(earlier[row.id])), frozenset().union(*earlier[row.id].values()),
            tuple(missing.get(row.attempt_id, ())), row.misses,
            suspect=row.crashes > 1,  # this hand-out counts as one until the worker reports
        )
        for row in rows
    ]  # fmt: skip


def _earlier(tx: sa.Connection, fences: Sequence[Fence]) -> Mapping[int, Mapping[int, set[str]]]:
    """Return, by job and attempt, the stored files of earlier attempts; perhaps not all that an attempt produced."""
    rows = tx.execute(
        sa.select(outputs.c.job_id, outputs.c.attempt_id, outputs.c.path).where(
            outputs.c.job_id.in_([fence.job for fence in fences]), outputs.c.path.is_not(None)
        )
    )
    found: dict[int, dict[int, set[str]]] = {fence.job: {} for fence in fences}
    current = {fence.attempt for fence in fences}
    for job_id, attempt_id, path in rows:
        if attempt_id not in current:
            found[job_id].setdefault(attempt_id, set()).add(path)
    return found


def _stem(folder: str, stem: str, earlier: int) -> str:
    """Return a stem that keeps the files of earlier attempts in place."""
    return f"{folder}/{stem}" if not earlier else f"{folder}/{stem}.{earlier + 1}"


def _missing(tx: sa.Connection, attempt_ids: Sequence[int]) -> dict[int, list[Output]]:
    found: dict[int, list[Output]] = {}
    for attempt_id, index, url in tx.execute(_MISSING, {"some": attempt_ids}):
        found.setdefault(attempt_id, []).append(Output(index, url))
    return found


def unstored(tx: sa.Connection, api: str) -> int:
    """Return how many jobs at an API are about to be, are, or may be bought and do not have all their images yet."""
    of_api = jobs.c.batch_id.in_(sa.select(batches.c.id).where(batches.c.api == api))
    return tx.execute(
        sa.select(sa.func.count()).where(jobs.c.state.in_(UNDER_WAY), jobs.c.due_at.is_not(None), of_api)
    ).scalar_one()


def bytes_of_a_job(tx: sa.Connection) -> float | None:
    """Return how many bytes the images of one job take, by the latest stored; None if there are none."""
    latest = (
        sa.select(outputs.c.attempt_id, outputs.c.bytes)
        .where(outputs.c.path.is_not(None))
        .order_by(outputs.c.id.desc())
        .limit(_LATEST)
        .subquery()
    )
    size, count = tx.execute(
        sa.select(sa.func.sum(latest.c.bytes), sa.func.count(latest.c.attempt_id.distinct()))
    ).one()
    return float(size) / count if count else None
