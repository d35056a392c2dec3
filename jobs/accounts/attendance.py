"""Which accounts are worked for now, and who answers for what others have under way? Reads only.

A worker names all its accounts at once, and those of the last one that started are worked for. An earlier token may
have predictions in flight all the same: whoever has its place asks for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from jobs.tables import accounts


@dataclass(frozen=True, slots=True)
class Seat:
    """An account that is worked for, and the accounts whose predictions it asks for: itself first."""

    account_id: int
    api: str
    label: str | None
    answers_for: tuple[int, ...]


_EVERY = sa.select(accounts.c.id, accounts.c.api, accounts.c.label, accounts.c.seen_at).order_by(
    accounts.c.id
)


def seats(tx: sa.Connection) -> list[Seat]:
    """Return the accounts that are worked for, the first one that was ever seen first."""
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
    """Return who has the place of an account: the token of the same name, or else the first at the same API."""
    there = [row for row in present if row.api == left.api]
    return next((row.id for row in there if row.label == left.label), int(there[0].id))


def answers_for(tx: sa.Connection, account_id: int) -> tuple[int, ...]:
    """Return the accounts whose predictions an account asks for; one that has lost its place, for its own."""
    own = (seat.answers_for for seat in seats(tx) if seat.account_id == account_id)
    return next(own, (account_id,))
