"""What each account may use, and how much it uses now and used lately. Only reads, and locks nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, database
from jobs.accounts import attendance, quota
from jobs.reports import status
from jobs.settings import Settings
from jobs.tables import attempts

_HOUR = timedelta(hours=1)
# A purchase whose answer was lost is found within the hour for which the API keeps its input.
_LOOK_UPS = _HOUR


@dataclass(frozen=True, slots=True)
class Usage:
    """One account at one moment, its buckets refilled to then."""

    account: accounts.Account
    limits: Settings  # in force for this account
    in_flight: int
    collecting: int  # jobs whose images are being fetched: see `quota.behind`
    accepted: int  # purchases within the last hour
    at: datetime  # by the clock that leases are measured by

    @property
    def behind(self) -> int:
        """How many jobs whose images have not come take places in flight."""
        return quota.behind(self.collecting, self.limits.max_in_flight)

    @property
    def rate(self) -> float | None:
        """How many creates a minute may leave now; None: unlimited."""
        return quota.rate(self.limits, self.account.rate)


def every(tx: sa.Connection, configured: Settings) -> list[Usage]:
    """Return the usage of all accounts, ordered by name."""
    now = database.now(tx)
    return [
        Usage(
            accounts.refill(account, now, configured),
            quota.in_force(configured, account.own_limits),
            *status.under_way(tx, attendance.seat(tx, account.id).answers_for),
            _accepted(tx, account.id, now),
            now,
        )
        for account in sorted(accounts.every(tx), key=lambda one: one.name)
    ]


def _accepted(tx: sa.Connection, account_id: int, now: datetime) -> int:
    """Count the purchases accepted in the last hour; the index `attempts_by_age` has only the time of the intent."""
    recent = (attempts.c.account_id == account_id, attempts.c.intended_at > now - _HOUR - _LOOK_UPS)
    query = sa.select(sa.func.count()).where(*recent, attempts.c.accepted_at > now - _HOUR)
    return tx.execute(query).scalar_one()
