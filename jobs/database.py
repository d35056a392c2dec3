"""How transactions are opened, and what time it is. Which rows they touch is the writers' question.

A `write` is a short unit of work; no HTTP call is ever made inside one.
"""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from jobs import errors, presence
from jobs.settings import places

ValueT = TypeVar("ValueT")

_BUSY = 30.0  # seconds
_IDLE = 30  # seconds
_TRIES = 5
_FIRST_WAIT = 0.05  # seconds, doubled at each try, with full jitter
_BROKEN_OFF = frozenset({"40001", "40P01"})  # serialization failure, deadlock: all rolled back
# A machine that loses power, or a firewall that forgets a line, says nothing. As patient as the system is, for hours or
# a quarter of one, a night would stand still, and ids be held that are recorded nowhere else.
_ALIVE = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 50_000}
_PRIMARY = 0xFF  # of a SQLite error code; the rest is detail
_CLOSED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_NO_DATABASE = "file is not a database"  # SQLite's words
_READ_ONLY = "25006"  # what a standby says, and a server that has just become one
_BROKEN = "XX"  # the class of a damaged page or index, or of a fault of the server's own
_FORBIDDEN = "42501"  # to this role, until somebody grants it


class Database:
    """One SQLAlchemy engine with two ways in: `read` and `write`."""

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # SQLite's own busy handler sleeps and starves; inside one process a lock is fair and cheap.
        self._turn = threading.Lock() if self.is_sqlite else None
        self._file: int | None = None  # which one is open; None: none yet, or a server's
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)

    @property
    def path(self) -> Path | None:
        """The SQLite file; None on a server."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that only reads: one snapshot, never in a writer's way."""
        self._stay()
        with _unavailable(self.url), self.engine.connect() as connection:
            if not self.is_sqlite:  # sent with BEGIN, reset when the connection returns to the pool
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with self.begin(connection, writes=False):
                yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that writes; it commits at the end of the block or not at all."""
        self._stay()
        with (
            _unavailable(self.url, writing=True),
            self._in_turn(),
            self.engine.connect() as connection,
            self.begin(connection, writes=True),
        ):
            yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Let one thread write at a time; none waits for ever for others that wait for another program's lock."""
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=_BUSY):
            raise errors.Unavailable(f"database {shown(self.url)}: database is locked")
        try:
            yield
        finally:
            self._turn.release()

    def _stay(self) -> None:
        """Raise Unavailable if the open file is not the one at its path any more: who looks there finds nothing of it.

        SQLite itself goes on writing to a file that was deleted, moved, or replaced by a backup.
        """
        found = _file(self.path)
        if self._file is not None and found != self._file:
            raise errors.Unavailable(
                f"database {shown(self.url)} was moved, deleted or replaced while it was in use; "
                "put it back, then type the same again"
            )

    @contextmanager
    def begin(self, connection: sa.Connection, *, writes: bool) -> Iterator[None]:
        """Open a transaction on a connection.

        For SQLite, BEGIN is executed here rather than in a listener: on an engine that has any listener,
        every statement checks for all kinds of them.
        """
        with connection.begin():
            if self.is_sqlite:  # DEFERRED writers deadlock when two upgrade; IMMEDIATE ones queue
                connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")
                self._file = self._file or _file(self.path)
            yield

    def unit(self, work: Callable[[sa.Connection], ValueT]) -> ValueT:
        """Run a whole unit of work in a `write`; run it again if the server aborts it in favour of another.

        Only what was surely rolled back is repeated. A commit whose answer was lost may have succeeded: that is raised
        as Unavailable, and the rows' fences and states decide whether a repetition changes anything.
        """
        for wait in (_FIRST_WAIT * 2**n for n in range(_TRIES - 1)):
            try:
                return self._once(work)
            except errors.Unavailable as error:
                if not _is_broken_off(error):
                    raise
                time.sleep(random.uniform(0, wait))  # noqa: S311  jitter, no secret
        return self._once(work)

    def _once(self, work: Callable[[sa.Connection], ValueT]) -> ValueT:
        with self.write() as tx:
            return work(tx)

    def close(self) -> None:
        self.engine.dispose()


def _file(path: Path | None) -> int | None:
    """Return which file is at a path, as its disk numbers them; None if there is none."""
    try:
        return path.stat().st_ino if path else None
    except OSError:
        return None


