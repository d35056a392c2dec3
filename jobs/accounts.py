"""The account's row: quota, throttle, breaker, and what is known of its API. The only writer of `accounts`."""

import hashlib
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from jobs import quota
from jobs.settings import Settings
from jobs.states import Phase
from jobs.tables import accounts, attempts
from jobs.times import Times

# A database's double knows no infinity that every client reads, and a null limit is none at all. No number that a
# person may write is as large.
_STORED_UNLIMITED = 10**9
_UNDER_WAY = timedelta(minutes=2)  # for which a create may be, and more
_LATELY = timedelta(seconds=10)  # in which purchases show what the API sells a minute


@dataclass(frozen=True, slots=True)
class Account:
    """One token at one API, as its row stands."""

    id: int
    name: str
    label: str | None
    api: str
    can_list: bool | None
    list_missing_at: datetime | None
    creates_tokens: float
    reads_tokens: float
    refilled_at: datetime
    not_before: datetime | None
    rate: float | None
    throttled_at: datetime | None
    breaker: quota.Breaker
    list_echoes: bool | None
    list_lag: float | None  # seconds
    swept_at: datetime | None
    sweep_at: datetime | None
    glance_at: datetime | None
    own_limits: quota.OwnLimits


def name(host: str, api: str, token: str) -> str:
    """Return the account's name: the API's host, and 8 hex digits of API and token that reveal neither.

    One host may serve two APIs, and one token both: what is absent from one list says nothing of the other.
    """
    secret = f"{api}\n{token}".encode()
    return f"{host}-{hmac.new(b'overnight account', secret, hashlib.sha256).hexdigest()[:8]}"


def register(tx: sa.Connection, now: datetime, account_name: str, api: str, label: str | None = None) -> int:
    """Return the account's id; the row is made when it is new. Those seen last, at one moment, are those that buy."""
    insert: Any = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    new = insert(accounts).values(
        name=account_name, label=label, api=api, creates_tokens=0, reads_tokens=0, refilled_at=now,
        breaker="closed", failures=0, seen_at=now,
    )  # fmt: skip
    # In one statement: two workers that start at the same moment find no row, either of them.
    seen = new.on_conflict_do_update(index_elements=[accounts.c.name], set_={"label": label, "seen_at": now})
    return int(tx.execute(seen.returning(accounts.c.id)).scalar_one())


def every(tx: sa.Connection) -> list[Account]:
    """Return all accounts by their names, to look at only."""
    return [_account(row) for row in tx.execute(sa.select(accounts).order_by(accounts.c.name))]


def get(tx: sa.Connection, account_id: int) -> Account:
    """Return one account, its row locked."""
    found = _one(tx, sa.select(accounts).where(accounts.c.id == account_id))
    if found is None:
        raise LookupError(f"no account {account_id}")
    return found


def known(tx: sa.Connection, account_id: int) -> Account:
    """Return one account to look at only: its row is not locked, and may not be in a read."""
    return _account(tx.execute(sa.select(accounts).where(accounts.c.id == account_id)).one())


def _one(tx: sa.Connection, query: sa.Select[Any]) -> Account | None:
    row = tx.execute(query.limit(1).with_for_update()).one_or_none()
    return None if row is None else _account(row)


def _account(row: sa.Row[Any]) -> Account:
    breaker = quota.Breaker(
        row.breaker,
        row.breaker_reason,
        row.breaker_at,
        row.probe_at,
        row.failures,
        row.failing_since,
        row.failing,
    )
    return Account(
        row.id, row.name, row.label, row.api, row.can_list, row.list_missing_at, row.creates_tokens, row.reads_tokens,
        row.refilled_at, row.not_before, row.rate, row.throttled_at, breaker, row.list_echoes, row.list_lag,
        row.swept_at, row.sweep_at, row.glance_at, _own_limits(row),
    )  # fmt: skip


def _own_limits(row: sa.Row[Any]) -> quota.OwnLimits:
    stored = ((name, getattr(row, name)) for name in quota.LIMITS)
    return {name: None if most == _STORED_UNLIMITED else most for name, most in stored if most is not None}


