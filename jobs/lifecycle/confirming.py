"""Attempts in doubt: what the API's list shows of them, and ids that arrive late."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import marker
from jobs.failures import FailureClass
from jobs.lifecycle.fence import Fence, move, note, winners
from jobs.lifecycle.records import Accepted
from jobs.states import OPEN_PHASES, Phase, State
from jobs.tables import accounts, attempts, jobs

MOST_ABSENCES = 5


def bought(
    tx: sa.Connection,
    now: datetime,
    items: Sequence[Accepted],
    first_look: timedelta,
    source: Collection[State],
) -> set[Fence]:
    """Commit the ids of predictions that exist: → running."""
    won = move(
        tx,
        [item.fence for item in items],
        source,
        State.RUNNING,
        due_at=now + first_look,
        attempts=jobs.c.attempts + 1,
    )
    rows = [
        {"attempt": item.fence.attempt, "prediction_id": item.prediction_id} for item in winners(items, won)
    ]
    note(tx, rows, phase=Phase.RUNNING, accepted_at=now, absent_at=None)
    return won


def adopted(tx: sa.Connection, now: datetime, items: Sequence[Accepted], first_look: timedelta) -> set[Fence]:
    """unconfirmed → running: the list shows the prediction, so it was bought and is ours."""
    won = bought(tx, now, items, first_look, {State.UNCONFIRMED})
    for item in items:
        if item.fence not in won:
            found_late(tx, now, item, first_look)
    return won


def found_late(tx: sa.Connection, now: datetime, item: Accepted, first_look: timedelta) -> Phase | None:
    """Record an id on its own attempt, whatever became of that attempt meanwhile.

    Adopted if its job has nothing open, is not final and still wants that input; else an orphan, to be cancelled
    at the API and reported.
    """
    attempt = tx.execute(
        sa.select(attempts.c.phase, attempts.c.prediction_id, attempts.c.input_digest, jobs.c.input)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(attempts.c.id == item.fence.attempt)
        .with_for_update(of=attempts)
    ).one()
    if attempt.prediction_id is not None:
        return _second(tx, now, item, attempt.prediction_id)
    if attempt.phase in OPEN_PHASES:
        return None
    # What was sent may not be what is wanted any more: a person gave the job another input meanwhile.
    wanted = attempt.input_digest == marker.digest(attempt.input)
    free = wanted and _run_again(tx, now, item.fence, first_look)
    row = {"attempt": item.fence.attempt, "prediction_id": item.prediction_id}
    if free:
        note(tx, [row], phase=Phase.RUNNING, accepted_at=now, finished_at=None, absent_at=None)
        return Phase.RUNNING
    note(tx, [row], phase=Phase.ORPHAN, accepted_at=now, finished_at=now)
    return Phase.ORPHAN


def _second(tx: sa.Connection, now: datetime, item: Accepted, first: str) -> Phase | None:
    """Record the other prediction of an attempt that has one: an earlier send's was taken for its own."""
    told = sa.select(sa.exists().where(attempts.c.prediction_id == item.prediction_id))
    if item.prediction_id == first or tx.execute(told).scalar_one():
        return None
    return surplus(tx, now, item.fence, item.prediction_id)


