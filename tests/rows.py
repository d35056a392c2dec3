"""Looking at rows, and at arrows: what one transaction of `lifecycle` did."""

import sqlalchemy as sa

from jobs import database as databases
from jobs import tables
from jobs.lifecycle import Fence


def write(database, arrow, *args, **named):
    """Run one arrow in a transaction of its own, at the database's time."""
    with database.write() as tx:
        return arrow(tx, databases.now(tx), *args, **named)


def now(database):
    with database.read() as tx:
        return databases.now(tx)


def job(database, job_id):
    return _one(database, tables.jobs, job_id)


def attempt(database, attempt_id):
    return _one(database, tables.attempts, attempt_id)


def account(database, account_id):
    return _one(database, tables.accounts, account_id)


def batch(database, batch_id):
    return _one(database, tables.batches, batch_id)


def attempts(database, job_id):
    """The attempts of a job, the oldest first."""
    return rows(database, tables.attempts, tables.attempts.c.job_id == job_id)


def rows(database, table, *where):
    with database.read() as tx:
        return tx.execute(sa.select(table).where(*where).order_by(table.c.id)).all()


def everything(database):
    """Every row of what the life cycle writes, to see that nothing was written."""
    return [rows(database, table) for table in (tables.jobs, tables.attempts, tables.outputs)]


def change(database, table, row_id, **values):
    with database.write() as tx:
        tx.execute(sa.update(table).where(table.c.id == row_id).values(values))


def is_waited_for(database):
    """Whether somebody waits for a lock of a server."""
    with database.read() as tx:
        return tx.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted"))


def stamp(database, revision):
    """Have the database say that it is of a revision."""
    with database.write() as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = :it"), {"it": revision})


def fence(job):
    """The fence of a job as it stands."""
    return Fence(job.id, job.attempt_id)


def _one(database, table, row_id):
    with database.read() as tx:
        return tx.execute(sa.select(table).where(table.c.id == row_id)).one()