def refill(account: Account, now: datetime, configured: Settings) -> Account:
    """Return the account with its buckets filled up to now and its rate climbed; nothing is written yet."""
    limits = quota.in_force(configured, account.own_limits)
    creates, reads = limits.creates_per_minute, limits.reads_per_minute
    seconds = (now - account.refilled_at).total_seconds()
    calm = (now - (account.throttled_at or now)).total_seconds()
    rate = quota.climbed(account.rate, creates, seconds, max(0.0, calm))
    return replace(
        account,
        rate=rate,
        creates_tokens=quota.refilled(account.creates_tokens, creates if rate is None else rate, seconds),
        reads_tokens=quota.refilled(account.reads_tokens, reads, seconds),
        refilled_at=max(now, account.refilled_at),
    )


def spend(tx: sa.Connection, account: Account, *, creates: int, reads: int) -> None:
    """Write a refilled account back, less what is about to be used."""
    _write(
        tx,
        account.id,
        {
            "rate": account.rate,
            "creates_tokens": _storable(account.creates_tokens - creates),
            "reads_tokens": _storable(account.reads_tokens - reads),
            "refilled_at": account.refilled_at,
        },
    )


def retune(tx: sa.Connection, account_id: int, own: quota.OwnLimits) -> None:
    """Set limits of the account itself; those that are not named stay as they are."""
    _write(tx, account_id, {name: _STORED_UNLIMITED if most is None else most for name, most in own.items()})


def follow_settings(tx: sa.Connection, account_id: int) -> None:
    """Forget every limit that was set for the account itself."""
    _write(tx, account_id, dict.fromkeys(quota.LIMITS))


def observe(
    tx: sa.Connection, now: datetime, account_id: int, tally: quota.Tally, times: Times, configured: Settings
) -> tuple[quota.Breaker, quota.Breaker]:
    """Write down what a slice of calls came to; return the breaker before and after.

    A 429 keeps everything back until the time it told. Those of one burst are one episode: the rate drops once. So
    are those of an API that sells nothing at all, as at a low credit: it tells nothing of its rate.
    Whoever else buys with the token uses up our bucket as well: it holds no more than the API says is left.
    """
    account = get(tx, account_id)
    after = quota.judge(account.breaker, tally, now, times)
    change: dict[str, Any] = {}
    if after != account.breaker:
        change |= {
            "breaker": after.state, "breaker_reason": after.reason, "breaker_at": after.since,
            "probe_at": after.probe_at, "failures": after.failures, "failing_since": after.failing_since,
            "failing": after.failing,
        }  # fmt: skip
    if tally.left is not None and tally.left < account.creates_tokens:
        spend(tx, replace(refill(account, now, configured), creates_tokens=tally.left), creates=0, reads=0)
    if tally.throttled is not None:
        until = now + timedelta(seconds=min(tally.throttled, times.throttle_most))
        again = account.not_before is None or account.not_before <= now
        if tally.throttled_creates and again and (tally.bought or _has_sold(tx, account)):
            limits = quota.in_force(configured, account.own_limits)
            lately = _bought_a_minute(tx, now, account_id)
            change["rate"] = quota.slowed(account.rate, limits.creates_per_minute, lately)
        change["throttled_at"] = now
        change["not_before"] = max(until, account.not_before or until)
        change["creates_tokens" if tally.throttled_creates else "reads_tokens"] = 0.0
    if change:
        _write(tx, account_id, change)
    return account.breaker, after


def _has_sold(tx: sa.Connection, account: Account) -> bool:
    """Whether the API sold anything after its last 429."""
    if account.throttled_at is None:
        return True
    sold = sa.exists().where(
        attempts.c.account_id == account.id,
        attempts.c.intended_at >= account.throttled_at - _UNDER_WAY,
        attempts.c.accepted_at >= account.throttled_at,
    )
    return bool(tx.execute(sa.select(sold)).scalar_one())


def _bought_a_minute(tx: sa.Connection, now: datetime, account_id: int) -> float:
    """Return the rate at which the API has sold predictions of late, what is on its way counted as sold.

    A refusal is answered sooner than a sale: the first 429 of a burst would find hardly anything sold before it.
    """
    bought = sa.select(sa.func.count()).where(
        attempts.c.account_id == account_id,
        attempts.c.intended_at >= now - _LATELY,
        attempts.c.prediction_id.is_not(None) | (attempts.c.phase == Phase.SUBMITTING),
    )
    return float(tx.execute(bought).scalar_one()) * (timedelta(minutes=1) / _LATELY)


