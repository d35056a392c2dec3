"""What limits a batch, seen from outside: if nobody works on it, that comes before any other limit."""

from collections.abc import Sequence

import sqlalchemy as sa

from jobs import database, errors
from jobs.accounts import attendance
from jobs.reports import desertion, limits, status
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
    alone = free or bool(desertion.unheard_of(progress.seen_at, progress.at, settings))
    return (
        desertion.noticed(progress, settings, typed)
        or (desertion.certain(progress, typed) if free else None)
        or limits.current(progress, settings, typed, alone=alone)
    )


def at_a_glance(tx: sa.Connection, rows: Sequence[Overview], settings: Settings) -> list[Limit | None]:
    """Return what limits each of many batches, as far as it can be told without a query for each; None: nothing known.

    That a server's scheduler is gone is among what cannot.
    """
    free = _is_free(settings)
    seen, now = attendance.last_seen(tx), database.now(tx)

    def told(row: Overview) -> Limit | None:
        typed = flags.typed(settings, row.batch)
        if free:
            deserted = desertion.certain(row, typed)
        else:
            deserted = desertion.unheard(row, seen.get(row.batch.api), now, settings)
        return deserted or limits.of_state(row, typed)

    return [told(row) for row in rows]


def _is_free(settings: Settings) -> bool:
    path = settings.database_path
    return path is not None and lock.is_free(path)


def probe(settings: Settings) -> None:
    """Raise if an open batch is deserted. Asks the rows, since a process may be alive and idle."""
    with opened.database(settings) as db, db.read() as tx:
        for batch in status.unfinished(tx):
            if deserted := desertion.noticed(status.progress(tx, batch.id), settings):
                raise errors.Unavailable(f"{batch.name}: {deserted}")
