"""Whose work a tick hands out, and what a duty must know to do it: who, when, by which settings, with what left."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, database, lifecycle
from jobs.accounts.attendance import Seat
from jobs.settings import Settings
from jobs.settings.times import Times
from jobs.states import State

AT_ONCE = 1000  # rows that one duty hands out in one tick


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose work is handed out: one account's; with ``release_only``, purchases for these batches only."""

    seat: Seat
    release_only: tuple[int, ...] | None = None

    @property
    def account_id(self) -> int:
        return self.seat.account.id


@dataclass(frozen=True, slots=True)
class Turn:
    """An account's turn in one transaction."""

    tx: sa.Connection
    now: datetime
    configured: Settings
    scope: Scope
    account: accounts.Account

    @property
    def times(self) -> Times:
        return self.configured.times

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.times.lease)

    def hand_out(self, state: State, most: int = AT_ONCE) -> list[int]:
        """Hand out what is due in a state for which the API need not be asked how much it takes."""
        return lifecycle.hand_out(self.tx, self.now, state, most, self.lease, of=self.scope.seat.answers_for)


def locked(tx: sa.Connection, configured: Settings, scope: Scope) -> Turn:
    """Begin a turn with the account's row locked, and its buckets refilled to now."""
    now = database.now(tx)
    account = accounts.refill(accounts.get(tx, scope.account_id), now, configured)
    return Turn(tx, now, configured, scope, account)


def unlocked(tx: sa.Connection, now: datetime, configured: Settings, scope: Scope) -> Turn:
    """Begin a turn with the account as its row stood when the seats were read."""
    return Turn(tx, now, configured, scope, scope.seat.account)
