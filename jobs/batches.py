"""Batches: opened, paused, cancelled, and why. The only writer of `batches`."""

import uuid as uuids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from jobs import errors, events, presence
from jobs.accounts import Account
from jobs.states import UNDER_WAY, BatchState
from jobs.tables import PENDING, batches, jobs


class PauseReason(StrEnum):
    """Who or what paused a batch; only a person's pause needs a person's resume."""

    PERSON = "person"
    BLOCKED = "blocked"
    STOP_LOSS = "stop-loss"
    FUSE = "fuse"
    STORAGE = "storage"


@dataclass(frozen=True, slots=True)
class Batch:
    """One loaded manifest."""

    id: int
    uuid: str
    name: str
    folder: str
    api: str
    account: str | None  # label of the only account that may buy it; None: any at the API
    state: BatchState
    pause_reason: PauseReason | None
    pause_detail: str | None
    options: Mapping[str, Any]
    manifest_path: str | None
    manifest_sha256: str | None
    created_at: datetime
    opened_at: datetime | None
    finished_at: datetime | None

    @property
    def output(self) -> str | None:
        """The folder in which a run stored its images last, as `settings.folders` reads it; None if none is known."""
        kept = self.options.get("output")
        return kept if isinstance(kept, str) else None

    @property
    def mount(self) -> str | None:
        """Where the disk of that folder was mounted then; None if that is not known."""
        kept = self.options.get("mount")
        return kept if isinstance(kept, str) else None

    def is_of(self, path: str | None, sha256: str) -> bool:
        """Whether a manifest is the one that was loaded: at its path, edited or not, or moved from there unedited."""
        before = self.manifest_path
        if path is None or before is None or path == before:
            return path == before
        return self.manifest_sha256 == sha256 and not presence.found(Path(before))


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
    row = tx.execute(sa.select(batches).where(batches.c.name == name)).mappings().one_or_none()
    return None if row is None else _batch(row)


def get(tx: sa.Connection, batch_id: int) -> Batch:
    """Return one batch by its id."""
    return _batch(tx.execute(sa.select(batches).where(batches.c.id == batch_id)).mappings().one())


def locked(tx: sa.Connection, batch_id: int) -> Batch:
    """Return one batch, and let nobody cancel or change it before this transaction ends.

    Jobs' writers do not ask for this lock.
    """
    row = sa.select(batches).where(batches.c.id == batch_id).with_for_update(key_share=True)
    return _batch(tx.execute(row).mappings().one())


def first(tx: sa.Connection) -> str | None:
    """Return the identifier of the first batch, by which a database is known from another; None if it has none."""
    return tx.execute(sa.select(batches.c.uuid).order_by(batches.c.id).limit(1)).scalar()


def every(tx: sa.Connection) -> list[Batch]:
    """Return all batches, the oldest first."""
    return [_batch(row) for row in tx.execute(sa.select(batches).order_by(batches.c.id)).mappings()]


def _batch(row: sa.RowMapping) -> Batch:
    reason = PauseReason(row["pause_reason"]) if row["pause_reason"] else None
    return Batch(**{**row, "state": BatchState(row["state"]), "pause_reason": reason})


# Batches that an account may buy for: those that name it, and those that name none. In SQL nothing equals a
# null label, so an account without one gets only the latter.
_BOUGHT_BY = sa.select(batches.c.id).where(
    batches.c.api == sa.bindparam("api"),
    batches.c.account.is_(None) | (batches.c.account == sa.bindparam("label")),
)
_RELEASABLE = _BOUGHT_BY.where(batches.c.state == BatchState.OPEN).order_by(batches.c.id)
_BLOCKED = _BOUGHT_BY.where(batches.c.pause_reason == PauseReason.BLOCKED)


def releasable(tx: sa.Connection, account: Account, only: Sequence[int] | None = None) -> list[int]:
    """Return the open batches that an account may buy for, restricted to ``only`` if given, oldest first."""
    return _of(tx, _RELEASABLE, account, only)


def _of(tx: sa.Connection, query: sa.Select[Any], account: Account, only: Sequence[int] | None) -> list[int]:
    ids = tx.execute(query, {"api": account.api, "label": account.label}).scalars()
    return [one for one in ids if only is None or one in only]


def open_at(tx: sa.Connection, api: str) -> list[int]:
    """Return the open batches of an API, the oldest first."""
    return [one.id for one in every(tx) if one.state is BatchState.OPEN and one.api == api]


def loaded(tx: sa.Connection, batch_id: int, **changed: Any) -> None:
    """loading → ready, and store what a reload changed."""
    tx.execute(
        sa.update(batches)
        .where(batches.c.id == batch_id, batches.c.state == BatchState.LOADING)
        .values(state=BatchState.READY)
    )
    if changed:
        tx.execute(sa.update(batches).where(batches.c.id == batch_id).values(**changed))


