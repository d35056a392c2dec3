"""From wanted to bought: what may be released, and the outcome of a POST. `beginning` lies between the two."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from jobs.lifecycle import confirming, finding
from jobs.lifecycle.fence import Fence, move, note, winners
from jobs.lifecycle.records import Accepted, Failure, Lost, NotBought
from jobs.states import Phase, State
from jobs.tables import PENDING, batches, jobs


def at_api(api: str) -> sa.ColumnElement[bool]:
    """Jobs whose batch was loaded for this API."""
    return jobs.c.batch_id.in_(sa.select(batches.c.id).where(batches.c.api == api))


# Jobs that were handed out for, or bought by, one of the bound `accounts`. Only for jobs that are under way.
OF_ACCOUNTS = jobs.c.account_id.in_(sa.bindparam("accounts", expanding=True))


def _wanted(of_batch: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Choose jobs that may be released now, in the order of `jobs_to_release`, the index that finds them.

    The due time is tested as "not later than now" so that SQLite does not choose `jobs_due` and sort all
    pending jobs. Without the order, PostgreSQL would scan the table for the first row.
    """
    due = (jobs.c.due_at > sa.bindparam("now")).is_(sa.false())
    chosen = sa.select(jobs.c.id).where(of_batch, jobs.c.state == PENDING, due)
    return chosen.order_by(jobs.c.priority.desc(), jobs.c.id)


_WANTING = sa.select(batches.c.id).where(
    batches.c.id.in_(sa.bindparam("batches", expanding=True)),
    _wanted(jobs.c.batch_id == batches.c.id).limit(1).scalar_subquery().is_not(None),
)


def wanting(tx: sa.Connection, now: datetime, batch_ids: Collection[int]) -> list[int]:
    """Return which of these batches have a job that may be released now."""
    told = {"batches": list(batch_ids), "now": now}
    return list(tx.execute(_WANTING, told).scalars()) if batch_ids else []


_NEXT = (
    _wanted(jobs.c.batch_id == sa.bindparam("batch"))
    .limit(sa.bindparam("count"))
    .with_for_update(skip_locked=True)
)
_QUEUE = (
    sa.update(jobs)
    .where(jobs.c.id.in_(sa.bindparam("some", expanding=True)))
    .values(state=State.QUEUED, due_at=sa.bindparam("lease_end"), account_id=sa.bindparam("account"))
)


def release(
    tx: sa.Connection, now: datetime, batch_id: int, count: int, lease: timedelta, *, account_id: int
) -> list[int]:
    """pending → queued: the batch's next jobs by priority, then in manifest order, for one account to buy."""
    # Not a subquery of the update: PostgreSQL may rerun it for each row, and then the limit has no effect.
    ids = list(tx.execute(_NEXT, {"batch": batch_id, "now": now, "count": count}).scalars())
    if ids:
        tx.execute(_QUEUE, {"some": ids, "lease_end": now + lease, "account": account_id})
    return ids


def rescue(
    tx: sa.Connection,
    now: datetime,
    *,
    batch_ids: Collection[int] | None = None,
    ids: Collection[int] | None = None,
    account_id: int | None = None,
    expired_only: bool = True,
) -> int:
    """queued → pending: nothing was sent, so nothing is lost.

    Limited to some batches, some jobs or one account if given, and to ended leases unless ``expired_only`` is False.
    """
    told = {"batches": batch_ids, "ids": ids, "account": account_id}
    which = {name: value for name, value in told.items() if value is not None}
    return tx.execute(_rescuing(tuple(which), expired_only=expired_only), which | {"now": now}).rowcount


@cache
def _rescuing(which: Collection[str], *, expired_only: bool) -> sa.Update:
    by = {
        "batches": jobs.c.batch_id.in_(sa.bindparam("batches", expanding=True)),
        "ids": jobs.c.id.in_(sa.bindparam("ids", expanding=True)),
        "account": jobs.c.account_id == sa.bindparam("account"),
    }
    chosen = [jobs.c.state == State.QUEUED, jobs.c.due_at.is_not(None), *(by[name] for name in which)]
    if expired_only:
        chosen.append(jobs.c.due_at <= sa.bindparam("now"))
    return sa.update(jobs).where(*chosen).values(state=State.PENDING, due_at=sa.bindparam("now"))


