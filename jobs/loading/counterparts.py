"""Which jobs of a batch already stand for these rows of a manifest: those with their keys. Reads only."""

from collections.abc import Collection, Iterator

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jobs import lifecycle, purchases
from jobs.tables import jobs

# A job's ``key``, ``row_digest``, ``state``, and how many ``images`` it makes.
Counterpart = sa.Row[str, str, str, int]

_FETCHED = 1_000


def of(tx: sa.Connection, batch_id: int, keys: Collection[str]) -> dict[str, Counterpart]:
    """Return the jobs of a batch that have one of these keys, by key."""
    query = _one_by_one if tx.dialect.name == "postgresql" else _together
    return {job.key: job for job in tx.execute(query(batch_id, keys))}


def refused(tx: sa.Connection, batch_id: int) -> Iterator[str]:
    """Yield the keys of the jobs whose rows were refused when they were loaded."""
    query = sa.select(jobs.c.key).where(jobs.c.batch_id == batch_id, ~lifecycle.ACCEPTED)
    yield from tx.execute(query.order_by(jobs.c.id).execution_options(yield_per=_FETCHED)).scalars()


def _columns() -> sa.Select[str, str, str, int]:
    return sa.select(jobs.c.key, jobs.c.row_digest, jobs.c.state, purchases.images().label("images"))


def _together(batch_id: int, keys: Collection[str]) -> sa.Select[str, str, str, int]:
    return _columns().where(jobs.c.batch_id == batch_id, jobs.c.key.in_(keys))


def _one_by_one(batch_id: int, keys: Collection[str]) -> sa.Select[str, str, str, int]:
    """Look up each key on its own: asked for all at once, a server without statistics reads the whole batch.

    It has no statistics for about a minute after a load, and none on the rows that a killed load left behind.
    """
    given = sa.bindparam("given", list(keys), postgresql.ARRAY(sa.Text))
    wanted = sa.func.unnest(given).table_valued("key", name="wanted").render_derived()
    one = _columns().where(jobs.c.batch_id == batch_id, jobs.c.key == wanted.c.key).limit(1).lateral("found")
    found = sa.select(one.c.key, one.c.row_digest, one.c.state, one.c.images)
    return found.select_from(wanted.join(one, sa.true()))
