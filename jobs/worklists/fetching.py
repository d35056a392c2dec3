"""Images that are paid and still to be fetched."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from jobs import lifecycle
from jobs.lifecycle import Fence
from jobs.states import State
from jobs.tables import attempts, batches, jobs, outputs


@dataclass(frozen=True, slots=True)
class Output:
    """One image still to fetch; ``url`` is None when the reply carried the image itself."""

    index: int
    url: str | None


@dataclass(frozen=True, slots=True)
class Collecting:
    """A paid prediction whose images are not all on disk."""

    fence: Fence
    name: str  # BATCH/KEY
    prediction_id: str
    produced_at: datetime
    stem: str  # the files' name below OUTPUT, without index and suffix
    missing: tuple[Output, ...]
    misses: int  # earlier looks that did not bring them all
    suspect: bool  # a worker that had it before fell silent


def collecting(tx: sa.Connection, of: Collection[int], ids: Collection[int]) -> list[Collecting]:
    """Return the jobs among ``ids`` with images of these accounts to fetch, what expires first first."""
    # An earlier attempt's images may be fewer than it promised; they are kept all the same.
    generation = (
        sa.select(sa.func.count(outputs.c.attempt_id.distinct()))
        .where(
            outputs.c.job_id == jobs.c.id,
            outputs.c.attempt_id != jobs.c.attempt_id,
            outputs.c.path.is_not(None),
        )
        .scalar_subquery()
    )
    rows = tx.execute(
        sa.select(
            jobs.c.id, jobs.c.attempt_id, jobs.c.key, jobs.c.stem, batches.c.name, batches.c.folder,
            attempts.c.prediction_id, attempts.c.produced_at, attempts.c.misses,
            generation.label("generation"), jobs.c.crashes,
        )
        .join(attempts, attempts.c.id == jobs.c.attempt_id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(jobs.c.id.in_(ids), jobs.c.state == State.COLLECTING, lifecycle.of_accounts(of))
        .order_by(attempts.c.produced_at)
    ).all()  # fmt: skip
    missing = _missing(tx, [row.attempt_id for row in rows])
    return [
        Collecting(
            Fence(row.id, row.attempt_id), f"{row.name}/{row.key}", row.prediction_id, row.produced_at,
            _stem(row.folder, row.stem, row.generation), tuple(missing.get(row.attempt_id, ())), row.misses,
            suspect=row.crashes > 1,  # handing it out is counted until it is answered
        )
        for row in rows
    ]  # fmt: skip


def _stem(folder: str, stem: str, earlier: int) -> str:
    """Name the files so that those of earlier attempts stay."""
    return f"{folder}/{stem}" if not earlier else f"{folder}/{stem}.{earlier + 1}"


def _missing(tx: sa.Connection, attempt_ids: Sequence[int]) -> dict[int, list[Output]]:
    rows = tx.execute(
        sa.select(outputs.c.attempt_id, outputs.c["index"], outputs.c.url)
        .where(outputs.c.attempt_id.in_(attempt_ids), outputs.c.path.is_(None))
        .order_by(outputs.c["index"])
    )
    found: dict[int, list[Output]] = {}
    for attempt_id, index, url in rows:
        found.setdefault(attempt_id, []).append(Output(index, url))
    return found
