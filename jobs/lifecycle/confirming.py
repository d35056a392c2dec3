"""Attempts in doubt, and what the API's list shows of them. `finding` has those that nobody looks for any more."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs.failures import FailureClass
from jobs.lifecycle import finding, handing
from jobs.lifecycle.fence import Fence, move, note, winners
from jobs.lifecycle.records import Accepted
from jobs.states import Phase, State
from jobs.tables import attempts, jobs

MOST_ABSENCES = 5


def bought(
    tx: sa.Connection,
    now: datetime,
    items: Sequence[Accepted],
    first_look: timedelta,
    source: Collection[State],
) -> set[Fence]:
    """Commit the ids of predictions that exist: → running. One that comes too late is recorded on its own attempt."""
    won = move(
        tx,
        [item.fence for item in items],
        source,
        State.RUNNING,
        more={"attempts": 1},
        due_at=now + first_look,
        crashes=0,
    )
    rows = [
        {"attempt": item.fence.attempt, "prediction_id": item.prediction_id} for item in winners(items, won)
    ]
    note(tx, rows, phase=Phase.RUNNING, accepted_at=now, absent_at=None)
    for item in items:
        if item.fence not in won:
            finding.found_late(tx, now, item, first_look)
    return won


def adopted(tx: sa.Connection, now: datetime, items: Sequence[Accepted], first_look: timedelta) -> set[Fence]:
    """unconfirmed → running: the list shows the prediction, so it was bought and is ours."""
    return bought(tx, now, items, first_look, {State.UNCONFIRMED})


def absent(
    tx: sa.Connection,
    now: datetime,
    fences: Sequence[Fence],
    walked_at: datetime,
    gap: timedelta,
    *,
    counted: bool = True,
) -> set[Fence]:
    """unconfirmed → pending, once two clean walks at least ``gap`` apart did not show the prediction.

    While the API accepts no creates at all, an absence is not ``counted``: the job is not to blame.
    """
    rows = tx.execute(
        sa.select(attempts.c.job_id, attempts.c.id, attempts.c.absent_at).where(
            attempts.c.id.in_([fence.attempt for fence in fences]), attempts.c.phase == Phase.UNCONFIRMED
        )
    )
    seen_at = {Fence(row.job_id, row.id): row.absent_at for row in rows}
    twice = [f for f in fences if (seen := seen_at.get(f)) and walked_at >= seen + gap]
    once = {f: seen_at[f] or walked_at for f in fences if f in seen_at and f not in twice}
    note(tx, [{"attempt": fence.attempt, "absent_at": seen} for fence, seen in once.items()])
    handing.look_again(tx, State.UNCONFIRMED, {fence: max(seen + gap, now) for fence, seen in once.items()})
    return _nothing_bought(tx, now, twice, possibly_paid=False, counted=counted)


def presumed_absent(tx: sa.Connection, now: datetime, fences: Sequence[Fence]) -> set[Fence]:
    """unconfirmed → pending without proof, because the API's list cannot give one: reported as possibly paid twice."""
    return _nothing_bought(tx, now, fences, possibly_paid=True)


def hopeless(tx: sa.Connection, job_ids: Collection[int]) -> set[int]:
    """Return which of these jobs would fail at their next absence: they have all the allowed ones but one."""
    query = sa.select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.absences >= MOST_ABSENCES - 1)
    return set(tx.execute(query).scalars()) if job_ids else set()


def _nothing_bought(
    tx: sa.Connection, now: datetime, fences: Sequence[Fence], *, possibly_paid: bool, counted: bool = True
) -> set[Fence]:
    spent = hopeless(tx, [fence.job for fence in fences]) if counted else set()
    again = move(
        tx, [f for f in fences if f.job not in spent], {State.UNCONFIRMED}, State.PENDING,
        more={"absences": int(counted)}, due_at=now,
    )  # fmt: skip
    over = move(
        tx, [f for f in fences if f.job in spent], {State.UNCONFIRMED}, State.FAILED,
        more={"absences": 1}, due_at=None, finished_at=now,
        error_class=FailureClass.UNSUBMITTABLE,
        error_message=f"{MOST_ABSENCES} sends were lost and never showed up at the API",
    )  # fmt: skip
    won = again | over
    note(
        tx, [{"attempt": fence.attempt} for fence in won],
        phase=Phase.ABSENT, absent_at=now, finished_at=now, possibly_paid=possibly_paid,
    )  # fmt: skip
    return won


def unprovable(tx: sa.Connection, now: datetime, fences: Sequence[Fence], message: str) -> set[Fence]:
    """unconfirmed → failed: an absence can no longer be proved, so it is bought again only when a person asks."""
    won = move(
        tx, fences, {State.UNCONFIRMED}, State.FAILED,
        due_at=None, finished_at=now, error_class=FailureClass.UNCONFIRMED, error_message=message,
    )  # fmt: skip
    note(
        tx, [{"attempt": fence.attempt} for fence in won],
        phase=Phase.FAILED, finished_at=now, possibly_paid=True,
        error_class=FailureClass.UNCONFIRMED, error_message=message,
    )  # fmt: skip
    return won
