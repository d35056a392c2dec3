"""Batches and their events: opened, paused, cancelled, and why. The only writer of both tables."""

import uuid as uuids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from jobs import errors
from jobs.accounts import Account
from jobs.states import FINAL, BatchState, State
from jobs.tables import SURPLUS, attempts, batches, events, jobs

# A partial index is only used when the query says its condition in so many words, not by a parameter.
_PENDING: sa.ColumnElement[str] = sa.literal_column(f"'{State.PENDING}'")


class PauseReason(StrEnum):
    """Who or what paused a batch; only a person's pause needs a person's resume."""

    PERSON = "person"
    BLOCKED = "blocked"
    STOP_LOSS = "stop-loss"
    FUSE = "fuse"
    STORAGE = "storage"


class EventKind(StrEnum):
    """What is worth remembering of a batch's night."""

    LOADED = "loaded"
    STARTED = "started"
    PAUSED = "paused"
    BLOCKED = "blocked"
    OUTAGE = "outage"
    RECOVERED = "recovered"
    UPDATED = "updated"
    RETRIED = "retried"
    RETUNED = "retuned"
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"
    SLEPT = "machine slept"


@dataclass(frozen=True, slots=True)
class Batch:
    """One loaded manifest."""

    id: int
    uuid: str
    name: str
    folder: str
    api: str
    account: str | None  # the label of the one that buys; None: whichever at the API
    state: BatchState
    pause_reason: PauseReason | None
    pause_detail: str | None
    options: Mapping[str, Any]
    manifest_path: str | None
    manifest_sha256: str | None
    created_at: datetime
    opened_at: datetime | None
    finished_at: datetime | None


def create(
    tx: sa.Connection,
    now: datetime,
    *,
    name: str,
    folder: str,
    api: str,
    account: str | None = None,
    options: Mapping[str, Any],
    manifest_path: str | None,
    manifest_sha256: str,
) -> Batch:
    """Make a batch that is being loaded."""
    batch_id = tx.execute(
        sa.insert(batches)
        .values(
            uuid=str(uuids.uuid4()), name=name, folder=folder, api=api, account=account, state=BatchState.LOADING,
            options=dict(options), manifest_path=manifest_path, manifest_sha256=manifest_sha256,
            created_at=now,
        )
        .returning(batches.c.id)
    ).scalar_one()  # fmt: skip
    return get(tx, batch_id)


def find(tx: sa.Connection, name: str) -> Batch | None:
    """Return the batch of that name, if there is one."""
    row = tx.execute(sa.select(batches).where(batches.c.name == name)).one_or_none()
    return None if row is None else _batch(row)


def get(tx: sa.Connection, batch_id: int) -> Batch:
    """Return one batch by its id."""
    return _batch(tx.execute(sa.select(batches).where(batches.c.id == batch_id)).one())


def every(tx: sa.Connection) -> list[Batch]:
    """Return all batches, the oldest first."""
    return [_batch(row) for row in tx.execute(sa.select(batches).order_by(batches.c.id))]


def _batch(row: sa.Row[Any]) -> Batch:
    values = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping
    values["state"] = BatchState(values["state"])
    values["pause_reason"] = PauseReason(values["pause_reason"]) if values["pause_reason"] else None
    return Batch(**values)


def bought_by(account: Account) -> sa.ColumnElement[bool]:
    """Batches that an account may buy for: those at its API that want it, or any."""
    any_will_do = batches.c.account.is_(None)
    wanted = any_will_do if account.label is None else any_will_do | (batches.c.account == account.label)
    return (batches.c.api == account.api) & wanted


def releasable(tx: sa.Connection, account: Account, only: Sequence[int] | None = None) -> list[int]:
    """Return the open batches that an account may buy for, or those of ``only``, the oldest first."""
    query = sa.select(batches.c.id).where(bought_by(account), batches.c.state == BatchState.OPEN)
    if only is not None:
        query = query.where(batches.c.id.in_(only))
    return list(tx.execute(query.order_by(batches.c.id)).scalars())


def open_at(tx: sa.Connection, api: str) -> list[int]:
    """Return the open batches of an API, the oldest first."""
    return [one.id for one in every(tx) if one.state is BatchState.OPEN and one.api == api]


