"""Jobs under way: how many, which to ask for, which are no longer wanted, and how many were begun lately."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import lifecycle
from jobs.dialects import literally
from jobs.lifecycle import Fence
from jobs.states import UNDER_WAY, State
from jobs.tables import attempts, jobs


@dataclass(frozen=True, slots=True)
class Running:
    """A running prediction to ask for."""

    fence: Fence
    account_id: int
    prediction_id: str
    version: str
    attempts: int  # accepted predictions of the job, this one included
    accepted_at: datetime
    cancel_requested: bool
    cancel_sent: bool


_RUNNING = (
    sa.select(
        jobs.c.id, jobs.c.attempt_id, jobs.c.version, jobs.c.attempts, jobs.c.cancel_requested_at,
        attempts.c.account_id, attempts.c.prediction_id, attempts.c.accepted_at, attempts.c.cancel_sent_at,
    )
    .join(attempts, attempts.c.id == jobs.c.attempt_id)
    .where(
        jobs.c.id.in_(sa.bindparam("ids", expanding=True)), jobs.c.state == State.RUNNING, lifecycle.OF_ACCOUNTS
    )
)  # fmt: skip


def running(tx: sa.Connection, of: Collection[int], ids: Collection[int]) -> list[Running]:
    """Return the jobs among ``ids`` that run at these accounts; no other account can ask for their predictions."""
    rows = tx.execute(_RUNNING, {"ids": ids, "accounts": of})
    return [
        Running(
            Fence(row.id, row.attempt_id), row.account_id, row.prediction_id, row.version, row.attempts,
            row.accepted_at, row.cancel_requested_at is not None, row.cancel_sent_at is not None,
        )
        for row in rows
    ]  # fmt: skip


_JOBS_OF = sa.select(attempts.c.job_id).where(
    attempts.c.prediction_id.in_(sa.bindparam("predictions", expanding=True))
)


def running_as(tx: sa.Connection, of: Collection[int], prediction_ids: Collection[str]) -> list[Running]:
    """Return the jobs that wait for one of these predictions of these accounts."""
    # Find the jobs first: given only the predictions, SQLite may scan all jobs for those that run.
    ids = set(tx.execute(_JOBS_OF, {"predictions": prediction_ids}).scalars())
    wanted = frozenset(prediction_ids)
    return [row for row in running(tx, of, ids) if row.prediction_id in wanted]


_SOME_DUE = (
    sa.select(jobs.c.id, jobs.c.attempt_id)
    .where(jobs.c.state == State.RUNNING, jobs.c.due_at <= sa.bindparam("now"), lifecycle.OF_ACCOUNTS)
    .limit(sa.bindparam("most"))
    .subquery()
)
_DUE = (
    sa.select(_SOME_DUE.c.id, attempts.c.intended_at)
    .join_from(_SOME_DUE, attempts, attempts.c.id == _SOME_DUE.c.attempt_id)
    .order_by(attempts.c.intended_at)
)


def due(tx: sa.Connection, account_id: int, now: datetime, most: int) -> list[tuple[int, datetime]]:
    """Return (job, intent) of an account's running predictions that are due, oldest first; at most ``most``."""
    rows = tx.execute(_DUE, {"now": now, "accounts": [account_id], "most": most})
    return [(job, intended_at) for job, intended_at in rows]


_UNDER_WAY = (
    sa.select(jobs.c.state, sa.func.count())
    .where(jobs.c.state.in_(UNDER_WAY), jobs.c.due_at.is_not(None), lifecycle.OF_ACCOUNTS)
    .group_by(jobs.c.state)
)


def under_way(tx: sa.Connection, of: Collection[int]) -> dict[State, int]:
    """Return how many jobs of these accounts, of all batches, are in each state; a state without jobs is missing."""
    return {State(state): n for state, n in tx.execute(_UNDER_WAY, {"accounts": of})}


_BEGUN = (
    sa.select(attempts.c.intended_at)
    .where(attempts.c.account_id == sa.bindparam("account"), attempts.c.intended_at >= sa.bindparam("since"))
    .limit(sa.bindparam("most"))
    .subquery()
)
_FIRST_BEGUN = sa.select(sa.func.count(), sa.func.min(_BEGUN.c.intended_at)).select_from(_BEGUN)


def begun(tx: sa.Connection, account_id: int, since: datetime, most: int) -> tuple[int, datetime]:
    """Return how many purchases an account has begun since a moment, and when the first; counts at most ``most``."""
    count, first = tx.execute(_FIRST_BEGUN, {"account": account_id, "since": since, "most": most}).one()
    return count, first or since


_SOME_RUNNING = (
    sa.select(attempts.c.id, attempts.c.prediction_id)
    .join(jobs, jobs.c.attempt_id == attempts.c.id)
    .where(jobs.c.state == literally(State.RUNNING), lifecycle.OF_ACCOUNTS)
    .where(attempts.c.cancel_at.is_(None) | (attempts.c.cancel_at <= sa.bindparam("now")))
    .limit(sa.bindparam("most"))
)
_WISHED = _SOME_RUNNING.where(jobs.c.cancel_requested_at.is_not(None))
_LATE = _SOME_RUNNING.where(
    jobs.c.due_at <= sa.bindparam("soon"),
    attempts.c.accepted_at < sa.bindparam("sold"),
    attempts.c.cancel_sent_at.is_(None),
)


ANY_UNWANTED = sa.exists(_WISHED) | sa.exists(_LATE)  # takes the same parameters as in `unwanted`


def unwanted(
    tx: sa.Connection,
    now: datetime,
    of: Collection[int],
    most: int,
    *,
    overdue: timedelta,
    soon: timedelta,
) -> list[tuple[int, str]]:
    """Return (attempt, prediction) of what should not run: cancelled by a person, or ``overdue`` since its sale.

    A person's request is repeated until the prediction is seen to have ended. Of the overdue, only those to
    be polled ``soon``.
    """
    told = {"accounts": of, "most": most, "now": now}
    wished = tx.execute(_WISHED, told)
    late = tx.execute(_LATE, told | {"soon": now + soon, "sold": now - overdue})
    return [(row[0], row[1]) for rows in (wished, late) for row in rows]


def to_cancel(
    tx: sa.Connection, of: Collection[int], attempt_ids: Collection[int]
) -> dict[tuple[int, str], datetime]:
    """Return when each (attempt, prediction) was sold that was handed out to be cancelled for one of these accounts.

    The row says so, and not the message: whoever can write to the broker could name any.
    """
    query = sa.select(
        attempts.c.id, attempts.c.prediction_id, attempts.c.account_id, attempts.c.accepted_at
    ).where(
        attempts.c.id.in_(attempt_ids), attempts.c.accepted_at.is_not(None), attempts.c.cancel_at.is_not(None)
    )
    # Filtered here: SQLite would scan all attempts of the accounts.
    return {(row.id, row.prediction_id): row.accepted_at for row in tx.execute(query) if row.account_id in of}


def cancel_requested(tx: sa.Connection, ids: Collection[int]) -> set[int]:
    """Return which of these jobs a person has asked to cancel."""
    query = sa.select(jobs.c.id).where(jobs.c.id.in_(ids), jobs.c.cancel_requested_at.is_not(None))
    return set(tx.execute(query).scalars()) if ids else set()
