"""Handing out rows: a row that is due is due, whoever died. No state changes here."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import cache

import sqlalchemy as sa

from jobs.lifecycle.fence import Fence, note
from jobs.states import Phase, State
from jobs.tables import attempts, jobs

# Jobs that were handed out for, or bought by, one of the bound `accounts`. Only for jobs that are under way.
OF_ACCOUNTS = jobs.c.account_id.in_(sa.bindparam("accounts", expanding=True))
NOT_SHOWN = "at first it succeeded without an image"  # still true of one whose image came later
_DUE = (
    sa.select(jobs.c.id)
    .where(jobs.c.state == sa.bindparam("from_state"), jobs.c.due_at <= sa.bindparam("now"), OF_ACCOUNTS)
    .order_by(jobs.c.due_at)
    .limit(sa.bindparam("count"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    sa.update(jobs)
    .where(jobs.c.id.in_(sa.bindparam("some", expanding=True)))
    .values(due_at=sa.bindparam("lease_end"), crashes=jobs.c.crashes + sa.bindparam("silent"))
)


def hand_out(
    tx: sa.Connection,
    now: datetime,
    state: State,
    count: int,
    lease: timedelta,
    *,
    of: Collection[int],
) -> list[int]:
    """Claim up to ``count`` due jobs of a state and of some accounts, most overdue first, for one lease.

    Handing out a job to collect counts as a crash until its worker reports; then the counter is reset.
    """
    # Not a subquery of the update: PostgreSQL may rerun it for each row, and then the limit has no effect.
    due = tx.execute(_DUE, {"from_state": state, "now": now, "accounts": of, "count": count})
    ids = list(due.scalars())
    if ids:
        silent = int(state is State.COLLECTING)
        tx.execute(_CLAIM, {"some": ids, "lease_end": now + lease, "silent": silent})
    return ids


def look_again(tx: sa.Connection, state: State, due: Mapping[Fence, datetime]) -> None:
    """Set when each job is looked at next; those that have moved on are left alone."""
    if not due:
        return
    tx.execute(
        _looking_again(state),
        [{"job": fence.job, "attempt": fence.attempt, "at": at} for fence, at in due.items()],
    )


@cache
def _looking_again(state: State) -> sa.Update:
    chosen = (jobs.c.id == sa.bindparam("job"), jobs.c.attempt_id == sa.bindparam("attempt"))
    spoken = {"crashes": 0} if state is State.COLLECTING else {}
    return sa.update(jobs).where(*chosen, jobs.c.state == state).values(due_at=sa.bindparam("at"), **spoken)


def look_sooner(tx: sa.Connection, fences: Collection[Fence], at: datetime) -> None:
    """Make running jobs due at ``at`` at the latest; those that have ended are left alone."""
    if not fences:
        return
    tx.execute(
        sa.update(jobs)
        .where(
            jobs.c.id.in_([fence.job for fence in fences]),
            jobs.c.attempt_id.in_([fence.attempt for fence in fences]),
            jobs.c.state == State.RUNNING,
            jobs.c.due_at > at,
        )
        .values(due_at=at)
    )


def not_shown(tx: sa.Connection, fences: Collection[Fence]) -> None:
    """Record of running attempts that the API says they succeeded, and shows no image of them yet."""
    if fences:
        some = (attempts.c.id.in_([fence.attempt for fence in fences]), attempts.c.phase == Phase.RUNNING)
        tx.execute(sa.update(attempts).where(*some).values(error_message=NOT_SHOWN))


def missed(tx: sa.Connection, fences: Collection[Fence]) -> None:
    """Count a fetch that did not bring every image of these attempts."""
    if fences:
        some = attempts.c.id.in_([fence.attempt for fence in fences])
        tx.execute(sa.update(attempts).where(some).values(misses=attempts.c.misses + 1))


def hand_out_cancels(tx: sa.Connection, until: datetime, attempt_ids: Collection[int]) -> None:
    """Record that these predictions are being cancelled; they are not handed out again before ``until``."""
    note(tx, [{"attempt": attempt} for attempt in attempt_ids], cancel_at=until)


def cancel_sent(tx: sa.Connection, now: datetime, attempt_ids: Collection[int]) -> None:
    """Record that the API was asked to cancel these predictions, and answered."""
    note(tx, [{"attempt": attempt} for attempt in attempt_ids], cancel_sent_at=now, cancel_refused=None)


def cancel_refused(tx: sa.Connection, now: datetime, again_at: datetime, refusals: Mapping[int, str]) -> None:
    """Record why the API does not cancel these predictions; only a person's request is repeated, and rarely."""
    rows = [{"attempt": attempt, "cancel_refused": why} for attempt, why in refusals.items()]
    note(tx, rows, cancel_sent_at=now, cancel_at=again_at)