def loaded(tx: sa.Connection, batch_id: int, **changed: Any) -> None:
    """loading → ready; or only note what a reload changed."""
    tx.execute(
        sa.update(batches)
        .where(batches.c.id == batch_id, batches.c.state == BatchState.LOADING)
        .values(state=BatchState.READY)
    )
    if changed:
        tx.execute(sa.update(batches).where(batches.c.id == batch_id).values(**changed))


def open_(tx: sa.Connection, now: datetime, batch: Batch) -> None:
    """ready or paused → open: its jobs may be bought. A cancelled batch stays cancelled."""
    if batch.state is BatchState.CANCELLED:
        raise errors.Mistake(f"batch {batch.name} is cancelled; load the manifest under another --batch name")
    if batch.state is BatchState.LOADING:
        raise errors.Mistake(f"batch {batch.name} is not loaded whole; run its manifest again")
    tx.execute(
        sa.update(batches)
        .where(batches.c.id == batch.id, batches.c.state.in_([BatchState.READY, BatchState.PAUSED]))
        .values(state=BatchState.OPEN, pause_reason=None, pause_detail=None, opened_at=now)
    )


def pause(
    tx: sa.Connection, now: datetime, batch_ids: Sequence[int], reason: PauseReason, detail: str
) -> list[int]:
    """open → paused: nothing more is bought; what is in flight is fetched. Return those that were open."""
    paused = list(
        tx.execute(
            sa.update(batches)
            .where(batches.c.id.in_(batch_ids), batches.c.state == BatchState.OPEN)
            .values(state=BatchState.PAUSED, pause_reason=reason, pause_detail=detail)
            .returning(batches.c.id)
        ).scalars()
    )
    for batch_id in paused:
        record(tx, now, batch_id, EventKind.PAUSED, f"{reason}: {detail}")
    return paused


def hold(tx: sa.Connection, batch_id: int) -> None:
    """paused by anything → paused by a person: it needs a person's resume."""
    tx.execute(
        sa.update(batches)
        .where(batches.c.id == batch_id, batches.c.state.in_([BatchState.PAUSED, BatchState.READY]))
        .values(state=BatchState.PAUSED, pause_reason=PauseReason.PERSON, pause_detail="by hand")
    )


def cancel(tx: sa.Connection, now: datetime, batch_id: int) -> None:
    """Any → cancelled: the batch is never run again."""
    tx.execute(
        sa.update(batches)
        .where(batches.c.id == batch_id)
        .values(state=BatchState.CANCELLED, pause_reason=None, pause_detail=None, finished_at=now)
    )
    record(tx, now, batch_id, EventKind.CANCELLED, "")


def blocked(tx: sa.Connection, account: Account, only: Sequence[int] | None = None) -> list[int]:
    """Return the batches that a block paused and that an account may buy for, or those of ``only``."""
    query = sa.select(batches.c.id).where(bought_by(account), batches.c.pause_reason == PauseReason.BLOCKED)
    if only is not None:
        query = query.where(batches.c.id.in_(only))
    return list(tx.execute(query).scalars())


def unblock(tx: sa.Connection, now: datetime, account: Account) -> list[int]:
    """paused → open for the batches that a block had paused: the API takes an account's calls again."""
    ids = blocked(tx, account)
    tx.execute(
        sa.update(batches)
        .where(batches.c.id.in_(ids))
        .values(state=BatchState.OPEN, pause_reason=None, pause_detail=None)
    )
    for batch_id in ids:
        record(tx, now, batch_id, EventKind.RECOVERED, "")
    return ids


def record(tx: sa.Connection, now: datetime, batch_id: int | None, kind: EventKind, detail: str) -> None:
    """Remember one event of a batch, or of all."""
    tx.execute(sa.insert(events).values(batch_id=batch_id, at=now, kind=kind, detail=detail[:500]))


def record_of_job(tx: sa.Connection, now: datetime, job_id: int, kind: EventKind, detail: str) -> None:
    """Remember one event of a job, with its batch."""
    batch_id = tx.execute(sa.select(jobs.c.batch_id).where(jobs.c.id == job_id)).scalar_one()
    record(tx, now, batch_id, kind, f"job {job_id}: {detail}")


_FEW_FAILED = 20  # never too many
_SOME_SUCCEEDED = 5
_FEW_SURPLUS = 10
_ENOUGH = 4  # that succeeded for each that failed: a fifth failed


