"""The database that a command works on: it must be there, and at this program's revision."""

from collections.abc import Iterator
from contextlib import contextmanager

from jobs.database import Database
from jobs.settings import Settings


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """Open the database that is there; nothing is created."""
    from migrations import schema

    opened = Database(settings.database_url)
    try:
        schema.require(opened)
        yield opened
    finally:
        opened.close()
