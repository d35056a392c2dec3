"""The three kinds of stop, and who goes back when one begins or ends: outage, block, stop-loss.

Decided by `quota` and `batches`; carried out here in the transaction of whoever noticed.
"""

from datetime import datetime

import sqlalchemy as sa
import structlog

from jobs import accounts, batches, lifecycle, quota
from jobs.batches import EventKind, PauseReason
from jobs.settings import Settings
from jobs.times import Times

log = structlog.get_logger(__name__)


def observe(
    tx: sa.Connection,
    now: datetime,
    account: accounts.Account,
    tally: quota.Tally,
    times: Times,
    configured: Settings,
) -> None:
    """Write down what a slice of calls came to, and stop or go on accordingly."""
    before, after = accounts.observe(tx, now, account.id, tally, times, configured)
    if tally.blocked:  # once more, too: a person may have opened a batch to try whether it is over
        _block(tx, now, account.api, after.reason or "")
    if before.state == after.state:
        return
    log.warning("breaker", account=account.name, state=after.state, reason=after.reason)
    if after.state == "closed":
        _recover(tx, now, account.api, before)
    elif after.state == "outage":
        _wait_out(tx, now, account.api, after.reason or "")


def _recover(tx: sa.Connection, now: datetime, api: str, before: quota.Breaker) -> None:
    if before.state == "blocked":
        batches.unblock(tx, now, api)
    else:
        batches.record(tx, now, None, EventKind.RECOVERED, f"{api} answers again")


def _wait_out(tx: sa.Connection, now: datetime, api: str, reason: str) -> None:
    """Batches stay open and nothing fails: what was handed out unsent goes back."""
    batches.record(tx, now, None, EventKind.OUTAGE, f"{api}: {reason}")
    lifecycle.rescue(tx, now, batch_ids=batches.releasable(tx, api), expired_only=False)


def _block(tx: sa.Connection, now: datetime, api: str, reason: str) -> None:
    paused = batches.pause(tx, now, batches.releasable(tx, api), PauseReason.BLOCKED, reason)
    lifecycle.rescue(tx, now, batch_ids=paused, expired_only=False)


def pause(
    tx: sa.Connection, now: datetime, batch_ids: list[int], reason: PauseReason, detail: str
) -> list[int]:
    """Pause batches and take back what was handed out unsent."""
    paused = batches.pause(tx, now, batch_ids, reason, detail)
    lifecycle.rescue(tx, now, batch_ids=paused, expired_only=False)
    return paused


def limit_losses(tx: sa.Connection, now: datetime, batch: batches.Batch) -> None:
    """Pause a batch whose own failures, or whose surplus purchases, say that something general is wrong."""
    counted = batches.losses(tx, batch)
    if counted.stop:
        ended = counted.failed + counted.succeeded
        detail = f"{counted.failed} of the {ended} jobs that ended have failed, most of them {counted.worst}"
        pause(tx, now, [batch.id], PauseReason.STOP_LOSS, detail)
    elif counted.fuse:
        detail = f"{counted.surplus} predictions of {counted.jobs} jobs may have been paid twice"
        pause(tx, now, [batch.id], PauseReason.FUSE, detail)
