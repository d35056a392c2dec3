"""How many calls an account's duties may ask for, by its buckets, throttle and breaker."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, settings
from jobs.accounts.breaker import Failing
from scheduler.duties.scope import AT_ONCE, Scope

PROBE = 1


def refilled(
    tx: sa.Connection, now: datetime, configured: settings.Settings, scope: Scope
) -> accounts.Account:
    """Return the account with its buckets refilled to now, its row locked."""
    return accounts.refill(accounts.get(tx, scope.account_id), now, configured)


def reads(account: accounts.Account, now: datetime) -> int:
    """Return how many calls other than creates may leave now; while the API may be away, only a probe that is due."""
    if account.must_wait(now):
        return 0
    if account.breaker.is_away or (account.breaker.in_doubt and not creates_in_doubt(account)):
        return PROBE if may_probe(account, now) else 0
    return max(0, int(min(account.reads_tokens, AT_ONCE)))


def may_probe(account: accounts.Account, now: datetime) -> bool:
    """Whether the next probe is due; in a stop without a time for it, a person must ask for one."""
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
    """Record that a probe has left, and when the next may: soon, while it is only a doubt.

    ``under_way`` counts the creates without an outcome yet, the probe included.
    """
    times = configured.times
    later = now + timedelta(seconds=times.canary)
    doubt = account.breaker.in_doubt
    accounts.probed(tx, account.id, account.breaker.try_again_at(under_way, now, times) if doubt else later)


def creates_in_doubt(account: accounts.Account) -> bool:
    """Whether only creates are in doubt. Polls then wait: they may fail too, and prove nothing about creates."""
    return account.breaker.in_doubt and account.breaker.failing is Failing.CREATES


def longest_doubt(configured: settings.Settings) -> timedelta:
    """Return how long a doubt can last, with the last create unanswered: by then it is an outage or over."""
    return timedelta(seconds=configured.times.outage_after + configured.times.post_deadline)


def is_fresh_doubt(account: accounts.Account, now: datetime, configured: settings.Settings) -> bool:
    """Whether it may soon be an outage. If no more creates are wanted, a doubt about them stays, and says nothing."""
    since = account.breaker.failing_since
    stays = creates_in_doubt(account) and since is not None and now > since + longest_doubt(configured)
    return account.breaker.in_doubt and not stays
