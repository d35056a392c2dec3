"""What limits a batch, seen from outside: if nobody works on it, that comes before any other limit."""

from jobs import errors
from jobs.reports import limits, status
from jobs.reports.limits import Limit
from jobs.reports.status import Progress
from jobs.settings import Settings
from overnight import opened
from overnight.run import lock


def limit(progress: Progress, settings: Settings, flags: str = "") -> Limit:
    """Return what limits a batch.

    On a server only overdue work shows that nobody is there; beside a SQLite file its free lock shows it at once.
    """
    path = settings.database_path
    alone = limits.left_alone(progress, flags) if path is not None and lock.is_free(path) else None
    return limits.deserted(progress, settings, flags) or alone or limits.current(progress, settings, flags)


def probe(settings: Settings) -> None:
    """Raise if due work of an open batch stands still. Asks the rows, since a process may be alive and idle."""
    with opened.database(settings) as db, db.read() as tx:
        for batch in status.unfinished(tx):
            if still := limits.deserted(status.progress(tx, batch.id), settings):
                raise errors.Unavailable(f"{batch.name}: {still}")
