"""What ends without a call to the API: leases of workers that went silent, and batches that lose too much."""

from datetime import timedelta

import sqlalchemy as sa

from jobs import batches, database, lifecycle, losses, settings
from jobs.accounts import stops
from jobs.states import BatchState


def rescue(db: database.Database, configured: settings.Settings) -> None:
    """End the leases of workers that went silent: what was not sent is pending again, what may be is looked up.

    What a person cancelled while it was being sent, and came back unbought, ends here.
    """
    times = configured.times
    settle_after = timedelta(seconds=times.post_deadline + times.settle)

    def end(tx: sa.Connection) -> None:
        now = database.now(tx)
        lifecycle.rescue(tx, now)
        lifecycle.expire_sends(tx, now, settle_after)
        lifecycle.cancel_unsent(tx, now)

    db.unit(end)


def limit_losses(db: database.Database) -> None:
    """Pause batches of whose jobs too many fail. Counting reads; only a stop takes the writers' turn."""
    with db.read() as tx:
        open_batches = [one for one in batches.every(tx) if one.state is BatchState.OPEN]
        judged = [one for one in open_batches if batches.unfinished(tx, one.id)]
        stopping = [batch for batch in judged if losses.count(tx, batch).stopping]
    for batch in stopping:
        with db.write() as tx:
            stops.limit_losses(tx, database.now(tx), batch)
