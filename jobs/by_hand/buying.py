"""What a person does to the buying: pause, resume, change its pace. Automatic stops are in `stops`."""

import sqlalchemy as sa

from jobs import accounts, batches, database, errors, events, lifecycle
from jobs.accounts import quota
from jobs.batches import Batch, PauseReason
from jobs.events import EventKind
from jobs.states import BatchState


def working(tx: sa.Connection) -> list[Batch]:
    """Return the batches that were begun and are not finished."""
    begun = (one for one in batches.every(tx) if one.state in {BatchState.OPEN, BatchState.PAUSED})
    return [one for one in begun if not batches.has_ended(tx, one)]


def pause(tx: sa.Connection, batch: Batch) -> bool:
    """Pause a batch until a person resumes it, whatever paused it before.

    Return False, and change nothing, if a person already had, or if every job has ended: rows that are loaded
    later are wanted.
    """
    batch = batches.locked(tx, batch.id)
    if batch.state is BatchState.CANCELLED:
        raise errors.Mistake(f"batch {batch.name} is cancelled: there is nothing to pause")
    if batch.state is BatchState.LOADING:
        raise errors.Mistake(f"batch {batch.name} is not loaded whole, so nothing of it is bought yet")
    if batch.pause_reason is PauseReason.PERSON or batches.has_ended(tx, batch):
        return False
    now = database.now(tx)
    batches.pause_by_hand(tx, now, batch.id)
    lifecycle.rescue(tx, now, batch_ids=[batch.id], expired_only=False)
    return True


def resume(tx: sa.Connection, batch: Batch) -> bool:
    """Open a paused batch again; False if it is open or ready. A stopped account is probed at once."""
    batch = batches.locked(tx, batch.id)
    if batch.state in {BatchState.OPEN, BatchState.READY}:
        return False
    now = database.now(tx)
    batches.open_(tx, now, batch)
    events.record(tx, now, batch.id, EventKind.STARTED, "resumed by hand")
    accounts.probe_now(tx, now, batch.api)
    return True


def retune(tx: sa.Connection, account: accounts.Account, own: quota.OwnLimits) -> None:
    """Set limits of an account that override its workers' settings; if ``own`` is empty, clear them all."""
    if own:
        accounts.retune(tx, account.id, own)
    else:
        accounts.follow_settings(tx, account.id)
    detail = f"{account.name}: {described(own) or 'as the settings say'}"
    events.record(tx, database.now(tx), None, EventKind.RETUNED, detail)


def described(own: quota.OwnLimits) -> str:
    """Return limits as a person would write them.

    >>> described({"creates_per_minute": 300, "max_in_flight": 400})
    'creates per minute 300, max in flight 400'
    """
    return ", ".join(
        f"{name.replace('_', ' ')} {'unlimited' if most is None else most}" for name, most in own.items()
    )
