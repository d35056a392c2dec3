"""What is ended without a call to the API: leases of silent workers, and batches that lose too much."""

import sqlalchemy as sa

from jobs import batches, database, lifecycle, losses, settings, stops
from jobs.states import BatchState


def rescue(db: database.Database, configured: settings.Settings) -> None:
    """End the leases of workers that went silent: what was not sent becomes pending, what may have been is looked up.

    Jobs that a person cancelled while they were being sent, and that came back unbought, end here.
    """

    def end(tx: sa.Connection) -> None:
        now = database.now(tx)
        lifecycle.rescue(tx, now)
        lifecycle.expire_sends(tx, now, configured.times.settle_after)
        lifecycle.cancel_unsent(tx, now)

    db.unit(end)


def limit_losses(db: database.Database) -> None:
    """Pause batches that lose too much. Counting only reads; only a stop opens a write transaction."""
    with db.read() as tx:
        open_batches = [one for one in batches.every(tx) if one.state is BatchState.OPEN]
        judged = [one for one in open_batches if not batches.has_ended(tx, one)]
        stopping = [batch for batch in judged if losses.count(tx, batch).stopping]
    for batch in stopping:
        with db.write() as tx:
            stops.limit_losses(tx, database.now(tx), batch)
