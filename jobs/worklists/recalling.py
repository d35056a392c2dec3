"""What an account has sent, to interpret the API's list: what it must show, and what in it may be ours.

Reads only. For sends in doubt see `doubtful`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs import accounts, lifecycle
from jobs.accounts import attendance
from jobs.settings.times import Times
from jobs.states import IN_FLIGHT
from jobs.tables import attempts, batches, jobs

_AT_ONCE = 5000  # seeds of one statement, which reads all jobs


@dataclass(frozen=True, slots=True)
class Owner:
    """A job whose own seed a prediction has."""

    job: int
    wanted: Mapping[str, Any]


def owners(tx: sa.Connection, api: str, seeds: Sequence[int]) -> list[Owner]:
    """Return the jobs at an API that have one of these seeds as their own. Scans all jobs, so only for a few seeds."""
    found: list[Owner] = []
    for start in range(0, len(seeds), _AT_ONCE):
        rows = tx.execute(
            sa.select(jobs.c.id, jobs.c.input).where(
                jobs.c.own_seed,
                sa.cast(jobs.c.input["seed"], sa.Text).in_(
                    [str(one) for one in seeds[start : start + _AT_ONCE]]
                ),
                jobs.c.batch_id.in_(sa.select(batches.c.id).where(batches.c.api == api)),
            )
        )
        found += [Owner(row.id, row.input) for row in rows]
    return found


def sent(
    tx: sa.Connection, account_id: int, prediction_ids: Collection[str], since: datetime
) -> dict[str, Mapping[str, Any]]:
    """Return the input of those of these predictions that an account has bought since a moment."""
    rows = tx.execute(
        sa.select(attempts.c.prediction_id, attempts.c.input).where(
            attempts.c.prediction_id.in_(prediction_ids),
            attempts.c.account_id == account_id,
            attempts.c.intended_at >= since,
        )
    )
    return {row.prediction_id: row.input for row in rows}


@dataclass(frozen=True, slots=True)
class Purchase:
    """A known purchase of an account."""

    attempt: int
    prediction_id: str
    intended_at: datetime
    accepted_at: datetime  # when its id became known here


def bought(tx: sa.Connection, account_id: int, since: datetime, until: datetime) -> Iterator[Purchase]:
    """Yield the purchases of an account that began after one moment and were known before another."""
    rows = tx.execute(
        sa.select(
            attempts.c.id, attempts.c.prediction_id, attempts.c.intended_at, attempts.c.accepted_at
        ).where(
            attempts.c.account_id == account_id,
            attempts.c.intended_at >= since,
            attempts.c.prediction_id.is_not(None),
            attempts.c.accepted_at < until,
        )
    )
    # A generator: ten minutes may have a hundred thousand.
    return (Purchase(row.id, row.prediction_id, row.intended_at, row.accepted_at) for row in rows)


_LAST_INTENT = sa.select(sa.func.max(attempts.c.intended_at)).where(
    attempts.c.account_id == sa.bindparam("account")
)
_UNDER_WAY = sa.select(
    sa.exists().where(jobs.c.state.in_(IN_FLIGHT), jobs.c.due_at.is_not(None), lifecycle.OF_ACCOUNTS)
)


def may_lack(tx: sa.Connection, account: accounts.Account, times: Times) -> bool:
    """Whether the API may hold a prediction of ours that no attempt records.

    It may while anything is under way, and until a sweep has begun after the last send settled.
    """
    last = tx.execute(_LAST_INTENT, {"account": account.id}).scalar_one()
    if last is None:
        return False
    settled = last + timedelta(seconds=times.post_deadline + times.settle)
    if account.swept_at is None or account.swept_at < settled:
        return True
    return bool(tx.execute(_UNDER_WAY, {"accounts": [account.id]}).scalar_one())


def swept_from(tx: sa.Connection, account: accounts.Account, now: datetime, times: Times) -> datetime:
    """Return how far back a sweep reads: to the last sweep, but not beyond shown inputs or our first batch."""
    readable = now - timedelta(seconds=times.proof_window)
    margin = timedelta(seconds=times.list_margin / 2)
    if account.swept_at is not None:
        return max(readable, account.swept_at - margin)
    first = _first_batch(tx, account.api)
    # One that lies ahead is dated by a clock that has been set back since.
    return max(readable, first - margin) if first and first <= now else readable


def compared_from(tx: sa.Connection, of: attendance.Seat, now: datetime, times: Times) -> datetime | None:
    """Return since when the API may have sold what this database, if it is a backup, does not know.

    That is since its last purchase, or else since its first batch; None if it has none.
    """
    intents = (tx.execute(_LAST_INTENT, {"account": one}).scalar_one() for one in of.answers_for)
    since = max((at for at in intents if at), default=None) or _first_batch(tx, of.account.api)
    if since is None:
        return None
    readable = now - timedelta(seconds=times.proof_window)
    return max(readable, since - timedelta(seconds=times.post_deadline)) if since <= now else readable


def _first_batch(tx: sa.Connection, api: str) -> datetime | None:
    query = sa.select(sa.func.min(batches.c.created_at)).where(batches.c.api == api)
    found: datetime | None = tx.execute(query).scalar_one()
    return found
