"""Which revision a database is at, and how it gets to the one that this program needs.

`versions` has the revisions. Alembic is imported only if there is something to upgrade; every command calls
`require`, which costs two short queries.
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from jobs import commands, errors, presence, tables
from jobs.database import Database, reason, shown

HEAD = "0010"  # a test compares it with `versions`; always four digits, so that texts sort like numbers
_LOCKED = "55P03"  # by a reader that stayed for longer than an upgrade waits


def current(database: Database) -> str | None:
    """Return a database's revision; None if none was ever applied. Refuses another program's."""
    with _told(database, "cannot be read"), database.read() as connection:
        there = set(sa.inspect(connection).get_table_names())
        revision: str | None = None
        if "alembic_version" in there:
            revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    _refuse_foreign(database, there - {"alembic_version"}, revision)
    return revision


def require(database: Database, flags: str = "") -> None:
    """Refuse a database that does not exist or is not at the revision that this program was written for.

    Creates nothing: SQLite would make an empty file at a misspelt path. ``flags`` are options that the next
    typed command needs.
    """
    there = database.path is None or presence.found(database.path)
    found = current(database) if there else None
    if database.path and found is None:
        raise errors.Mistake(  # a run that is killed as it makes the tables leaves a file without
            f"there is no database {'yet in' if there else 'at'} {database.path.absolute()}; "
            f"`{commands.line(flags, 'run', 'MANIFEST')}` makes one, --database names another"
        )
    _refuse_newer(database, found)
    if found != HEAD:
        held = f"is at revision {found}" if found else "has no tables yet"
        raise errors.Unavailable(
            f"database {shown(database.url)} {held}, this program needs {HEAD}; type: {_command(database, flags)}"
        )


def outgrown(database: Database) -> str | None:
    """Return why this program must not go on, if a newer one has upgraded the database. Costs two short queries.

    None also while the database is away: whoever needs it will notice.
    """
    try:
        return _newer(database, current(database))
    except errors.OvernightError:
        return None


def upgrade(database: Database) -> str | None:
    """Upgrade a database to `HEAD` and return its earlier revision; a missing SQLite file is created.

    Any number of programs may call it at once; one that is killed leaves the tables as they were.
    """
    if database.path:
        require_folder(database.path)
        _create(database.path)
    found = current(database)
    _refuse_newer(database, found)
    if found != HEAD:
        _apply(database)
    return found


def require_folder(path: Path) -> None:
    """Refuse a SQLite file in a folder that does not exist."""
    if not presence.is_folder(path.parent):
        raise errors.Mistake(
            f"there is no folder {path.parent.absolute()} to put the database {path.name} in"
        )


def _create(path: Path) -> None:
    """Create the file if it is missing, and set the journal mode that `Database` uses.

    Of two programs that switch a new file at once, SQLite refuses one without letting it wait. Only the owner
    may read the file: prompts are private.
    """
    with suppress(OSError):  # the first query reports what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    give_up = time.monotonic() + 30
    while _is_switching(path) and time.monotonic() < give_up:
        time.sleep(0.01)


def _is_switching(path: Path) -> bool:
    """Switch the file; return whether another program was doing so. The first query reports any other trouble."""
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
    """Turn the database's errors (no database file, no permission, a lock, a full disk) into Unavailable."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        why = reason(error, database.url)
        if getattr(error.orig, "sqlstate", None) == _LOCKED:
            why = "another program, perhaps a dump, is reading its tables; try again when that has ended"
        raise errors.Unavailable(f"database {shown(database.url)} {what}: {why}") from error


def _newer(database: Database, found: str | None) -> str | None:
    if not found or found <= HEAD:
        return None
    return (
        f"database {shown(database.url)} was made by a newer overnight "
        f"(revision {found}, this one knows {HEAD}); upgrade this program"
    )


def _refuse_foreign(database: Database, there: set[str], found: str | None) -> None:
    """Refuse to work in another program's database, or to add our tables to its."""
    if found:
        foreign = not re.fullmatch(r"\d{4}", found)
    else:  # a server's tables may be an extension's
        foreign = bool(there if database.is_sqlite else there & set(tables.metadata.tables))
    if foreign:
        raise errors.Mistake(
            f"database {shown(database.url)} holds another program's tables, and stays as it is; "
            "name another with --database"
        )


def _refuse_newer(database: Database, found: str | None) -> None:
    if refusal := _newer(database, found):
        raise errors.Unavailable(refusal)


def _command(database: Database, flags: str) -> str:
    """Return a command that works in any folder as printed; a server's URL is left out, as it may hold a password."""
    if database.path is None:
        return commands.line(flags, "db", "upgrade")
    return commands.line("", "db", "upgrade", "--database", f"sqlite:///{database.path.absolute()}")
