"""What an account is known to have bought: it shows whether a list is ours and complete, and whether an API answers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs.tables import attempts

_AT_ONCE = 5000  # parameters of one statement; databases accept some ten thousand
_WITNESSES = 20  # one prediction may have been deleted by hand


@dataclass(frozen=True, slots=True)
class Purchase:
    """A known purchase of an account."""

    attempt: int
    prediction_id: str
    intended_at: datetime
    accepted_at: datetime  # when its id became known here


def known(tx: sa.Connection, prediction_ids: Sequence[str]) -> set[str]:
    """Return which of these predictions `attempts` already records."""
    return {row.prediction_id for row in _of(tx, prediction_ids)}


def bought_by(tx: sa.Connection, account_id: int, prediction_ids: Sequence[str]) -> dict[str, int]:
    """Return those of a page's predictions that an account is known to have bought, each with its attempt."""
    # Filtered here: SQLite would scan all attempts of the account.
    return {row.prediction_id: row.id for row in _of(tx, prediction_ids) if row.account_id == account_id}


def _of(tx: sa.Connection, prediction_ids: Sequence[str]) -> Iterator[Any]:
    """Yield what `attempts` records of these predictions; an API may list any number on a page."""
    columns = attempts.c.prediction_id, attempts.c.id, attempts.c.account_id
    for start in range(0, len(prediction_ids), _AT_ONCE):
        some = prediction_ids[start : start + _AT_ONCE]
        yield from tx.execute(sa.select(*columns).where(attempts.c.prediction_id.in_(some)))


def first_known(tx: sa.Connection, account_id: int, since: datetime) -> list[tuple[str, int]]:
    """Return the first predictions bought since a moment, with their attempts: a list back to then must show them."""
    query = (
        sa.select(attempts.c.prediction_id, attempts.c.id)
        .where(
            attempts.c.account_id == account_id,
            attempts.c.intended_at >= since,
            attempts.c.prediction_id.is_not(None),
        )
        .order_by(attempts.c.intended_at)
        .limit(_WITNESSES)
    )
    return [(row.prediction_id, row.id) for row in tx.execute(query)]


def inputs(
    tx: sa.Connection, account_id: int, prediction_ids: Collection[str], since: datetime
) -> dict[str, Mapping[str, Any]]:
    """Return the input of those of these predictions that an account has bought since a moment."""
    rows = tx.execute(
        sa.select(attempts.c.prediction_id, attempts.c.input).where(
            attempts.c.prediction_id.in_(prediction_ids),
            attempts.c.account_id == account_id,
            attempts.c.intended_at >= since,
        )
    )
    return {row.prediction_id: row.input for row in rows}


def purchases(tx: sa.Connection, account_id: int, since: datetime, until: datetime) -> Iterator[Purchase]:
    """Yield the purchases of an account that began after one moment and were known before another."""
    rows = tx.execute(
        sa.select(
            attempts.c.id, attempts.c.prediction_id, attempts.c.intended_at, attempts.c.accepted_at
        ).where(
            attempts.c.account_id == account_id,
            attempts.c.intended_at >= since,
            attempts.c.prediction_id.is_not(None),
            attempts.c.accepted_at < until,
        )
    )
    # A generator: ten minutes may have a hundred thousand.
    return (Purchase(row.id, row.prediction_id, row.intended_at, row.accepted_at) for row in rows)


def witness(tx: sa.Connection, account_id: int, than: Collection[str] = ()) -> str | None:
    """Return the account's latest prediction other ``than`` these: anything that is the API must know it."""
    found: str | None = tx.execute(
        sa.select(attempts.c.prediction_id)
        .where(
            attempts.c.account_id == account_id,
            attempts.c.prediction_id.is_not(None),
            attempts.c.prediction_id.not_in(than),
        )
        .order_by(attempts.c.intended_at.desc())
        .limit(1)
    ).scalar_one_or_none()
    return found
