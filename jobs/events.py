"""What happened in the night, for whoever asks in the morning. The only writer of `events`."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from jobs.tables import events, jobs


class EventKind(StrEnum):
    """What kind of thing happened."""

    LOADED = "loaded"
    STARTED = "started"
    PAUSED = "paused"
    OUTAGE = "outage"
    RECOVERED = "recovered"
    UPDATED = "updated"
    RETRIED = "retried"
    RETUNED = "retuned"
    CANCELLED = "cancelled"
    FOUND = "found late"
    ORPHANED = "orphaned"
    SLEPT = "machine slept"


def record(tx: sa.Connection, now: datetime, batch_id: int | None, kind: EventKind, detail: str) -> None:
    """Record an event of one batch, or of all if ``batch_id`` is None."""
    tx.execute(sa.insert(events).values(batch_id=batch_id, at=now, kind=kind, detail=detail[:500]))


def began_at(tx: sa.Connection, batch_id: int) -> datetime | None:
    """Return when a person last ran or resumed a batch; None if never."""
    begun = sa.select(sa.func.max(events.c.at)).where(
        events.c.batch_id == batch_id, events.c.kind == EventKind.STARTED
    )
    found: datetime | None = tx.execute(begun).scalar_one()
    return found


def record_of_job(tx: sa.Connection, now: datetime, job_id: int, kind: EventKind, detail: str) -> None:
    """Record an event of a job under its batch, with its key."""
    job = tx.execute(sa.select(jobs.c.batch_id, jobs.c.key).where(jobs.c.id == job_id)).one()
    record(tx, now, job.batch_id, kind, f"{job.key}: {detail}")
