"""Which accounts have workers now, and which of them polls the predictions of those that have none. Reads only.

A worker registers all its accounts at one moment; at each API, those with the latest moment count as present.
An earlier token may still have predictions in flight: its successor polls them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs.tables import accounts

_LATELY = timedelta(minutes=3)  # a worker tells every minute that it lives


@dataclass(frozen=True, slots=True)
class Seat:
    """An account that has workers, and the accounts whose predictions it asks for: itself first."""

    account_id: int
    api: str
    label: str | None
    answers_for: tuple[int, ...]


_EVERY = sa.select(
    accounts.c.id, accounts.c.name, accounts.c.api, accounts.c.label, accounts.c.seen_at
).order_by(accounts.c.id)


def seats(tx: sa.Connection) -> list[Seat]:
    """Return the accounts that have workers, in the order in which they were first seen."""
    rows: list[sa.Row[Any]] = list(tx.execute(_EVERY))
    latest: dict[str, Any] = {}
    for row in rows:
        latest[row.api] = max(row.seen_at, latest.get(row.api, row.seen_at))
    present = [row for row in rows if row.seen_at == latest[row.api]]
    left = [row for row in rows if row.seen_at != latest[row.api]]
    heirs = {row.id: _heir(row, present) for row in left}
    return [
        Seat(row.id, row.api, row.label, (row.id, *(one for one, heir in heirs.items() if heir == row.id)))
        for row in present
    ]


def _heir(left: sa.Row[Any], present: Sequence[sa.Row[Any]]) -> int:
    """Return the successor of an account: the present one with its label, or else the first at the same API."""
    there = [row for row in present if row.api == left.api]
    return next((row.id for row in there if row.label == left.label), int(there[0].id))


def answers_for(tx: sa.Connection, account_id: int) -> tuple[int, ...]:
    """Return the accounts whose predictions an account asks for; only its own if it is no longer present."""
    own = (seat.answers_for for seat in seats(tx) if seat.account_id == account_id)
    return next(own, (account_id,))


def strangers(tx: sa.Connection, api: str, now: datetime) -> tuple[str, ...]:
    """Return the accounts that have workers of their own, which cannot work for those that buy at an API.

    What reaches such a worker is left lying. An account that has just been replaced is among them for a while.
    """
    rows = list(tx.execute(_EVERY))
    buys_since = max((row.seen_at for row in rows if row.api == api), default=None)
    return tuple(
        f"{row.label} ({row.name})" if row.label else row.name
        for row in rows
        if buys_since and row.seen_at != buys_since and row.seen_at > now - _LATELY
    )
