"""Cancelling at a person's request: a whole batch, or chosen jobs. Paid results are never thrown away."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import sqlalchemy as sa

from jobs import batches, database, errors, events, figures, lifecycle
from jobs.selecting import selection
from jobs.selecting.selection import Selection
from jobs.states import FINAL, BatchState, State
from jobs.tables import jobs

_UNFINISHED = tuple(str(state) for state in State if state not in FINAL)
_PAID = {State.COLLECTING, State.SUCCEEDED}


@dataclass(frozen=True, slots=True)
class Cancelled:
    """How many jobs were cancelled at once, will be cancelled at the API, or had failed and were given up."""

    at_once: int = 0
    requested: int = 0
    given_up: int = 0

    def __add__(self, other: "Cancelled") -> "Cancelled":
        return Cancelled(
            self.at_once + other.at_once, self.requested + other.requested, self.given_up + other.given_up
        )

    @property
    def total(self) -> int:
        return self.at_once + self.requested + self.given_up


def is_whole(typed: Selection) -> bool:
    """Whether a person means the batch itself, not some of its jobs."""
    return typed.chooses_all and typed.limit is None


def wanted(typed: Selection) -> Selection:
    """Return what a person means: all unfinished jobs and, with filters, also the failed ones among the chosen."""
    if wrong := _PAID.intersection(typed.states):
        raise errors.Mistake(
            f"a job that is {min(wrong)} is paid for; cancel takes unfinished and failed ones"
        )
    if typed.states:
        return typed
    failed = () if typed.chooses_all else (str(State.FAILED),)
    return replace(typed, states=(*_UNFINISHED, *failed))


def cancel_batch(db: database.Database, batch: batches.Batch) -> bool:
    """Cancel the batch itself, before its jobs, so that none of them is bought from now on.

    False if all ended: that would only keep it from ever growing again.
    """
    with db.write() as tx:
        current = batches.get(tx, batch.id)
        if batches.has_ended(tx, current):
            return False
        if current.state is not BatchState.CANCELLED:
            batches.cancel(tx, database.now(tx), batch.id)
    return True


def cancel_jobs(
    db: database.Database, batch: batches.Batch, chosen: Selection, ids: "array[int]"
) -> Cancelled:
    """Cancel the chosen jobs, each as its state allows, a chunk per transaction."""
    done = Cancelled()
    for chunk in selection.chunks(ids):
        done += db.unit(partial(_cancel_some, ids=chunk, failed=State.FAILED in chosen.states))
    if done.total:
        with db.write() as tx:
            events.record(
                tx, database.now(tx), batch.id, events.EventKind.CANCELLED, figures.counted(done.total, "job")
            )
    return done


def _cancel_some(tx: sa.Connection, ids: Sequence[int], failed: bool) -> Cancelled:
    """Hold the jobs first: one that a worker moved between two of these statements would be missed by both."""
    tx.execute(sa.select(jobs.c.id).where(jobs.c.id.in_(ids)).order_by(jobs.c.id).with_for_update())
    now = database.now(tx)
    return Cancelled(
        lifecycle.cancel(tx, now, ids),
        lifecycle.ask_to_cancel(tx, now, ids),
        lifecycle.give_up(tx, now, ids) if failed else 0,
    )
