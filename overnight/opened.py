"""The database that a command works on, at this program's revision: it must be there, may be there, or is made."""

from collections.abc import Iterator
from contextlib import contextmanager

from jobs import presence
from jobs.database import Database
from jobs.settings import Settings
from overnight import flags


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """Open the database that is there; nothing is created."""
    from migrations import schema

    with _opened(settings) as opened:
        schema.require(opened, flags.typed(settings))
        yield opened


@contextmanager
def found(settings: Settings) -> Iterator[Database | None]:
    """Open the database if it is there; nothing is created."""
    from migrations import schema

    with _opened(settings) as opened:
        if _is_there(opened):
            schema.require(opened, flags.typed(settings))
            yield opened
        else:
            yield None


@contextmanager
def made(settings: Settings) -> Iterator[Database]:
    """Open the database, made if there is none; one that is older or newer than this program is refused."""
    from migrations import schema

    with _opened(settings) as opened:
        if _is_there(opened):
            schema.require(opened, flags.typed(settings))
        else:
            schema.upgrade(opened)
        yield opened


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    opened = Database(settings.database_url)
    try:
        yield opened
    finally:
        opened.close()


def _is_there(opened: Database) -> bool:
    from migrations import schema

    # The file is looked for first: SQLite would make an empty one of any path that is asked.
    return (opened.path is None or presence.found(opened.path)) and schema.current(opened) is not None