def _run_again(tx: sa.Connection, now: datetime, fence: Fence, first_look: timedelta) -> bool:
    """pending or queued → running, if nothing was bought meanwhile."""
    has_open = sa.exists().where(attempts.c.job_id == jobs.c.id, attempts.c.phase.in_(OPEN_PHASES))
    moved = tx.execute(
        sa.update(jobs)
        .where(jobs.c.id == fence.job, jobs.c.state.in_([State.PENDING, State.QUEUED]), ~has_open)
        .values(
            state=State.RUNNING,
            attempt_id=fence.attempt,
            attempts=jobs.c.attempts + 1,
            due_at=now + first_look,
        )
    )
    return moved.rowcount > 0


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

    While the API takes no creates at all, an absence is not ``counted``: it says nothing of the job.
    """
    if not fences:
        return set()
    rows = tx.execute(
        sa.select(attempts.c.id, attempts.c.absent_at).where(
            attempts.c.id.in_([fence.attempt for fence in fences]), attempts.c.phase == Phase.UNCONFIRMED
        )
    )
    first_seen = {row.id: row.absent_at for row in rows}
    twice = [f for f in fences if (seen := first_seen.get(f.attempt)) and walked_at >= seen + gap]
    once = [f for f in fences if f.attempt in first_seen and f not in twice]
    note(
        tx,
        [{"attempt": f.attempt, "absent_at": first_seen[f.attempt] or walked_at} for f in once],
    )
    for fence in once:
        move_due = (first_seen[fence.attempt] or walked_at) + gap
        tx.execute(
            sa.update(jobs)
            .where(
                jobs.c.id == fence.job,
                jobs.c.attempt_id == fence.attempt,
                jobs.c.state == State.UNCONFIRMED,
            )
            .values(due_at=max(move_due, now))
        )
    return _nothing_bought(tx, now, twice, possibly_paid=False, counted=counted)


def presumed_absent(tx: sa.Connection, now: datetime, fences: Sequence[Fence]) -> set[Fence]:
    """unconfirmed → pending without proof, because the API has no list: reported as possibly paid twice."""
    return _nothing_bought(tx, now, fences, possibly_paid=True)


def _nothing_bought(
    tx: sa.Connection, now: datetime, fences: Sequence[Fence], *, possibly_paid: bool, counted: bool = True
) -> set[Fence]:
    hopeless = set(
        tx.execute(
            sa.select(jobs.c.id).where(
                jobs.c.id.in_([fence.job for fence in fences]), jobs.c.absences >= MOST_ABSENCES - 1
            )
        ).scalars()
        if counted
        else ()
    )
    again = move(
        tx, [f for f in fences if f.job not in hopeless], {State.UNCONFIRMED}, State.PENDING,
        due_at=now, absences=jobs.c.absences + int(counted),
    )  # fmt: skip
    over = move(
        tx, [f for f in fences if f.job in hopeless], {State.UNCONFIRMED}, State.FAILED,
        due_at=None, finished_at=now, absences=jobs.c.absences + 1,
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
    """unconfirmed → failed: nothing can prove an absence any more, so it is bought again only when asked."""
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


def surplus(tx: sa.Connection, now: datetime, twin_of: Fence, prediction_id: str) -> Phase:
    """Record a prediction that the API holds beside the one we know: bought twice, whoever's fault it is."""
    source = tx.execute(sa.select(attempts).where(attempts.c.id == twin_of.attempt)).one()
    last = tx.execute(
        sa.select(sa.func.max(attempts.c.number)).where(attempts.c.job_id == twin_of.job)
    ).scalar_one()
    tx.execute(
        sa.insert(attempts).values(
            job_id=twin_of.job,
            number=last + 1,
            account_id=source.account_id,
            phase=Phase.ORPHAN,
            input=source.input,
            input_digest=source.input_digest,
            prediction_id=prediction_id,
            intended_at=source.intended_at,
            accepted_at=now,
            finished_at=now,
            possibly_paid=False,
        )
    )
    return Phase.ORPHAN


def orphans(tx: sa.Connection, limit: int, *, api: str) -> list[tuple[int, str]]:
    """Return (attempt, prediction id) of surplus predictions that their API was not yet asked to cancel."""
    rows = tx.execute(
        sa.select(attempts.c.id, attempts.c.prediction_id)
        .join(accounts, accounts.c.id == attempts.c.account_id)
        .where(
            accounts.c.api == api,
            attempts.c.phase == sa.literal_column(f"'{Phase.ORPHAN}'"),
            attempts.c.cancel_sent_at.is_(None),
        )
        .limit(limit)
    )
    return [(row.id, row.prediction_id) for row in rows]
