"""How the jobs of a batch have ended since it was begun, and when that is a reason to stop. Reads only.

It is begun by whoever runs it, runs it again or resumes it. Yesterday's failures are known then and stop nobody, and
yesterday's images excuse no failure of tonight. Surplus purchases are another matter: they are our own mistake, and
only who opens a batch that was paused has been told of them.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from jobs import events
from jobs.batches import Batch
from jobs.states import State
from jobs.tables import SURPLUS, attempts, jobs

_FEW_FAILED = 20  # never too many
_SOME_SUCCEEDED = 5
_FEW_SURPLUS = 10
_ENOUGH = 4  # that succeeded for each that failed: a fifth failed


@dataclass(frozen=True, slots=True)
class Losses:
    """How the jobs that ended since the batch was begun have ended.

    ``succeeded`` and ``jobs`` are 0 where they could not matter, and ``succeeded`` is counted no further than to
    where they are enough: a night has a million of them.
    """

    succeeded: int
    failed: int
    worst: str | None  # the largest failure class
    jobs: int
    surplus: int  # creates that follow no settled outcome: orphans and possibly paid twice

    @property
    def stop(self) -> bool:
        """More than 20 failed before five succeeded, or at least 50 and over a fifth: something general is wrong."""
        early = self.failed > _FEW_FAILED and self.succeeded < _SOME_SUCCEEDED
        return early or (self.failed >= 50 and self.failed > 0.2 * (self.succeeded + self.failed))

    @property
    def stopping(self) -> bool:
        return self.stop or self.fuse

    @property
    def fuse(self) -> bool:
        """Surplus purchases above 2 % of the jobs and 10: the last line against our own mistakes."""
        return self.surplus > 0.02 * self.jobs + _FEW_SURPLUS


def count(tx: sa.Connection, batch: Batch) -> Losses:
    """Count what stop-loss and billing fuse are judged by; a night without losses costs two short looks."""
    since = max(filter(None, (batch.created_at, batch.opened_at, events.began_at(tx, batch.id))))
    failed = _failed(tx, batch, since)
    count = sum(failed.values())
    surplus = _surplus(tx, batch)
    return Losses(
        succeeded=0 if count <= _FEW_FAILED else _succeeded(tx, batch, since, count * _ENOUGH),
        failed=count,
        worst=max(failed, key=lambda name: failed[name], default=None),
        jobs=0 if surplus <= _FEW_SURPLUS else _size(tx, batch.id),
        surplus=surplus,
    )


def _failed(tx: sa.Connection, batch: Batch, since: datetime) -> dict[str, int]:
    """Count by error class the jobs that failed since a moment."""
    rows = tx.execute(
        sa.select(jobs.c.error_class, sa.func.count())
        .where(jobs.c.batch_id == batch.id, jobs.c.state == State.FAILED)
        .where(jobs.c.finished_at >= since)
        .group_by(jobs.c.error_class)
    )
    return {row[0]: row[1] for row in rows}


def _succeeded(tx: sa.Connection, batch: Batch, since: datetime, most: int) -> int:
    """Count the jobs that succeeded since a moment, up to ``most``."""
    some = (
        sa.select(jobs.c.id)
        .where(jobs.c.batch_id == batch.id, jobs.c.state == State.SUCCEEDED, jobs.c.error_class.is_(None))
        .where(jobs.c.finished_at >= since)
        .order_by(jobs.c.error_class)  # none has one: it is the order of `jobs_counted`, so that this is read
        .limit(most)
        .subquery()
    )
    return tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()


def _surplus(tx: sa.Connection, batch: Batch) -> int:
    """Count the purchases beside those of the jobs since a person last opened the batch, who knew of the earlier."""
    # No join: SQLite would look up every job of the batch in an index that is mostly empty.
    owner = sa.select(jobs.c.batch_id).where(jobs.c.id == attempts.c.job_id).scalar_subquery()
    return tx.execute(
        sa.select(sa.func.count())
        .select_from(attempts)
        .where(sa.text(f"({SURPLUS})"), owner == batch.id)
        .where(attempts.c.finished_at >= (batch.opened_at or batch.created_at))
    ).scalar_one()


def _size(tx: sa.Connection, batch_id: int) -> int:
    return tx.execute(
        sa.select(sa.func.count()).select_from(jobs).where(jobs.c.batch_id == batch_id)
    ).scalar_one()
