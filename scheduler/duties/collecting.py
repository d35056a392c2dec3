"""Which paid images are to be fetched now."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from jobs import database, settings, worklists
from jobs.lanes import SLICE, Lane
from jobs.states import State
from scheduler.duties import turns
from scheduler.duties.messages import Again, Message, fills_one, sliced
from scheduler.duties.turns import Scope

# A slice may take half a lease: of more than two, the last would be handed out again before a worker has come to it.
_AT_ONCE = 2 * SLICE[Lane.COLLECT]
_PATIENCE = 1 / 20  # of a lease, after which what is due waits for no more


def collect(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message | Again]:
    """Have paid images fetched before they expire; if that leaves some, it asks to run again soon."""
    with db.read() as tx:
        now = database.now(tx)
        waiting = worklists.to_fetch(tx, scope.seat.answers_for, now)
    if not _is_time(waiting, now, configured):
        return
    ids = db.unit(
        lambda tx: turns.unlocked(tx, database.now(tx), configured, scope).hand_out(
            State.COLLECTING, _AT_ONCE
        )
    )
    yield from sliced(Lane.COLLECT, ids, scope)
    if len(ids) == _AT_ONCE:
        yield Again()


def _is_time(waiting: worklists.ToFetch, now: datetime, configured: settings.Settings) -> bool:
    if waiting.since is None:
        return False
    many = fills_one(waiting.due, waiting.visited, SLICE[Lane.COLLECT])
    return many or waiting.since <= now - timedelta(seconds=configured.times.lease * _PATIENCE)
