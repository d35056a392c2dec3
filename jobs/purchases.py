"""What a run of a batch will buy: its jobs that are wanted and not bought yet. Reads only.

The plan, its price, its disk space and the question before the first purchase all count exactly these.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from jobs import events
from jobs.batches import Batch
from jobs.manifest import schema
from jobs.states import State
from jobs.tables import PENDING, attempts, jobs

WANTED = (State.PENDING, State.QUEUED)


@dataclass(frozen=True, slots=True)
class Purchases:
    """Jobs to buy and the images they make; ``unagreed`` of the jobs came after the last run or resume."""

    jobs: int
    images: int
    unagreed: int


def left(tx: sa.Connection, batch: Batch) -> Purchases:
    """Return what is left to buy of a batch, whatever its manifest lists now.

    A person who runs or resumes a batch agrees to buy what is in it; nobody has agreed yet to what is loaded later.
    """
    began_at = events.began_at(tx, batch.id)
    later = sa.true() if began_at is None else jobs.c.created_at > began_at
    counted = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(images()), 0),
        sa.func.count().filter(later),
    ).where(jobs.c.batch_id == batch.id, jobs.c.state.in_(WANTED))
    found = tx.execute(counted).one()
    return Purchases(found[0], int(found[1]), found[2])


def first(tx: sa.Connection, batch: Batch, most: int) -> list[tuple[str, str]]:
    """Return (key, stem) of the jobs that are bought next, of those for which nothing was ever bought."""
    bought = sa.exists().where(attempts.c.job_id == jobs.c.id, attempts.c.prediction_id.is_not(None))
    wanted = sa.select(jobs.c.key, jobs.c.stem).where(
        jobs.c.batch_id == batch.id, jobs.c.state == PENDING, ~bought
    )
    rows = tx.execute(wanted.order_by(jobs.c.priority.desc(), jobs.c.id).limit(most))
    return [(row.key, row.stem) for row in rows]


def images() -> sa.ColumnElement[int]:
    """Return how many images a row of `jobs` makes, as `Schema.outputs` does."""
    return sa.func.coalesce(jobs.c.input["num_outputs"].as_integer(), schema.load().outputs({}))
