"""What is known of an account's API: does it have a list, what does that show and how late, do webhooks come."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs.accounts.rows import Account, count_reads, get, write
from jobs.tables import accounts


def lists(tx: sa.Connection, account_id: int, *, pages: int) -> None:
    """Record that the API showed its list, and count the pages as reads."""
    count_reads(tx, account_id, pages, {"can_list": True, "list_missing_at": None})


def glanced(tx: sa.Connection, account_id: int, *, reads: int, again_at: datetime | None) -> None:
    """Count the reads that a look at the list cost beyond those already spent; ``again_at``: next try, if it failed."""
    count_reads(tx, account_id, reads, {} if again_at is None else {"glance_at": again_at})


def hinted(tx: sa.Connection, now: datetime, account_id: int, every: timedelta) -> None:
    """Record that a webhook came, but only once per ``every``: the tick needs the row too."""
    latest = sa.update(accounts).where(
        accounts.c.id == account_id, accounts.c.hinted_at.is_(None) | (accounts.c.hinted_at < now - every)
    )
    tx.execute(latest.values(hinted_at=now))


def list_missing(tx: sa.Connection, now: datetime, account_id: int, doubt: timedelta) -> bool | None:
    """Record a 404 or 405 on the list; only a second one ``doubt`` later makes it certain. Return `can_list`."""
    account = get(tx, account_id)
    if account.can_list is not None:
        return account.can_list
    if account.list_missing_at is None:
        write(tx, account_id, {"list_missing_at": now})
        return None
    if now < account.list_missing_at + doubt:
        return None
    write(tx, account_id, {"can_list": False})
    return False


def list_learned(
    tx: sa.Connection,
    account: Account,
    *,
    echoes: bool | None = None,
    images: bool | None = None,
    lag: float = 0.0,
) -> Account:
    """Record whether the list shows what was sent, whether its image too, and how far it lags, in seconds.

    None means that this walk cannot tell. For what is shown, the latest walk counts; for the lag, the longest.
    """
    learned = replace(
        account,
        list_echoes=account.list_echoes if echoes is None else echoes,
        list_shows_images=account.list_shows_images if images is None else images,
        list_lag=max(lag, account.list_lag or 0.0) or None,
    )
    if learned != account:
        names = ("list_echoes", "list_shows_images", "list_lag")
        write(tx, account.id, {name: getattr(learned, name) for name in names})
    return learned


def sweep_again(tx: sa.Connection, account_id: int, at: datetime) -> None:
    """Set when the list is swept next: a lease after handing it out, later once it is done."""
    write(tx, account_id, {"sweep_at": at})


def sweep_for_images(tx: sa.Connection, account_id: int, at: datetime) -> None:
    """Move the next sweep up to ``at`` if it is unknown whether the list shows images: until then, twins wait."""
    unknown = accounts.c.list_shows_images.is_(None) & (accounts.c.sweep_at > at)
    tx.execute(sa.update(accounts).where(accounts.c.id == account_id, unknown).values(sweep_at=at))


def swept(tx: sa.Connection, account_id: int, at: datetime) -> None:
    """Record that everything bought before ``at`` is known, as far as the list shows it."""
    write(tx, account_id, {"swept_at": at})


def blind_spot(account: Account) -> str | None:
    """Return why this API cannot show whether a send in doubt was bought; None if it may."""
    if account.can_list is False:
        return "the API has no list of predictions, so nobody can tell whether it was bought"
    if account.list_echoes is False:
        return "the API's list does not show what was sent, so nobody can tell whether it was bought"
    return None


def can_look_up(there: Collection[Account]) -> bool | None:
    """Whether the API of these accounts can show what became of a lost answer; None if nobody knows yet."""
    if any(blind_spot(one) for one in there):
        return False
    return any(one.can_list for one in there) or None
