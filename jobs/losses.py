"""How the jobs of a batch have ended since it was begun, and whether that is a reason to stop. Reads only.

Each run and each resume begins it anew: yesterday's failures are known by then and stop nobody, and
yesterday's images do not excuse tonight's failures. Surplus purchases are our own mistake and count since the
batch was last opened: whoever opens a paused batch has seen why it was paused.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from jobs import batches, events
from jobs.batches import Batch
from jobs.states import State
from jobs.tables import SURPLUS, attempts, jobs

_FEW_FAILED = 20  # never too many
_SOME_SUCCEEDED = 5
_FEW_SURPLUS = 10
_ENOUGH = 4  # successes for each failure: exactly a fifth failed


@dataclass(frozen=True, slots=True)
class Losses:
    """How the jobs that ended since the batch was begun have ended.

    ``succeeded`` and ``jobs`` are 0 where they cannot matter. Counting of ``succeeded`` stops when there are
    enough: a night may have a million.
    """

    succeeded: int
    failed: int
    worst: str | None  # the largest failure class
    jobs: int
    surplus: int  # creates that follow no settled outcome: orphans and possibly paid twice

    @property
    def stop_loss(self) -> bool:
        """More than 20 failed before five succeeded, or at least 50 and over a fifth: something general is wrong."""
        early = self.failed > _FEW_FAILED and self.succeeded < _SOME_SUCCEEDED
        return early or (self.failed >= 50 and self.failed > 0.2 * (self.succeeded + self.failed))

    @property
    def stopping(self) -> bool:
        return self.stop_loss or self.fuse

    @property
    def fuse(self) -> bool:
        """Surplus purchases exceed 2 % of the jobs plus 10: the last defence against our own mistakes."""
        return self.surplus > 0.02 * self.jobs + _FEW_SURPLUS


def count(tx: sa.Connection, batch: Batch) -> Losses:
    """Count what stop-loss and billing fuse are judged by; a night without losses costs only short queries."""
    since = max(filter(None, (batch.created_at, batch.opened_at, events.began_at(tx, batch.id))))
    failed = _failed(tx, batch, since)
    count = sum(failed.values())
    surplus = _surplus(tx, batch)
    return Losses(
        succeeded=0 if count <= _FEW_FAILED else _succeeded(tx, batch, since, count * _ENOUGH),
        failed=count,
        worst=max(failed, key=lambda name: failed[name], default=None),
        jobs=0 if surplus <= _FEW_SURPLUS else batches.size(tx, batch.id),
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
        .order_by(jobs.c.error_class)  # null in all: the order of `jobs_counted`, so that it is used
        .limit(most)
        .subquery()
    )
    return tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()


def _surplus(tx: sa.Connection, batch: Batch) -> int:
    """Count surplus purchases since a person last opened the batch; that person knew of the earlier ones."""
    # No join: SQLite would look up every job of the batch in a nearly empty index.
    owner = sa.select(jobs.c.batch_id).where(jobs.c.id == attempts.c.job_id).scalar_subquery()
    return tx.execute(
        sa.select(sa.func.count())
        .select_from(attempts)
        .where(sa.text(f"({SURPLUS})"), owner == batch.id)
        .where(attempts.c.finished_at >= (batch.opened_at or batch.created_at))
    ).scalar_one()
