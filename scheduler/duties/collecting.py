"""Which paid images are to be fetched now."""

from collections.abc import Iterator

from jobs import database, settings
from jobs.lanes import SLICE, Lane
from jobs.states import State
from scheduler.duties.messages import Message, sliced
from scheduler.duties.scope import Scope, all_due

# A slice may take half a lease: of more, the last would be handed out once more before a worker has come to them.
_AT_ONCE = 2 * SLICE[Lane.COLLECT]


def collect(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have paid images fetched before they expire."""
    ids = db.unit(lambda tx: all_due(tx, configured, scope, State.COLLECTING, _AT_ONCE))
    yield from sliced(Lane.COLLECT, ids, scope)
