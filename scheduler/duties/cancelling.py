"""Which predictions are to be cancelled, because nobody wants them."""

from collections.abc import Iterator
from datetime import timedelta

from jobs import accounts, database, lifecycle, settings, worklists
from jobs.lanes import SLICE, Lane
from scheduler.duties import allowance, turns
from scheduler.duties.messages import Message
from scheduler.duties.turns import Scope, Turn


def cancel(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have unwanted predictions cancelled: at a person's request, past their deadline, or orphans."""
    targets = db.unit(lambda tx: _unwanted(turns.locked(tx, configured, scope)))
    if targets:
        yield Message(Lane.CANCEL, targets, scope.account_id)


def _unwanted(turn: Turn) -> list[tuple[int, str]]:
    tx, now, most = turn.tx, turn.now, allowance.reads(turn)
    # In an outage a poll or a purchase finds out whether it is over: a cancel may never be answered.
    if not most or turn.account.breaker.is_away or allowance.is_fresh_doubt(turn):
        return []
    of, most_at_once = turn.scope.seat.answers_for, SLICE[Lane.CANCEL]
    # Of the overdue, those whose poll is due within a lease.
    running = worklists.unwanted(tx, now, of, most_at_once, overdue=patience(turn), soon=turn.lease)
    surplus = lifecycle.orphans(tx, now, most_at_once, of=of)
    targets = dict([*running, *surplus][:most])
    if targets:
        lifecycle.hand_out_cancels(tx, now + turn.lease, list(targets))
        accounts.spend(tx, turn.account, creates=0, reads=len(targets))
    return list(targets.items())


def patience(turn: Turn) -> timedelta:
    """Return how long a prediction may take; the API knows the deadline, and gets half a lease more to enforce it."""
    return timedelta(seconds=turn.times.prediction_deadline) + turn.lease / 2
