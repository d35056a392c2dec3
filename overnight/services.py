"""What `overnight worker` and `overnight scheduler` share beside what they do."""

import os

from jobs import errors
from jobs.reports import limits, results
from jobs.settings import Settings
from overnight import opened


def probe(settings: Settings) -> None:
    """Raise if due work of an open batch stands still. Asks the rows, since a process may be alive and idle."""
    with opened.database(settings) as db, db.read() as tx:
        unfinished = [row.batch for row in results.overview(tx) if not row.finished]
        for batch in unfinished:
            if still := limits.deserted(results.progress(tx, batch.id), settings):
                raise errors.Unavailable(f"{batch.name}: {still}")


def pass_on(settings: Settings) -> None:
    """Let child processes that are spawned rather than forked read the same settings."""
    os.environ["OVERNIGHT_DATABASE_URL"] = settings.database_url
    os.environ["OVERNIGHT_OUTPUT"] = str(settings.output)
    os.environ["OVERNIGHT_API_URL"] = settings.api.url
