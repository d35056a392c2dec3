"""Which revision a database is at, and how it comes to the one that this program needs.

What the revisions do is not answered here: see `versions`. Alembic is imported only by an upgrade that has
something to do; every command asks `require`, which costs two short queries.
"""

import os
import shlex
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from jobs import errors, presence
from jobs.database import Database, reason
from jobs.settings import places

HEAD = "0010"  # compared with `versions` by a test; numbers of four digits, so that text compares as they do


def current(database: Database) -> str | None:
    """Return the revision a database is at; None if no revision was ever applied."""
    with _told(database, "cannot be read"), database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return revision


def require(database: Database, flags: str = "") -> None:
    """Refuse a database that is not there, or not at the revision this program was written for.

    Creates nothing: SQLite would make an empty file of a misspelt path. ``flags`` are the options that a command
    typed next must carry.
    """
    if database.path and not presence.found(database.path):
        raise errors.Mistake(
            f"there is no database at {database.path.absolute()}; "
            f"`{_with('overnight run MANIFEST', flags)}` makes one, --database names another"
        )
    found = current(database)
    _refuse_newer(database, found)
    if found != HEAD:
        held = f"is at revision {found}" if found else "has no tables yet"
        raise errors.Unavailable(
            f"database {_shown(database)} {held}, this program needs {HEAD}; type: {_command(database, flags)}"
        )


def outgrown(database: Database) -> str | None:
    """Return why this program must not go on: a newer one has upgraded the database meanwhile. One short query.

    None also while the database is away: who needs it notices.
    """
    try:
        return _newer(database, current(database))
    except errors.Unavailable:
        return None


def upgrade(database: Database) -> str | None:
    """Bring a database to `HEAD` and return what it was at; a SQLite file is created where there is none.

    Any number of programs may call it at once, and one that is killed has changed nothing.
    """
    if database.path and not presence.is_folder(database.path.parent):
        raise errors.Mistake(
            f"there is no folder {database.path.parent.absolute()} to put the database {database.path.name} in"
        )
    if database.path:
        _create(database.path)
    found = current(database)
    _refuse_newer(database, found)
    if found != HEAD:
        _apply(database)
    return found


def _create(path: Path) -> None:
    """Make the file, or leave the one that is there, in the journal mode that `Database` uses.

    Of two programs that switch a new file at once, SQLite refuses one without letting it wait. The file is its
    owner's alone: prompts are nobody else's business.
    """
    with suppress(OSError):  # what is wrong, the first query tells
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    give_up = time.monotonic() + 30
    while _is_switching(path) and time.monotonic() < give_up:
        time.sleep(0.01)


def _is_switching(path: Path) -> bool:
    """Switch the file, and say whether another program was about it; whatever else is wrong, the first query tells."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
    return False


def _apply(database: Database) -> None:
    from alembic import command

    from migrations import scripts

    config = scripts.config()
    config.attributes["database"] = database
    with _told(database, "could not be upgraded, nothing was changed"):
        command.upgrade(config, "head")


@contextmanager
def _told(database: Database, what: str) -> Iterator[None]:
    """Say in one sentence what the database itself refuses: no database file, no right, a lock, a full disk."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise errors.Unavailable(f"database {_shown(database)} {what}: {reason(error)}") from error


def _newer(database: Database, found: str | None) -> str | None:
    if not found or found <= HEAD:
        return None
    return (
        f"database {_shown(database)} was made by a newer overnight "
        f"(revision {found}, this one knows {HEAD}); upgrade this program"
    )


def _refuse_newer(database: Database, found: str | None) -> None:
    if refusal := _newer(database, found):
        raise errors.Unavailable(refusal)


def _shown(database: Database) -> str:
    return places.shown(database.url.render_as_string(hide_password=False))


def _command(database: Database, flags: str) -> str:
    """Return the command that works as printed, in any folder; a server's URL may hold a password, and is set."""
    if database.path is None:
        return _with("overnight db upgrade", flags)
    return "overnight db upgrade --database " + shlex.quote(f"sqlite:///{database.path.absolute()}")


def _with(command: str, flags: str) -> str:
    return f"{command} {flags}".rstrip()