@dataclass(frozen=True, slots=True)
class Losses:
    """How the jobs that ended since the batch was opened have ended.

    ``succeeded`` and ``jobs`` are 0 where they could not matter, and ``succeeded`` is counted no further than to
    where they are enough: a night has a million of them.
    """

    succeeded: int
    failed: int
    worst: str | None  # the largest failure class
    jobs: int
    surplus: int  # creates that follow no settled outcome: orphans and possibly paid twice

    @property
    def stop(self) -> bool:
        """More than 20 failed before five succeeded, or at least 50 and over a fifth: something general is wrong."""
        early = self.failed > _FEW_FAILED and self.succeeded < _SOME_SUCCEEDED
        return early or (self.failed >= 50 and self.failed > 0.2 * (self.succeeded + self.failed))

    @property
    def stopping(self) -> bool:
        return self.stop or self.fuse

    @property
    def fuse(self) -> bool:
        """Surplus purchases above 2 % of the jobs and 10: the last line against our own mistakes."""
        return self.surplus > 0.02 * self.jobs + _FEW_SURPLUS


def losses(tx: sa.Connection, batch: Batch) -> Losses:
    """Count what stop-loss and billing fuse are judged by; a night without losses costs two short looks."""
    failed = _failed(tx, batch)
    count = sum(failed.values())
    surplus = _surplus(tx, batch)
    return Losses(
        succeeded=0 if count <= _FEW_FAILED else _succeeded(tx, batch, count * _ENOUGH),
        failed=count,
        worst=max(failed, key=lambda name: failed[name], default=None),
        jobs=0 if surplus <= _FEW_SURPLUS else _size(tx, batch.id),
        surplus=surplus,
    )


def _failed(tx: sa.Connection, batch: Batch) -> dict[str, int]:
    """Count by error class the jobs that failed since the batch was opened."""
    rows = tx.execute(
        sa.select(jobs.c.error_class, sa.func.count())
        .where(jobs.c.batch_id == batch.id, jobs.c.state == State.FAILED)
        .where(jobs.c.finished_at >= (batch.opened_at or batch.created_at))
        .group_by(jobs.c.error_class)
    )
    return {row[0]: row[1] for row in rows}


def _succeeded(tx: sa.Connection, batch: Batch, most: int) -> int:
    """Count the jobs that succeeded since the batch was opened, up to ``most``."""
    some = (
        sa.select(jobs.c.id)
        .where(jobs.c.batch_id == batch.id, jobs.c.state == State.SUCCEEDED, jobs.c.error_class.is_(None))
        .where(jobs.c.finished_at >= (batch.opened_at or batch.created_at))
        .order_by(jobs.c.error_class)  # none has one: it is the order of `jobs_counted`, so that this is read
        .limit(most)
        .subquery()
    )
    return tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()


def _surplus(tx: sa.Connection, batch: Batch) -> int:
    """Count the purchases beside those of the jobs since a person last opened the batch, who knew of the earlier."""
    # No join: SQLite would look up every job of the batch in an index that is mostly empty.
    owner = sa.select(jobs.c.batch_id).where(jobs.c.id == attempts.c.job_id).scalar_subquery()
    return tx.execute(
        sa.select(sa.func.count())
        .select_from(attempts)
        .where(sa.text(f"({SURPLUS})"), owner == batch.id)
        .where(attempts.c.finished_at >= (batch.opened_at or batch.created_at))
    ).scalar_one()


def _size(tx: sa.Connection, batch_id: int) -> int:
    return tx.execute(
        sa.select(sa.func.count()).select_from(jobs).where(jobs.c.batch_id == batch_id)
    ).scalar_one()


def unfinished(tx: sa.Connection, batch_id: int) -> bool:
    """Whether any job of the batch is not final."""
    # Said so, and not as what they are not, for the index. And in its order: PostgreSQL would look through the table
    # itself for the first of many, past all those that have ended.
    pending = sa.select(jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.state == _PENDING)
    first = pending.order_by(jobs.c.priority.desc(), jobs.c.id).limit(1)
    under_way = set(State) - FINAL - {State.PENDING}
    begun = sa.select(jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.state.in_(under_way)).limit(1)
    return any(tx.execute(query).first() is not None for query in (first, begun))
