"""From bought to done: the outcome of a poll or a download."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa

from jobs.failures import FailureClass
from jobs.lifecycle import confirming, finding
from jobs.lifecycle.fence import Fence, move, note, winners
from jobs.lifecycle.records import Blackened, Failure, Image, Interrupted, Produced
from jobs.states import Phase, State
from jobs.tables import outputs

_PRODUCE = sa.insert(outputs)


def produced(tx: sa.Connection, now: datetime, items: Sequence[Produced]) -> set[Fence]:
    """running → collecting: paid, and due for download at once."""
    won = move(tx, [item.fence for item in items], {State.RUNNING}, State.COLLECTING, due_at=now, crashes=0)
    kept_items = winners(items, won)
    rows = [
        {"job_id": i.fence.job, "attempt_id": i.fence.attempt, "index": index, "url": url}
        for i in kept_items
        for index, url in enumerate(i.urls)
    ]
    if rows:
        tx.execute(_PRODUCE, rows)
    note(
        tx,
        [
            {
                "attempt": i.fence.attempt,
                "produced_at": i.produced_at,
                "predict_time": i.predict_time,
                "cost": i.cost,
            }
            for i in kept_items
        ],
        phase=Phase.COLLECTING,
    )
    return won


_UNFETCHED = (
    outputs.c.job_id == sa.bindparam("job"),
    outputs.c.attempt_id == sa.bindparam("attempt"),
    outputs.c["index"] == sa.bindparam("at"),
    outputs.c.path.is_(None),
)
_KEEP = sa.update(outputs).where(*_UNFETCHED)  # it sets the columns that are among its parameters


def _place(item: Image | Blackened) -> dict[str, int]:
    return {"job": item.fence.job, "attempt": item.fence.attempt, "at": item.index}


def kept(tx: sa.Connection, now: datetime, items: Sequence[Image]) -> set[Fence]:
    """Record files that are whole and in place; recording the same file again changes nothing."""
    if not items:
        return set()
    tx.execute(
        _KEEP,
        [{**_place(image), **asdict(image.file), "collected_at": now} for image in items],
    )
    return {image.fence for image in items}


_DROP = sa.delete(outputs).where(*_UNFETCHED)
_OF_SOME = sa.select(outputs.c.attempt_id).where(
    outputs.c.attempt_id.in_(sa.bindparam("some", expanding=True))
)


def dropped(tx: sa.Connection, items: Sequence[Blackened]) -> set[Fence]:
    """Forget outputs of which nothing is left, as if the API had not listed them; return whose all are gone."""
    if not items:
        return set()
    tx.execute(_DROP, [_place(item) for item in items])
    left = set(tx.execute(_OF_SOME, {"some": [item.fence.attempt for item in items]}).scalars())
    return {item.fence for item in items if item.fence.attempt not in left}


_MISSING = _OF_SOME.where(outputs.c.path.is_(None))


def stored(tx: sa.Connection, now: datetime, fences: Sequence[Fence]) -> set[Fence]:
    """collecting → succeeded, for jobs whose outputs are all on disk and recorded."""
    if not fences:
        return set()
    missing = set(tx.execute(_MISSING, {"some": [fence.attempt for fence in fences]}).scalars())
    whole = [fence for fence in fences if fence.attempt not in missing]
    won = move(tx, whole, {State.COLLECTING}, State.SUCCEEDED, due_at=None, finished_at=now)
    note(tx, [{"attempt": fence.attempt} for fence in won], phase=Phase.SUCCEEDED, finished_at=now)
    return won


def interrupted(tx: sa.Connection, now: datetime, items: Sequence[Interrupted]) -> set[Fence]:
    """running → pending: the prediction ended in a way that may pass.

    One that was not charged counts not as an attempt but as a lost send: at the fifth of those the job fails. It is
    running again at once if what was bought next is known already, from the API's list.
    """
    hopeless = confirming.hopeless(tx, [item.fence.job for item in items if not item.counted])
    won: set[Fence] = set()
    for item in items:
        more = {} if item.counted else {"attempts": -1, "absences": 1}
        if item.fence.job in hopeless and not item.counted:
            won |= move(
                tx, [item.fence], {State.RUNNING}, State.FAILED, more, due_at=None, finished_at=now,
                error_class=FailureClass.UNSUBMITTABLE, error_message=item.message,
            )  # fmt: skip
        else:
            won |= move(tx, [item.fence], {State.RUNNING}, State.PENDING, more, due_at=item.due_at)
    _close(tx, now, winners(items, won))
    finding.step_in(tx, now, {fence.job for fence in won})
    return won


def failed(tx: sa.Connection, now: datetime, items: Sequence[Failure]) -> set[Fence]:
    """running or collecting → failed. Never pending: what was paid for is bought again only when a person asks."""
    won = ended(tx, now, items, {State.RUNNING, State.COLLECTING})
    _close(tx, now, winners(items, won))
    return won


def ended(
    tx: sa.Connection, now: datetime, items: Sequence[Failure], source: Collection[State]
) -> set[Fence]:
    """Move jobs from any of some states → failed; their attempts are the caller's to close."""
    won: set[Fence] = set()
    for (error_class, message), same in groupby(items, key=lambda item: (item.error_class, item.message)):
        won |= move(
            tx, [item.fence for item in same], source, State.FAILED,
            due_at=None, finished_at=now, error_class=error_class, error_message=message,
        )  # fmt: skip
    return won


def _close(tx: sa.Connection, now: datetime, items: Sequence[Interrupted | Failure]) -> None:
    rows = [
        {"attempt": i.fence.attempt, "error_class": i.error_class, "error_message": i.message} for i in items
    ]
    note(tx, rows, phase=Phase.FAILED, finished_at=now)
    # Of one whose images did not come, they are known since it succeeded.
    figures = [{"attempt": i.fence.attempt, "predict_time": i.predict_time, "cost": i.cost} for i in items]
    note(tx, [row for row in figures if row["predict_time"] is not None or row["cost"] is not None])


def cancelled(tx: sa.Connection, now: datetime, fences: Sequence[Fence]) -> set[Fence]:
    """running → cancelled, as requested, once the API's prediction is canceled."""
    won = move(tx, fences, {State.RUNNING}, State.CANCELLED, due_at=None, finished_at=now)
    note(tx, [{"attempt": fence.attempt} for fence in won], phase=Phase.CANCELLED, finished_at=now)
    return won