def accepted(
    tx: sa.Connection, now: datetime, items: Sequence[Accepted], first_look: timedelta
) -> set[Fence]:
    """submitting → running: once the id is committed, the prediction cannot be lost any more.

    If the lease ended during the POST, the job is unconfirmed; it may even have moved on altogether. A late
    id is still recorded, on its own attempt.
    """
    won = confirming.bought(tx, now, items, first_look, {State.SUBMITTING, State.UNCONFIRMED})
    for item in items:
        if item.fence not in won:
            finding.found_late(tx, now, item, first_look)
    return won


def not_bought(tx: sa.Connection, now: datetime, items: Sequence[NotBought]) -> set[Fence]:
    """submitting → pending: not sent, or refused for now; not counted against the job."""
    won: set[Fence] = set()
    for due_at in {item.due_at for item in items}:
        fences = [item.fence for item in items if item.due_at == due_at]
        won |= move(tx, fences, {State.SUBMITTING}, State.PENDING, due_at=due_at)
    rows = [{"attempt": i.fence.attempt, "error_message": i.message} for i in winners(items, won)]
    note(tx, rows, phase=Phase.REFUSED, finished_at=now)
    return won


def refused(tx: sa.Connection, now: datetime, items: Sequence[Failure]) -> set[Fence]:
    """submitting → failed: the API refuses this very input, or it cannot be read."""
    won: set[Fence] = set()
    for (error_class, message), same in groupby(items, key=lambda item: (item.error_class, item.message)):
        won |= move(
            tx, [item.fence for item in same], {State.SUBMITTING}, State.FAILED,
            due_at=None, finished_at=now, error_class=error_class, error_message=message,
        )  # fmt: skip
    rows = [
        {"attempt": i.fence.attempt, "error_class": i.error_class, "error_message": i.message}
        for i in winners(items, won)
    ]
    note(tx, rows, phase=Phase.REFUSED, finished_at=now)
    return won


def lost(tx: sa.Connection, now: datetime, items: Sequence[Lost], settle_after: timedelta) -> set[Fence]:  # noqa: ARG001  every arrow takes the time
    """submitting → unconfirmed: nobody knows whether it was bought; it is looked up after the settle time."""
    won: set[Fence] = set()
    for item in items:
        won |= move(
            tx, [item.fence], {State.SUBMITTING}, State.UNCONFIRMED, due_at=item.sent_at + settle_after
        )
    rows = [
        {"attempt": i.fence.attempt, "sent_at": i.sent_at, "error_message": i.message}
        for i in winners(items, won)
    ]
    note(tx, rows, phase=Phase.UNCONFIRMED)
    return won


def expire_sends(
    tx: sa.Connection, now: datetime, settle_after: timedelta, *, expired_only: bool = True
) -> int:
    """submitting → unconfirmed for workers that died or froze: the POST may have left at any time in the lease.

    So ``now`` is the latest moment at which it can have started; ``settle_after`` includes the POST's own
    deadline. Nobody knows which of its jobs, if any, killed the worker: all are suspects, which costs little.
    """
    told = {"settled": now + settle_after} | ({"now": now} if expired_only else {})
    moved = tx.execute(_expiring(expired_only=expired_only), told).scalars()
    rows = [{"attempt": attempt} for attempt in moved]
    silent = "the worker that sent it went silent"
    note(tx, rows, phase=Phase.UNCONFIRMED, sent_at=now, error_message=silent)
    return len(rows)


@cache
def _expiring(*, expired_only: bool) -> sa.UpdateBase:
    chosen = [jobs.c.state == State.SUBMITTING, jobs.c.due_at.is_not(None)]
    if expired_only:
        chosen.append(jobs.c.due_at <= sa.bindparam("now"))
    change = {"state": State.UNCONFIRMED, "due_at": sa.bindparam("settled"), "crashes": jobs.c.crashes + 1}
    return sa.update(jobs).where(*chosen).values(change).returning(jobs.c.attempt_id)
