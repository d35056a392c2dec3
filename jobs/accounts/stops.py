"""The three kinds of stop, and who goes back when one begins or ends: outage, block, stop-loss.

Decided by `quota` and `batches`; carried out here in the transaction of whoever noticed.
"""

from datetime import datetime

import sqlalchemy as sa
import structlog

from jobs import accounts, batches, events, lifecycle, losses
from jobs.accounts import attendance, quota
from jobs.batches import PauseReason
from jobs.events import EventKind
from jobs.settings import Settings
from jobs.settings.times import Times

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
        _block(tx, now, account, after.reason or "")
    # What was handed out and may not leave would wait for the end of its lease; in doubt it is given out one by one.
    if tally.throttled_creates or (after.in_doubt and not before.in_doubt):
        lifecycle.rescue(tx, now, account_id=account.id, expired_only=False)
    if before.state == after.state:
        return
    log.warning("breaker", account=account.name, state=after.state, reason=after.reason)
    if after.state == "closed":
        _recover(tx, now, account, before)
    elif after.state == "outage":
        _wait_out(tx, now, account, after.reason or "")


def _recover(tx: sa.Connection, now: datetime, account: accounts.Account, before: quota.Breaker) -> None:
    if before.state == "blocked":
        batches.unblock(tx, now, account)
    else:
        events.record(tx, now, None, EventKind.RECOVERED, f"{account.api} answers again")


def _wait_out(tx: sa.Connection, now: datetime, account: accounts.Account, reason: str) -> None:
    """Batches stay open and nothing fails: what was handed out unsent goes back."""
    events.record(tx, now, None, EventKind.OUTAGE, f"{account.api}: {reason}")
    lifecycle.rescue(tx, now, account_id=account.id, expired_only=False)


def _block(tx: sa.Connection, now: datetime, account: accounts.Account, reason: str) -> None:
    """Take back what was handed out for the account; pause the batches that no other may buy for."""
    lifecycle.rescue(tx, now, account_id=account.id, expired_only=False)
    others = [one for one in _beside(tx, account) if one.breaker.state != "blocked"]
    served = {batch for one in others for batch in batches.releasable(tx, one)}
    left = [batch for batch in batches.releasable(tx, account) if batch not in served]
    whose = f"account {account.label}: " if account.label else ""
    batches.pause(tx, now, left, PauseReason.BLOCKED, whose + reason)


def _beside(tx: sa.Connection, account: accounts.Account) -> list[accounts.Account]:
    """Return the other accounts that are worked for at the same API."""
    there = [seat.account_id for seat in attendance.seats(tx) if seat.api == account.api]
    return [accounts.known(tx, one) for one in there if one != account.id]


def pause(
    tx: sa.Connection, now: datetime, batch_ids: list[int], reason: PauseReason, detail: str
) -> list[int]:
    """Pause batches and take back what was handed out unsent."""
    paused = batches.pause(tx, now, batch_ids, reason, detail)
    lifecycle.rescue(tx, now, batch_ids=paused, expired_only=False)
    return paused


def limit_losses(tx: sa.Connection, now: datetime, batch: batches.Batch) -> None:
    """Pause a batch whose own failures, or whose surplus purchases, say that something general is wrong."""
    counted = losses.count(tx, batch)
    if counted.stop:
        ended = counted.failed + counted.succeeded
        detail = f"{counted.failed} of the {ended} jobs that ended have failed, most of them {counted.worst}"
        pause(tx, now, [batch.id], PauseReason.STOP_LOSS, detail)
    elif counted.fuse:
        detail = f"{counted.surplus} predictions of {counted.jobs} jobs may have been paid twice"
        pause(tx, now, [batch.id], PauseReason.FUSE, detail)
