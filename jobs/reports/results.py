"""What has come of a batch: images and where they are, purchases and what they cost. Only reads, and locks nothing."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from jobs import lifecycle, purchases
from jobs.events import EventKind
from jobs.failures import FailureClass
from jobs.states import UNSETTLED_PHASES, Phase, State
from jobs.tables import attempts, batches, events, jobs, outputs

# Of a job that was bought again only the later images count, as in an export.
_CURRENT = (jobs.c.id == outputs.c.job_id) & (jobs.c.attempt_id == outputs.c.attempt_id)
_LATER = attempts.alias("later")


@dataclass(frozen=True, slots=True)
class Harvest:
    """The totals of a batch. They take reading all its attempts and outputs: for a summary, not for a live view."""

    images: int
    bytes: int
    dropped: int  # images that were asked for and did not come, of jobs that have others
    refused: int  # failed jobs whose rows were refused when they were loaded
    found_late: int  # predictions that turned up when nobody waited for them, and went to their jobs
    predictions: int
    cost: float | None  # of those whose price was recorded at their end; None: there are none
    unpriced: int  # the other predictions: none was set, or they run, or were canceled
    orphans: int
    orphans_left: int  # of them, those that the API has not been asked to cancel yet
    orphans_refused: int  # of them, those that the API refused to cancel
    possibly_paid: int  # jobs that were bought again without proof that the earlier send had failed
    unanswered: int  # sends that may be predictions, for all that is known yet: in no other number
    began_at: datetime | None
    ended_at: datetime | None

    def spent(self, price: Decimal | None) -> float | None:
        """Return what all predictions cost, those without a price at ``price``; if that is None, without them."""
        if self.cost is None and (price is None or not self.unpriced):
            return None
        others = 0.0 if price is None else self.unpriced * float(price)
        return round((self.cost or 0.0) + others, 9)  # 0.1 + 0.2 is 0.3 where it is printed


def harvest(tx: sa.Connection, batch_id: int) -> Harvest:
    """Add up a batch's files, its purchases and what they cost."""
    of_batch = sa.select(jobs.c.id).where(jobs.c.batch_id == batch_id)
    files = tx.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(outputs.c.bytes), 0))
        .join(jobs, _CURRENT)
        .where(jobs.c.batch_id == batch_id, outputs.c.path.is_not(None))
    ).one()
    orphaned = attempts.c.phase == Phase.ORPHAN
    again = sa.exists().where(_LATER.c.job_id == attempts.c.job_id, _LATER.c.number > attempts.c.number)
    never_found = attempts.c.possibly_paid & attempts.c.prediction_id.is_(None)
    unanswered = never_found | attempts.c.phase.in_(UNSETTLED_PHASES)
    bought = tx.execute(
        sa.select(
            sa.func.count(attempts.c.prediction_id),
            sa.func.sum(attempts.c.cost),
            sa.func.count(attempts.c.prediction_id).filter(attempts.c.cost.is_(None)),
            sa.func.count().filter(orphaned),
            sa.func.count().filter(orphaned & attempts.c.cancel_sent_at.is_(None)),
            sa.func.count().filter(orphaned & attempts.c.cancel_refused.is_not(None)),
            sa.func.count(attempts.c.job_id.distinct()).filter(never_found & again),
            sa.func.count().filter(unanswered),
            sa.func.min(attempts.c.intended_at),
            sa.func.max(attempts.c.finished_at),
        ).where(attempts.c.job_id.in_(of_batch))
    ).one()
    of_jobs = (_dropped(tx, batch_id), _refused(tx, batch_id), _found_late(tx, batch_id))
    return Harvest(files[0], int(files[1]), *of_jobs, *bought)


def _dropped(tx: sa.Connection, batch_id: int) -> int:
    """Count what safety checks took from jobs that succeeded all the same."""
    asked = purchases.images()
    came = sa.select(sa.func.count()).where(outputs.c.attempt_id == jobs.c.attempt_id).scalar_subquery()
    missing = sa.select((asked - came).label("images")).where(
        jobs.c.batch_id == batch_id, jobs.c.state == State.SUCCEEDED, asked > 1
    )
    counted = missing.subquery().c.images
    return int(
        tx.execute(sa.select(sa.func.coalesce(sa.func.sum(counted), 0)).where(counted > 0)).scalar_one()
    )


def _refused(tx: sa.Connection, batch_id: int) -> int:
    failed = (jobs.c.state == State.FAILED, jobs.c.error_class == FailureClass.INVALID_INPUT)
    counted = sa.select(sa.func.count()).where(jobs.c.batch_id == batch_id, *failed, ~lifecycle.ACCEPTED)
    return tx.execute(counted).scalar_one()


def _found_late(tx: sa.Connection, batch_id: int) -> int:
    told = (events.c.batch_id == batch_id, events.c.kind == EventKind.FOUND)
    return tx.execute(sa.select(sa.func.count()).where(*told)).scalar_one()


def image_of(tx: sa.Connection, batch_id: int) -> str | None:
    """Return the path below OUTPUT of one image of a batch, None if it has none yet."""
    done = (jobs.c.batch_id == batch_id, jobs.c.state == State.SUCCEEDED, outputs.c.path.is_not(None))
    path: str | None = tx.execute(
        sa.select(outputs.c.path).join(jobs, _CURRENT).where(*done).limit(1)
    ).scalar()
    return path


def ever_stored(tx: sa.Connection, batch_id: int) -> bool:
    """Whether any image of a batch was stored, of whatever attempt. Reads all its jobs if there is none."""
    stored = (jobs.c.batch_id == batch_id, outputs.c.path.is_not(None))
    found = sa.select(outputs.c.id).join(jobs, jobs.c.id == outputs.c.job_id).where(*stored).limit(1)
    return tx.execute(found).first() is not None


def latest_images(tx: sa.Connection, most: int) -> list[tuple[str | None, str]]:
    """Return what is kept of the output folder, and the path below it, of the images that were recorded last."""
    kept = batches.c.options["output"].as_string()
    recorded = sa.select(kept, outputs.c.path).join(jobs, jobs.c.id == outputs.c.job_id).join(batches)
    latest = recorded.where(outputs.c.path.is_not(None)).order_by(outputs.c.id.desc()).limit(most)
    return [(output, path) for output, path in tx.execute(latest)]
