"""Which accounts have workers now, and which of them polls the predictions of those that have none. Reads only.

A worker registers all its accounts at one moment; at each API, those with the latest moment count as present.
An earlier token may still have predictions in flight: its successor polls them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs.accounts.rows import Account, every, known, shown

_LATELY = timedelta(minutes=3)  # a worker tells every minute that it lives


@dataclass(frozen=True, slots=True)
class Seat:
    """An account that has workers, and the accounts whose predictions it asks for: itself first."""

    account: Account  # as its row stood when the seats were read
    answers_for: tuple[int, ...]


def seats(tx: sa.Connection) -> list[Seat]:
    """Return the accounts that have workers, in the order in which they were first seen."""
    there = every(tx)
    latest = _latest(there)
    present = [one for one in there if one.seen_at == latest[one.api]]
    heirs = {one.id: _heir(one, present) for one in there if one.seen_at != latest[one.api]}
    return [Seat(one, (one.id, *(left for left, heir in heirs.items() if heir == one.id))) for one in present]


def last_seen(tx: sa.Connection) -> dict[str, datetime]:
    """Return, by API, when a worker of those that buy last told that it lives."""
    return _latest(every(tx))


def _latest(there: Sequence[Account]) -> dict[str, datetime]:
    latest: dict[str, datetime] = {}
    for one in there:
        latest[one.api] = max(one.seen_at, latest.get(one.api, one.seen_at))
    return latest


def _heir(left: Account, present: Sequence[Account]) -> int:
    """Return the successor of an account: the present one with its label, or else the first at the same API."""
    here = [one for one in present if one.api == left.api]
    return next((one.id for one in here if one.label == left.label), here[0].id)


def seat(tx: sa.Connection, account_id: int) -> Seat:
    """Return an account's seat; one that is no longer present asks only for its own predictions."""
    own = next((one for one in seats(tx) if one.account.id == account_id), None)
    return own or Seat(known(tx, account_id), (account_id,))


def strangers(tx: sa.Connection, api: str, now: datetime) -> tuple[str, ...]:
    """Return the accounts that have workers of their own, which cannot work for those that buy at an API.

    What reaches such a worker is left lying. An account that has just been replaced is among them for a while.
    """
    there = every(tx)
    buys_since = max((one.seen_at for one in there if one.api == api), default=None)
    return tuple(
        shown(one.name, one.label)
        for one in there
        if buys_since and one.seen_at != buys_since and one.seen_at > now - _LATELY
    )
