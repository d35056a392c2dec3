"""Which duties have anything to do: one read for all, so that none but the release takes a lock in vain.

What becomes due a moment later is found by the next tick. Each duty decides itself what it hands out.
"""

from datetime import datetime

import sqlalchemy as sa

from jobs import lifecycle, settings, worklists
from jobs.dialects import literally
from jobs.lanes import Lane
from jobs.states import State
from jobs.tables import jobs
from scheduler.duties import cancelling, confirming, polling, turns
from scheduler.duties.turns import Scope


def _due(state: State, *whose: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(jobs.c.state == literally(state), jobs.c.due_at <= sa.bindparam("now"), *whose)


_TO_RESCUE = sa.select(
    _due(State.QUEUED)
    | _due(State.SUBMITTING)
    | sa.exists().where(
        jobs.c.cancel_requested_at.is_not(None), jobs.c.state.in_([State.PENDING, State.QUEUED])
    )
)
_LANES = sa.select(
    _due(State.UNCONFIRMED, lifecycle.OF_ACCOUNTS).label(Lane.RECONCILE),
    _due(State.COLLECTING, lifecycle.OF_ACCOUNTS).label(Lane.COLLECT),
    _due(State.RUNNING, lifecycle.OF_ACCOUNTS).label(Lane.POLL),
    (worklists.ANY_UNWANTED | lifecycle.ANY_ORPHAN).label(Lane.CANCEL),
)


def may_rescue(tx: sa.Connection, now: datetime) -> bool:
    """Whether a lease has ended in silence, or a job cancelled in flight came back unbought."""
    return bool(tx.execute(_TO_RESCUE, {"now": now}).scalar_one())


def lanes(tx: sa.Connection, now: datetime, configured: settings.Settings, scope: Scope) -> set[Lane]:
    """Return the lanes with work for an account; always with SUBMIT, for the release finds out what may be bought."""
    turn = turns.unlocked(tx, now, configured, scope)
    told = {"now": now, "accounts": scope.seat.answers_for, "most": 1, "count": 1}
    told |= {"soon": now + turn.lease, "sold": now - cancelling.patience(turn)}
    row = tx.execute(_LANES, told).one()
    found = {lane for lane in Lane if lane is not Lane.SUBMIT and getattr(row, lane)}
    if polling.is_early(turn):
        found.discard(Lane.POLL)
    if confirming.may_sweep(turn):
        found.add(Lane.RECONCILE)
    return found | {Lane.SUBMIT}
