"""Whose work a tick hands out, and what is due of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import lifecycle, settings
from jobs.accounts.attendance import Seat
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


def all_due(
    tx: sa.Connection,
    now: datetime,
    configured: settings.Settings,
    scope: Scope,
    state: State,
    most: int = AT_ONCE,
) -> list[int]:
    """Hand out what is due in a state for which the API need not be asked how much it takes."""
    lease = timedelta(seconds=configured.times.lease)
    return lifecycle.hand_out(tx, now, state, most, lease, of=scope.seat.answers_for)