def probe_now(tx: sa.Connection, now: datetime, api: str) -> None:
    """Let one job try whether a block or an outage is over; the patience with a block begins anew."""
    stopped = sa.update(accounts).where(accounts.c.api == api, accounts.c.breaker != "closed")
    tx.execute(stopped.values(probe_at=now))
    tx.execute(stopped.where(accounts.c.breaker == "blocked").values(breaker_at=now))


def probed(tx: sa.Connection, account_id: int, next_at: datetime | None) -> None:
    """Remember that the canary was sent, and when the next one may leave if nobody answers for it."""
    _write(tx, account_id, {"probe_at": next_at})


def lists(tx: sa.Connection, account_id: int, *, pages: int) -> None:
    """Remember that the API showed its list, and that its pages were reads."""
    _write(
        tx,
        account_id,
        {"can_list": True, "list_missing_at": None, "reads_tokens": accounts.c.reads_tokens - pages},
    )


def glanced(tx: sa.Connection, account_id: int, *, reads: int, again_at: datetime | None) -> None:
    """Remember what a look at the list cost beyond what was spent for it, and when the next may be if it failed."""
    change: dict[str, Any] = {"reads_tokens": accounts.c.reads_tokens - reads}
    _write(tx, account_id, change if again_at is None else change | {"glance_at": again_at})


def hinted(tx: sa.Connection, now: datetime, account_id: int, every: timedelta) -> None:
    """Remember that a webhook came; not each time anew, because the tick wants the row as well."""
    latest = sa.update(accounts).where(
        accounts.c.id == account_id, accounts.c.hinted_at.is_(None) | (accounts.c.hinted_at < now - every)
    )
    tx.execute(latest.values(hinted_at=now))


def hinted_at(tx: sa.Connection, account_id: int) -> datetime | None:
    """Return when a webhook of one of its predictions came last."""
    at: datetime | None = tx.execute(
        sa.select(accounts.c.hinted_at).where(accounts.c.id == account_id)
    ).scalar_one()
    return at


def list_missing(tx: sa.Connection, now: datetime, account_id: int, doubt: timedelta) -> bool | None:
    """Note a 404 or 405 on the list; only a second one, some time after, makes it certain. Return what is known."""
    account = get(tx, account_id)
    if account.can_list is not None:
        return account.can_list
    if account.list_missing_at is None:
        _write(tx, account_id, {"list_missing_at": now})
        return None
    if now < account.list_missing_at + doubt:
        return None
    _write(tx, account_id, {"can_list": False})
    return False


def list_learned(tx: sa.Connection, account: Account, *, echoes: bool | None, lag: float) -> Account:
    """Remember whether the list shows what was sent, None if this walk cannot tell, and how far behind it was.

    The latest walk knows best what is shown; of the lag the longest counts.
    """
    learned = replace(
        account,
        list_echoes=account.list_echoes if echoes is None else echoes,
        list_lag=max(lag, account.list_lag or 0.0) or None,
    )
    if learned != account:
        _write(tx, account.id, {"list_echoes": learned.list_echoes, "list_lag": learned.list_lag})
    return learned


def sweep_again(tx: sa.Connection, account_id: int, at: datetime) -> None:
    """Say when the list is to be swept next: a lease after it was handed out, and then at leisure."""
    _write(tx, account_id, {"sweep_at": at})


def swept(tx: sa.Connection, account_id: int, at: datetime) -> None:
    """Remember that all that was bought before a moment is known, as far as the list tells."""
    _write(tx, account_id, {"swept_at": at})


def blind_spot(account: Account) -> str | None:
    """Return why nobody can tell whether a send in doubt was bought, as far as that is known of the API."""
    if account.can_list is False:
        return "the API has no list of predictions, so nobody can tell whether it was bought"
    if account.list_echoes is False:
        return "the API's list does not show what was sent, so nobody can tell whether it was bought"
    return None


def _write(tx: sa.Connection, account_id: int, change: Mapping[str, Any]) -> None:
    tx.execute(sa.update(accounts).where(accounts.c.id == account_id).values(**change))


def _storable(tokens: float) -> float:
    return _STORED_UNLIMITED if math.isinf(tokens) else tokens
