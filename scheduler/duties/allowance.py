"""How many calls the duties of an account may ask for: its buckets, its throttle and its breaker decide."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, settings
from scheduler.duties.scope import AT_ONCE, Scope

PROBE = 1


def refilled(
    tx: sa.Connection, now: datetime, configured: settings.Settings, scope: Scope
) -> accounts.Account:
    """Return the account with what its buckets hold by now, its row locked."""
    return accounts.refill(accounts.get(tx, scope.account_id), now, configured)


def reads(account: accounts.Account, now: datetime) -> int:
    """Return how many calls other than creates may leave now: one, as a probe, while the API may be away."""
    if account.not_before is not None and account.not_before > now:
        return 0
    if account.breaker.is_away or (account.breaker.in_doubt and not creates_in_doubt(account)):
        return PROBE if may_probe(account, now) else 0
    return max(0, int(min(account.reads_tokens, AT_ONCE)))


def may_probe(account: accounts.Account, now: datetime) -> bool:
    """Whether the next probe is due; in a stop without a time for one a person must ask for it."""
    if account.breaker.probe_at is None:
        return account.breaker.in_doubt
    return account.breaker.probe_at <= now


def probed(
    tx: sa.Connection,
    now: datetime,
    account: accounts.Account,
    configured: settings.Settings,
    *,
    under_way: int = 0,
) -> None:
    """Remember that a probe has left, and when the next one may: soon, while it is a mere doubt.

    ``under_way`` are the creates of which nobody knows yet what they come to, the probe with them.
    """
    times = configured.times
    later = now + timedelta(seconds=times.canary)
    doubt = account.breaker.in_doubt
    accounts.probed(tx, account.id, account.breaker.try_again_at(under_way, now, times) if doubt else later)


def creates_in_doubt(account: accounts.Account) -> bool:
    """Whether polls had better come late: they would fail as well, and would be no proof."""
    return account.breaker.in_doubt and account.breaker.failing == "creates"
