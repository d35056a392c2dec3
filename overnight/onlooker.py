"""What limits a batch, seen from outside: if nobody works on it, that comes before any other limit."""

from collections.abc import Sequence

import sqlalchemy as sa

from jobs import database, errors
from jobs.accounts import attendance
from jobs.reports import limits, status
from jobs.reports.limits import Limit
from jobs.reports.status import Overview, Progress
from jobs.settings import Settings
from overnight import flags, opened
from overnight.run import lock


def limit(progress: Progress, settings: Settings, typed: str = "") -> Limit:
    """Return what limits a batch.

    On a server only overdue work shows that nobody is there; beside a SQLite file its free lock shows it at once.
    """
    free = _is_free(settings)
    left = limits.left_alone(progress, typed) if free else None
    alone = free or bool(limits.unheard_of(progress.seen_at, progress.at, settings))
    return (
        limits.deserted(progress, settings, typed)
        or left
        or limits.current(progress, settings, typed, alone=alone)
    )


def at_a_glance(tx: sa.Connection, rows: Sequence[Overview], settings: Settings) -> list[Limit | None]:
    """Return what limits each of many batches, as far as it can be told without a query for each; None: nothing known.

    That a server's scheduler is gone is among what cannot.
    """
    alone = _is_free(settings)
    seen, now = attendance.last_seen(tx), database.now(tx)
    return [
        limits.at_a_glance(
            row,
            flags.typed(settings, row.batch),
            alone=alone,
            unheard=limits.unheard_of(seen.get(row.batch.api), now, settings),
        )
        for row in rows
    ]


def _is_free(settings: Settings) -> bool:
    path = settings.database_path
    return path is not None and lock.is_free(path)


def probe(settings: Settings) -> None:
    """Raise if due work of an open batch stands still. Asks the rows, since a process may be alive and idle."""
    with opened.database(settings) as db, db.read() as tx:
        for batch in status.unfinished(tx):
            if still := limits.deserted(status.progress(tx, batch.id), settings):
                raise errors.Unavailable(f"{batch.name}: {still}")