def now(connection: sa.Connection) -> datetime:
    """Return the time that leases are measured by: the server's, or this machine's for a SQLite file."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = connection.execute(sa.select(sa.func.now())).scalar_one()
    return moment.astimezone(UTC)


@contextmanager
def _unavailable(url: sa.URL, *, writing: bool = False) -> Iterator[None]:
    """Turn a database that is out of reach into Unavailable, with one sentence."""
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        theirs = {_FORBIDDEN, _READ_ONLY} if writing else {_FORBIDDEN}
        if not (_is_the_servers(error) or _sqlstate(error) in theirs):
            raise
        raise errors.Unavailable(f"database {shown(url)}: {reason(error, url)}") from error


def shown(url: sa.URL) -> str:
    """Return where a database is, fit to print."""
    return places.shown(url.render_as_string(hide_password=False))


def reason(error: sa.exc.SQLAlchemyError, url: sa.URL) -> str:
    """Return the database's message in one line, with the remedy where one is known."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & _PRIMARY
    if code in _CLOSED and url.database and (lacking := lacks(Path(url.database))):
        return lacking
    said = str(getattr(error, "orig", error)).strip().splitlines()[0]
    if said == _NO_DATABASE:
        return f"{said}; name another with --database, or move the file away"
    return said


def lacks(path: Path) -> str | None:
    """Return which right to use a SQLite file is missing, with the remedy; None if none is."""
    if presence.found(path) and not os.access(path, os.R_OK):
        what = "to read the file"
    elif presence.found(path) and not os.access(path, os.W_OK):
        what = "to write to the file"
    elif not presence.takes_files(path.parent):
        what = f"to make files in {path.parent}, as SQLite does even to read"
    else:
        return None
    return f"no right {what}; mend the rights or the disk, or name another with --database"


def _is_the_servers(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether the server, the file or the pool is at fault, and not the statement."""
    if isinstance(error, sa.exc.TimeoutError):  # every connection of the pool is in use
        return True
    if getattr(error, "connection_invalidated", False) or (_sqlstate(error) or "").startswith(_BROKEN):
        return True
    # The bare class is what a damaged SQLite file raises; its other subclasses are faults of a statement.
    return type(error) in {sa.exc.DatabaseError, sa.exc.OperationalError}


def _is_broken_off(error: errors.Unavailable) -> bool:
    return _sqlstate(error.__cause__) in _BROKEN_OFF


def _sqlstate(error: BaseException | None) -> str | None:
    found: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return found


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver would open DEFERRED transactions of its own
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: an intent whose commit could vanish in a power cut would be a prediction nobody looks for.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # KiB of pages. Of the usual 2 MB each, a dozen connections would grow all night; the system keeps them anyway.
        connection.execute("PRAGMA cache_size = -512")

    return engine


def _postgres_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        pool_pre_ping=True,  # a connection that a restart of the server killed is found before it is used
        pool_size=8,
        max_overflow=4,
        # No prepared statements: a plan made while a table was empty would be kept for ever, ten times slower
        # an hour later.
        connect_args={
            "connect_timeout": 5,
            "prepare_threshold": None,
            "client_encoding": "utf8",
            "fallback_application_name": "overnight",  # in the server's list of connections, and its log
            **_ALIVE,
        },
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        _require_unicode(connection, url)
        # A process that is stopped inside a transaction would keep its row locks for ever, and block the
        # rescue too. Our own wait for the server, and for a few hundred looks at a disk.
        connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE}s'")
        connection.execute("SET datestyle = 'ISO'")  # psycopg reads no other, which a role may have
        connection.commit()

    @sa.event.listens_for(engine, "after_cursor_execute")
    def _start_timer(
        _tx: Any, cursor: Any, _text: Any, _values: Any, _context: Any, executemany: bool
    ) -> None:
        # psycopg sends executemany as a pipeline that ends with a Flush after the Sync. Any message stops the
        # server's idle timer and only a Sync starts it, so one more statement is needed to start it again.
        if executemany:
            cursor.connection.execute("")

    return engine


def _require_unicode(connection: Any, url: sa.URL) -> None:
    """Refuse a database that cannot hold every text: what an API says could not be recorded, nor what came with it."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise errors.Mistake(
            f"database {shown(url)} holds texts in {encoding}, and prompts may be in any script; "
            "make one with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
