"""From wanted to bought: what may be released, and the outcome of a POST. `beginning` lies between the two."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs.lifecycle import confirming, finishing
from jobs.lifecycle.fence import Fence, move, note, winners
from jobs.lifecycle.records import Accepted, Failure, Lost, NotBought
from jobs.states import Phase, State
from jobs.tables import PENDING, batches, jobs


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


def accepted(
    tx: sa.Connection, now: datetime, items: Sequence[Accepted], first_look: timedelta
) -> set[Fence]:
    """submitting → running: once the id is committed, the prediction cannot be lost any more.

    If the lease ended during the POST, the job is unconfirmed; it may even have moved on altogether.
    """
    return confirming.bought(tx, now, items, first_look, {State.SUBMITTING, State.UNCONFIRMED})


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
    won = finishing.ended(tx, now, items, {State.SUBMITTING})
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
