"""What happens when an outage, a block or a stop-loss begins or ends.

`breaker` and `losses` decide; this module acts, in the transaction of whoever noticed.
"""

from datetime import datetime

import sqlalchemy as sa
import structlog

from jobs import accounts, batches, blocks, events, lifecycle, losses
from jobs.accounts import attendance
from jobs.accounts.breaker import BreakerState
from jobs.accounts.tally import Tally
from jobs.batches import PauseReason
from jobs.events import EventKind
from jobs.settings import Settings

log = structlog.get_logger(__name__)


def observe(
    tx: sa.Connection,
    now: datetime,
    account: accounts.Account,
    tally: Tally,
    configured: Settings,
) -> None:
    """Record the outcome of a slice of calls, and stop or go on accordingly."""
    before, after = accounts.observe(tx, now, account.id, tally, configured)
    if tally.blocked:  # even if already blocked: a person may have opened a batch to probe it
        _block(tx, now, account)
    # Take back what may not leave, or it would wait for its lease to end; in doubt, jobs are handed out one by one.
    if tally.throttled is not None or (after.in_doubt and not before.in_doubt):
        lifecycle.rescue(tx, now, account_id=account.id, expired_only=False)
    if before.state is after.state:
        return
    log.warning("breaker", account=account.name, state=after.state, reason=after.reason)
    if after.is_closed and before.state is BreakerState.OUTAGE:
        events.record(tx, now, None, EventKind.RECOVERED, f"{account.api} answers again")
    elif after.state is BreakerState.OUTAGE:
        _wait_out(tx, now, account, after.reason or "")


def _wait_out(tx: sa.Connection, now: datetime, account: accounts.Account, reason: str) -> None:
    """Batches stay open and nothing fails; what was handed out but not sent goes back."""
    events.record(tx, now, None, EventKind.OUTAGE, f"{account.api}: {reason}")
    lifecycle.rescue(tx, now, account_id=account.id, expired_only=False)


def _block(tx: sa.Connection, now: datetime, account: accounts.Account) -> None:
    """Take back what was handed out for the account; pause the batches that no other account may buy for."""
    lifecycle.rescue(tx, now, account_id=account.id, expired_only=False)
    there = [accounts.known(tx, account.id), *_beside(tx, account)]
    buys = [(one, set(batches.releasable(tx, one))) for one in there]
    for batch in batches.releasable(tx, account):
        buyers = [one for one, may_buy in buys if batch in may_buy]
        if all(one.breaker.state is BreakerState.BLOCKED for one in buyers):
            batches.pause(tx, now, [batch], PauseReason.BLOCKED, blocks.told(buyers))


def _beside(tx: sa.Connection, account: accounts.Account) -> list[accounts.Account]:
    """Return the other accounts at the same API that have workers."""
    there = [seat.account for seat in attendance.seats(tx)]
    return [one for one in there if one.api == account.api and one.id != account.id]


def pause(
    tx: sa.Connection, now: datetime, batch_ids: list[int], reason: PauseReason, detail: str
) -> list[int]:
    """Pause batches and take back what was handed out but not sent."""
    paused = batches.pause(tx, now, batch_ids, reason, detail)
    lifecycle.rescue(tx, now, batch_ids=paused, expired_only=False)
    return paused


def limit_losses(tx: sa.Connection, now: datetime, batch: batches.Batch) -> None:
    """Pause a batch if its own failures or its surplus purchases show that something general is wrong."""
    counted = losses.count(tx, batch)
    if counted.stop_loss:
        ended = counted.failed + counted.succeeded
        detail = f"{counted.failed} of the {ended} jobs that ended have failed, most of them {counted.worst}"
        pause(tx, now, [batch.id], PauseReason.STOP_LOSS, detail)
    elif counted.fuse:
        detail = f"{counted.surplus} predictions of {counted.jobs} jobs may have been paid twice"
        pause(tx, now, [batch.id], PauseReason.FUSE, detail)
