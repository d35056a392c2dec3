"""How Alembic upgrades a database: on its own connection, in one transaction, one upgrade at a time.

Alembic runs this file; `schema.upgrade` leaves the `Database` in the configuration's attributes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import context

from jobs import crashpoints, errors
from jobs.database import Database

_UPGRADE_LOCK = 20_261_123  # advisory locks are per database; any otherwise unused number will do


@contextmanager
def _alone(database: Database) -> Iterator[sa.Connection]:
    """Open a transaction that makes every other upgrade wait; at its end all revisions take effect, or none."""
    with database.engine.connect() as connection:
        connection.detach()  # never returned to the pool, so its settings affect nothing else
        if database.is_sqlite:
            _ignore_foreign_keys(connection)
        with database.begin(connection, writes=True):
            if not database.is_sqlite:
                _take_turn(connection)
            yield connection


def _ignore_foreign_keys(connection: sa.Connection) -> None:
    """Let SQLite drop and rebuild a table that others reference; the pragma only works outside a transaction.

    With foreign keys on, dropping a table first deletes its rows, with all that references them.
    """
    connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")


def _take_turn(connection: sa.Connection) -> None:
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
    # An ALTER TABLE that waits for one long reader makes every later reader wait too: rather give up.
    connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")


def _run(connection: sa.Connection) -> None:
    """Apply the revisions, with the view dropped meanwhile: neither database alters a column that a view uses.

    On PostgreSQL only if a revision brings its text: with the view would go who may read it, and what a person has
    built on it would forbid the upgrade.
    """
    context.configure(connection=connection)
    revision, text = _newest_view()
    stays = connection.dialect.name == "postgresql" and revision <= (
        context.get_context().get_current_revision() or ""
    )
    if not stays:
        connection.exec_driver_sql("DROP VIEW IF EXISTS results")
    context.run_migrations()
    if not stays:
        connection.exec_driver_sql(text)


def _newest_view() -> tuple[str, str]:
    """Return the latest revision that brings the view's text, and the text."""
    return next(
        (script.revision, script.module.RESULTS_VIEW)
        for script in context.script.walk_revisions()
        if hasattr(script.module, "RESULTS_VIEW")
    )


def _check_foreign_keys(connection: sa.Connection) -> None:
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if lost:
        raise errors.OvernightError(
            f"the upgrade would leave {len(lost)} rows without what they belong to, "
            f"the first in {lost[0][0]}; nothing was changed"
        )


def _upgrade(database: Database) -> None:
    with _alone(database) as connection:
        _run(connection)
        if database.is_sqlite:
            _check_foreign_keys(connection)
        crashpoints.reach(crashpoints.Place.DURING_MIGRATION)


_upgrade(context.config.attributes["database"])
