"""Inserts many rows at once, in the fastest way that each database has. Does not look at their contents.

Bypasses SQLAlchemy's inserts, which process every value of every row: callers pass what the driver takes.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa

# Per statement. SQLite compiles the table's CHECKs anew for each, which costs as much as several rows.
_ROWS = 100

Values = Sequence[Any]


def insert(tx: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
    """Insert rows of values for these columns; raises SQLAlchemy's errors like any other statement."""
    quote = tx.dialect.identifier_preparer.quote
    into = f"{quote(table.name)} ({', '.join(map(quote, columns))})"
    if tx.dialect.name == "postgresql":
        _copy(tx, into, rows)
        return
    one = f"({','.join('?' * len(columns))})"
    for piece in (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)):
        statement = f"INSERT INTO {into} VALUES {','.join([one] * len(piece))}"  # noqa: S608  no value is in it
        tx.exec_driver_sql(statement, tuple(chain.from_iterable(piece)))


def _copy(tx: sa.Connection, into: str, rows: Iterable[Values]) -> None:
    """Insert by COPY, wrapping the driver's errors as SQLAlchemy would."""
    statement = f"COPY {into} FROM STDIN"
    driver: Any = tx.dialect.loaded_dbapi
    connection: Any = tx.connection.driver_connection
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except driver.IntegrityError as error:
        raise sa.exc.IntegrityError(statement, None, error) from error
    except driver.OperationalError as error:
        raise sa.exc.OperationalError(statement, None, error) from error
