"""Ending the leases of workers that died or froze: what they had not sent is wanted again, the rest is in doubt."""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache

import sqlalchemy as sa

from jobs.lifecycle.fence import note
from jobs.states import Phase, State
from jobs.tables import jobs

# Longer than any wait but some for uploads, which have ended with their process: what is due later was dated by a clock
# that was ahead. Less than an hour, by which many are until they are set: they take local time for UTC.
_LONGEST = timedelta(minutes=20)


def rescue(
    tx: sa.Connection,
    now: datetime,
    *,
    batch_ids: Collection[int] | None = None,
    account_id: int | None = None,
    expired_only: bool = True,
) -> int:
    """queued → pending: nothing was sent, so nothing is lost.

    Limited to some batches or one account if given, and to ended leases unless ``expired_only`` is False.
    """
    told = {"batches": batch_ids, "account": account_id}
    which = {name: value for name, value in told.items() if value is not None}
    return tx.execute(_rescuing(tuple(which), expired_only=expired_only), which | {"now": now}).rowcount


@cache
def _rescuing(which: Collection[str], *, expired_only: bool) -> sa.Update:
    by = {
        "batches": jobs.c.batch_id.in_(sa.bindparam("batches", expanding=True)),
        "account": jobs.c.account_id == sa.bindparam("account"),
    }
    chosen = [jobs.c.state == State.QUEUED, jobs.c.due_at.is_not(None), *(by[name] for name in which)]
    if expired_only:
        chosen.append(jobs.c.due_at <= sa.bindparam("now"))
    return sa.update(jobs).where(*chosen).values(state=State.PENDING, due_at=sa.bindparam("now"))


_EXPIRE = (
    sa.update(jobs)
    .where(jobs.c.state == State.SUBMITTING, jobs.c.due_at <= sa.bindparam("now"))
    .values(state=State.UNCONFIRMED, due_at=sa.bindparam("settled"), crashes=jobs.c.crashes + 1)
    .returning(jobs.c.attempt_id)
)


def expire_sends(tx: sa.Connection, now: datetime, settle_after: timedelta) -> int:
    """submitting → unconfirmed for workers that died or froze: the POST may have left at any time in the lease.

    So ``now`` is the latest moment at which it can have started; ``settle_after`` includes the POST's own
    deadline. Nobody knows which of its jobs, if any, killed the worker: all are suspects, which costs little.
    """
    moved = tx.execute(_EXPIRE, {"now": now, "settled": now + settle_after}).scalars()
    rows = [{"attempt": attempt} for attempt in moved]
    silent = "the worker that sent it went silent"
    note(tx, rows, phase=Phase.UNCONFIRMED, sent_at=now, error_message=silent)
    return len(rows)


def take_over(tx: sa.Connection, now: datetime, settle_after: timedelta) -> int:
    """Take over from a process known to be dead: its leases end now. Return how many sends are in doubt."""
    leased = [State.QUEUED, State.SUBMITTING, State.RUNNING, State.COLLECTING]
    for states, last in ((leased, now), ([State.PENDING, State.UNCONFIRMED], now + _LONGEST)):
        late = sa.update(jobs).where(jobs.c.state.in_(states), jobs.c.due_at > last)
        tx.execute(late.values(due_at=now))
    rescue(tx, now)
    return expire_sends(tx, now, settle_after)
