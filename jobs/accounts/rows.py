"""An account's row: how it is named, read and written, and the account's own limits."""

import hashlib
import hmac
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs import dialects
from jobs.accounts import quota
from jobs.accounts.breaker import Breaker, BreakerState, Failing
from jobs.tables import accounts, settable

# Stands for "unlimited": not every client can read an infinite double, and a null limit means "not set".
# Larger than any number that a person may write.
_STORED_UNLIMITED = 10**9
_JUST = timedelta(seconds=1)


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
    breaker: Breaker
    list_echoes: bool | None
    list_shows_images: bool | None
    list_lag: float | None  # seconds
    swept_at: datetime | None
    sweep_at: datetime | None
    glance_at: datetime | None
    poll_at: datetime | None
    hinted_at: datetime | None
    seen_at: datetime  # those with the latest at their API are those that buy: see `attendance`
    own_limits: quota.OwnLimits

    def must_wait(self, now: datetime) -> bool:
        """Whether the API asked to wait, and nothing may leave yet."""
        return self.not_before is not None and self.not_before > now


# The columns of a breaker, by its fields.
_BREAKER = {field.name: field.name for field in fields(Breaker)}
_BREAKER |= {"state": "breaker", "reason": "breaker_reason", "since": "breaker_at"}
_AS_STORED = tuple(field.name for field in fields(Account) if field.name not in {"breaker", "own_limits"})


def name(host: str, api: str, token: str) -> str:
    """Return the account's name: the API's host, and 8 hex digits of a keyed hash that reveals neither API nor token.

    One host may serve two APIs, and one token both: absence from one list proves nothing about the other.
    """
    secret = f"{api}\n{token}".encode()
    return f"{host}-{hmac.new(b'overnight account', secret, hashlib.sha256).hexdigest()[:8]}"


def shown(account_name: str, label: str | None) -> str:
    """Return an account as a person tells it from others: by its name, with the label that they gave it, if any."""
    return f"{label} ({account_name})" if label else account_name


def register(
    tx: sa.Connection,
    now: datetime,
    account_name: str,
    api: str,
    label: str | None = None,
    *,
    anew: bool = True,
) -> int:
    """Return the account's id, creating its row if needed. Those seen last, at one moment, are those that buy.

    Unless ``anew``, an account that has a row keeps its place.
    """
    new = dialects.insert(tx, accounts).values(
        name=account_name, label=label, api=api, creates_tokens=0, reads_tokens=0, refilled_at=now,
        breaker=BreakerState.CLOSED, failures=0, seen_at=now,
    )  # fmt: skip
    # One statement: of two workers that start at the same moment, neither would find a row.
    change = {"label": label} | ({"seen_at": now} if anew else {})
    one = new.on_conflict_do_update(index_elements=[accounts.c.name], set_=change)
    return int(tx.execute(one.returning(accounts.c.id)).scalar_one())


def attended(tx: sa.Connection, now: datetime, names: Collection[str], since: datetime) -> bool:
    """Record that these accounts have a worker now.

    If one of them is among those that buy, all of those keep their place. If none is, they are recorded as seen just
    before those. Return whether nothing was heard of those after ``since``, so that these are to take their place.
    """
    own = tx.execute(sa.select(accounts.c.api, accounts.c.seen_at).where(accounts.c.name.in_(names))).all()
    deserted = False
    for api in sorted({row.api for row in own}):
        there = accounts.c.api == api
        latest = tx.execute(sa.select(sa.func.max(accounts.c.seen_at)).where(there)).scalar_one()
        if any(row.api == api and row.seen_at == latest for row in own):
            tx.execute(sa.update(accounts).where(there, accounts.c.seen_at == latest).values(seen_at=now))
        else:
            # Not what another worker has just moved: it buys, then.
            ours = (accounts.c.name.in_(names), accounts.c.seen_at < latest)
            tx.execute(sa.update(accounts).where(there, *ours).values(seen_at=latest - _JUST))
            deserted = deserted or latest < since
    return deserted


_EVERY = sa.select(accounts).order_by(accounts.c.id)


def every(tx: sa.Connection) -> list[Account]:
    """Return all accounts, in the order in which they were first seen; their rows are not locked."""
    return [_account(row) for row in tx.execute(_EVERY)]


_KNOWN = sa.select(accounts).where(accounts.c.id == sa.bindparam("account"))
_LOCKED = _KNOWN.with_for_update()


def get(tx: sa.Connection, account_id: int) -> Account:
    """Return one account, its row locked."""
    return _account(tx.execute(_LOCKED, {"account": account_id}).one())


def known(tx: sa.Connection, account_id: int) -> Account:
    """Return one account without locking its row, which a `read` would not allow."""
    return _account(tx.execute(_KNOWN, {"account": account_id}).one())


def _account(row: sa.Row[Any]) -> Account:
    told = {field: getattr(row, column) for field, column in _BREAKER.items()}
    told |= {"state": BreakerState(row.breaker), "failing": Failing(row.failing) if row.failing else None}
    stored = {name: getattr(row, name) for name in _AS_STORED}
    return Account(breaker=Breaker(**told), own_limits=_own_limits(row), **stored)


def columns_of(breaker: Breaker) -> dict[str, Any]:
    """Return a breaker as the row stores it."""
    return {column: getattr(breaker, field) for field, column in _BREAKER.items()}


def _own_limits(row: sa.Row[Any]) -> quota.OwnLimits:
    stored = ((name, getattr(row, name)) for name in quota.LIMITS)
    return {name: None if most == _STORED_UNLIMITED else most for name, most in stored if most is not None}


def retune(tx: sa.Connection, account_id: int, own: quota.OwnLimits) -> None:
    """Set some of the account's own limits; the others stay as they are."""
    write(tx, account_id, {name: _STORED_UNLIMITED if most is None else most for name, most in own.items()})


def follow_settings(tx: sa.Connection, account_id: int) -> None:
    """Clear all of the account's own limits."""
    write(tx, account_id, dict.fromkeys(quota.LIMITS))


# They set the columns that are among their parameters.
_WRITE = sa.update(accounts).where(accounts.c.id == sa.bindparam("account"))
_COUNT_READS = _WRITE.values(reads_tokens=accounts.c.reads_tokens - sa.bindparam("reads"))


def write(tx: sa.Connection, account_id: int, change: Mapping[str, Any]) -> None:
    """Change some columns of an account's row."""
    tx.execute(_WRITE, {**settable(accounts, change), "account": account_id})


def count_reads(tx: sa.Connection, account_id: int, reads: int, change: Mapping[str, Any]) -> None:
    """Take reads from the bucket as it is now, and change some other columns."""
    tx.execute(_COUNT_READS, {**settable(accounts, change), "account": account_id, "reads": reads})


def storable(tokens: float) -> float:
    """Return a number of tokens as the row stores it."""
    return _STORED_UNLIMITED if math.isinf(tokens) else tokens
