"""Open a command's database, at this program's revision: one that must exist, may exist, or is created."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from jobs import errors, presence
from jobs.database import Database, lacks
from jobs.settings import Settings
from migrations import schema
from overnight import flags


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """Open the existing database; nothing is created."""
    with _opened(settings) as opened:
        _point_to_rehearsals(opened)
        schema.require(opened, flags.typed(settings))
        yield opened


def _point_to_rehearsals(opened: Database) -> None:
    """Where there is no database but the sandbox's, say so: whoever rehearsed may have left out `--api sandbox`.

    Not if `--database` was typed: then that one is meant.
    """
    path = opened.path
    if path is None or presence.found(path) or "--database" in flags.names():
        return
    other = Path("overnight-sandbox.db")  # in the current folder, as the settings have it
    if presence.found(other):
        raise errors.Mistake(
            f"there is no database at {path.absolute()}; what the sandbox has made is in {other.name}: "
            "add --api sandbox"
        )


@contextmanager
def found(settings: Settings) -> Iterator[Database | None]:
    """Open the database if it exists; nothing is created."""
    with _opened(settings) as opened:
        # Look for the file first: SQLite would create an empty one.
        if (opened.path is None or presence.found(opened.path)) and schema.current(opened) is not None:
            schema.require(opened, flags.typed(settings))
            yield opened
        else:
            yield None


def require_writable(settings: Settings) -> None:
    """Raise unless a run could make the database or write to it, as far as that can be told without making it."""
    path = settings.database_path
    if path is None:
        return
    schema.require_folder(path)
    if lacking := lacks(path):
        raise errors.Unavailable(f"database {path}: {lacking}")


@contextmanager
def made(settings: Settings) -> Iterator[Database]:
    """Create the database that `found` did not find, and open it; another command may do the same meanwhile."""
    with _opened(settings) as opened:
        schema.upgrade(opened)
        yield opened


@contextmanager
def found_or_made(settings: Settings) -> Iterator[Database]:
    """Open the database, created if it does not exist: for a service that may be started before the first run."""
    with ExitStack() as stack:
        yield stack.enter_context(found(settings)) or stack.enter_context(made(settings))


def _opened(settings: Settings) -> closing[Database]:
    return closing(Database(settings.database_url))
