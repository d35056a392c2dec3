"""What SQLite and PostgreSQL store, index or plan each in its own way, said once for both."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


class Utc(sa.types.TypeDecorator[datetime]):
    """A moment: timezone-aware UTC in Python; SQLite has no such type and stores it without the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002  the base class's signature
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # only INTEGER is a rowid in SQLite
Json = sa.JSON().with_variant(postgresql.JSONB, "postgresql")


def index_where(name: str, condition: str, *columns: sa.ColumnElement[Any], unique: bool = False) -> None:
    """Add an index over only those rows for which a condition holds."""
    where = sa.text(condition)
    sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def insert(tx: sa.Connection, table: sa.Table) -> Any:
    """Return an insert that can say what is to happen where the row is there already."""
    kind = postgresql if tx.dialect.name == "postgresql" else sqlite
    return kind.insert(table)


def literally(word: StrEnum) -> sa.ColumnElement[str]:
    """Return a word as a part of the query.

    A partial index is used only if the query contains its condition so. Where a parameter may meet the condition of
    one, SQLite also plans the query anew each time that it is bound, which takes twenty times as long as a look.
    """
    quoted = sa.literal(word.value).compile(compile_kwargs={"literal_binds": True})
    return sa.literal_column(str(quoted))