def stores(tx: sa.Connection, batch_id: int, output: str | None, mount: str | None) -> None:
    """Keep the folder in which the images of a batch are stored from now on, and where its disk is mounted."""
    before = locked(tx, batch_id)
    if (before.output, before.mount) != (output, mount):
        changed = {**before.options, "output": output, "mount": mount}
        tx.execute(sa.update(batches).where(batches.c.id == batch_id).values(options=changed))


def refuse_cancelled(batch: Batch) -> None:
    """Raise Mistake for a cancelled batch: it buys nothing any more, so its jobs would be pending for ever."""
    if batch.state is BatchState.CANCELLED:
        raise errors.Mistake(
            f"batch {batch.name} is cancelled; load its manifest under another name with --batch NAME"
        )


def open_(tx: sa.Connection, now: datetime, batch: Batch) -> None:
    """ready or paused → open: its jobs may be bought. A cancelled batch stays cancelled.

    What was paused or cancelled since ``batch`` was read stays so, too.
    """
    refuse_cancelled(batch)
    if batch.state is BatchState.LOADING:
        raise errors.Mistake(f"batch {batch.name} is not loaded whole; run its manifest again")
    tx.execute(
        sa.update(batches)
        .where(
            batches.c.id == batch.id,
            batches.c.state.in_([BatchState.READY, BatchState.PAUSED]),
            batches.c.pause_reason.is_not_distinct_from(batch.pause_reason),
        )
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
        events.record(tx, now, batch_id, events.EventKind.PAUSED, f"{reason}: {detail}")
    return paused


def pause_by_hand(tx: sa.Connection, now: datetime, batch_id: int) -> None:
    """ready or open, or paused by anything → paused by a person: only a person's resume opens it again."""
    detail = "by hand"
    tx.execute(
        sa.update(batches)
        .where(
            batches.c.id == batch_id,
            batches.c.state.in_([BatchState.READY, BatchState.OPEN, BatchState.PAUSED]),
        )
        .values(state=BatchState.PAUSED, pause_reason=PauseReason.PERSON, pause_detail=detail)
    )
    events.record(tx, now, batch_id, events.EventKind.PAUSED, f"{PauseReason.PERSON}: {detail}")


def cancel(tx: sa.Connection, now: datetime, batch_id: int) -> None:
    """Any → cancelled: the batch is never run again."""
    tx.execute(
        sa.update(batches)
        .where(batches.c.id == batch_id)
        .values(state=BatchState.CANCELLED, pause_reason=None, pause_detail=None, finished_at=now)
    )
    events.record(tx, now, batch_id, events.EventKind.CANCELLED, "")


def blocked(tx: sa.Connection, account: Account, only: Sequence[int] | None = None) -> list[int]:
    """Return the batches paused by a block that an account may buy for, restricted to ``only`` if given."""
    return _of(tx, _BLOCKED, account, only)


def unblock(tx: sa.Connection, now: datetime, account: Account, only: Sequence[int] | None = None) -> None:
    """paused → open for the batches that a block had paused: the API takes an account's calls again."""
    if not (ids := blocked(tx, account, only)):
        return
    # By its reason once more: a person may have paused or cancelled it since.
    opened = (
        sa.update(batches)
        .where(batches.c.id.in_(ids), batches.c.pause_reason == PauseReason.BLOCKED)
        .values(state=BatchState.OPEN, pause_reason=None, pause_detail=None)
        .returning(batches.c.id)
    )
    for batch_id in sorted(tx.execute(opened).scalars()):
        events.record(tx, now, batch_id, events.EventKind.RECOVERED, "")


def size(tx: sa.Connection, batch_id: int) -> int:
    """Return how many jobs a batch has."""
    of_batch = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.batch_id == batch_id)
    return tx.execute(of_batch).scalar_one()


def unfinished(tx: sa.Connection, batch_id: int) -> bool:
    """Whether any job of the batch is not final."""
    # Each query lists the states it wants, not those to exclude, so that an index serves it. The first also
    # keeps its index's order: otherwise PostgreSQL scans the table, past all the jobs that have ended.
    pending = sa.select(jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.state == PENDING)
    first = pending.order_by(jobs.c.priority.desc(), jobs.c.id).limit(1)
    begun = sa.select(jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.state.in_(UNDER_WAY)).limit(1)
    return any(tx.execute(query).first() is not None for query in (first, begun))


def has_ended(tx: sa.Connection, batch: Batch) -> bool:
    """Whether every job of a batch has ended; of one that is not loaded whole, nobody knows all its jobs."""
    return batch.state is not BatchState.LOADING and not unfinished(tx, batch.id)
