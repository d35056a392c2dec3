"""Whether, and how far back, the API's list is to be read for predictions that no attempt records."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, lifecycle
from jobs.accounts import attendance
from jobs.settings.times import Times
from jobs.states import IN_FLIGHT
from jobs.tables import attempts, batches, jobs

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
    settled = last + times.settle_after
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
