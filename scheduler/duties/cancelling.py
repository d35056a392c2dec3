"""Which predictions are to be cancelled, because nobody wants them."""

from collections.abc import Iterator
from datetime import timedelta

import sqlalchemy as sa

from jobs import accounts, database, lifecycle, settings, worklists
from jobs.lanes import SLICE, Lane
from scheduler.duties import allowance
from scheduler.duties.messages import Message
from scheduler.duties.scope import Scope


def cancel(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have unwanted predictions cancelled: at a person's request, past their deadline, or orphans."""
    targets = db.unit(lambda tx: _unwanted(tx, configured, scope))
    if targets:
        yield Message(Lane.CANCEL, targets, scope.account_id)


def _unwanted(tx: sa.Connection, configured: settings.Settings, scope: Scope) -> list[tuple[int, str]]:
    now = database.now(tx)
    account = allowance.refilled(tx, now, configured, scope)
    most = allowance.reads(account, now)
    # In an outage a poll or a purchase finds out whether it is over: a cancel may never be answered.
    if not most or account.breaker.is_away or allowance.is_fresh_doubt(account, now, configured):
        return []
    overdue, lease = patience(configured)
    of, most_at_once = scope.seat.answers_for, SLICE[Lane.CANCEL]
    running = worklists.unwanted(tx, now, of, most_at_once, overdue=overdue, soon=lease)
    surplus = lifecycle.orphans(tx, now, most_at_once, of=of)
    targets = dict([*running, *surplus][:most])
    if targets:
        lifecycle.hand_out_cancels(tx, now + lease, list(targets))
        accounts.spend(tx, account, creates=0, reads=len(targets))
    return list(targets.items())


def patience(configured: settings.Settings) -> tuple[timedelta, timedelta]:
    """Return how long a prediction may take, and within what time an overdue one must be due to be cancelled now.

    The API knows the deadline too, and gets half a lease more to enforce it.
    """
    times = configured.times
    return timedelta(seconds=times.prediction_deadline + times.lease / 2), timedelta(seconds=times.lease)
