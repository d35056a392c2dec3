"""Predictions of ours that turn up when nobody waits for them: late ids, surplus, lost intents."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs import events, marker
from jobs.dialects import literally
from jobs.events import EventKind
from jobs.failures import FailureClass
from jobs.lifecycle.fence import Fence, note
from jobs.lifecycle.records import Accepted, Stray
from jobs.states import OPEN_PHASES, BatchState, Phase, State
from jobs.tables import attempts, batches, jobs


def found_late(tx: sa.Connection, now: datetime, item: Accepted, first_look: timedelta) -> Phase | None:
    """Record an id on its own attempt, whatever has become of that attempt, and tell of it by an event.

    Adopted if the job still wants that input and has bought nothing else; otherwise an orphan, to be
    cancelled at the API and reported.
    """
    phase = _record_late(tx, now, item, first_look)
    if phase:
        _tell(tx, now, item.fence.job, item.prediction_id, phase)
    return phase


def _record_late(tx: sa.Connection, now: datetime, item: Accepted, first_look: timedelta) -> Phase | None:
    attempt = tx.execute(
        sa.select(
            attempts.c.phase, attempts.c.prediction_id, attempts.c.account_id, attempts.c.intended_at,
            attempts.c.input.label("sent"), jobs.c.input,
        )
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(attempts.c.id == item.fence.attempt, jobs.c.id == item.fence.job)
        .with_for_update()  # of the job as well: a person may be giving it another input at this moment
    ).one_or_none()  # fmt: skip
    if attempt is None:  # see `unremembered`
        return None
    if attempt.prediction_id is not None:
        made_at = item.made_at or attempt.intended_at
        second = Stray(item.fence.job, attempt.account_id, item.prediction_id, made_at, dead=item.dead)
        known = _is_known(tx, item.prediction_id)
        return None if known else _taken_in(tx, now, second, attempt.sent, attempt.input, first_look)
    if attempt.phase in OPEN_PHASES:
        return None
    # A person may have given the job another input in the meantime.
    wanted = marker.digest(attempt.sent) == marker.digest(attempt.input)
    free = wanted and _run_again(tx, now, item.fence, first_look)
    row = {"attempt": item.fence.attempt, "prediction_id": item.prediction_id}
    if free:
        nothing = dict.fromkeys(("finished_at", "absent_at", "error_class", "error_message"))
        note(tx, [row], phase=Phase.RUNNING, accepted_at=now, possibly_paid=False, **nothing)
        return Phase.RUNNING
    note(tx, [row], phase=Phase.ORPHAN, accepted_at=now, finished_at=now)
    return Phase.ORPHAN


def _is_known(tx: sa.Connection, prediction_id: str) -> bool:
    known = sa.exists().where(attempts.c.prediction_id == prediction_id)
    return bool(tx.execute(sa.select(known)).scalar_one())


def _run_again(
    tx: sa.Connection, now: datetime, fence: Fence, first_look: timedelta, made_at: datetime | None = None
) -> bool:
    """pending, queued or failed → running, if nothing else was bought and nobody has decided otherwise.

    Of failed jobs, only those that failed for lack of this very prediction: it is paid. So is one that was ``made_at``
    a moment after the failure: a person had asked for it. Not if a person asked to cancel the job or its batch; a job
    that was given up is cancelled, so it does not match either.
    """
    has_open = sa.exists().where(attempts.c.job_id == jobs.c.id, attempts.c.phase.in_(OPEN_PHASES))
    given_up = sa.select(batches.c.id).where(batches.c.state == BatchState.CANCELLED)
    lacks_it = jobs.c.error_class.in_([FailureClass.UNCONFIRMED, FailureClass.UNSUBMITTABLE])
    for_want_of_it = sa.and_(
        jobs.c.state == State.FAILED,
        lacks_it if made_at is None else lacks_it | (jobs.c.finished_at < made_at),
        jobs.c.cancel_requested_at.is_(None),
        jobs.c.batch_id.not_in(given_up),
    )
    moved = tx.execute(
        sa.update(jobs)
        .where(
            jobs.c.id == fence.job,
            jobs.c.state.in_([State.PENDING, State.QUEUED]) | for_want_of_it,
            ~has_open,
        )
        .values(
            state=State.RUNNING,
            attempt_id=fence.attempt,
            account_id=sa.select(attempts.c.account_id)
            .where(attempts.c.id == fence.attempt)
            .scalar_subquery(),
            attempts=jobs.c.attempts + 1,
            due_at=now + first_look,
            finished_at=None,
            error_class=None,
            error_message=None,
        )
    )
    return moved.rowcount > 0


def unremembered(
    tx: sa.Connection, now: datetime, items: Sequence[Accepted], first_look: timedelta, account_id: int
) -> set[Fence]:
    """Write the attempts of purchases that were just made, where there are none any more: their ids are here alone.

    A standby that took over without the last commits has lost them, or has given their numbers to other jobs.
    """
    theirs = sa.select(attempts.c.job_id, attempts.c.id).where(
        attempts.c.id.in_([item.fence.attempt for item in items])
    )
    there = {Fence(row.job_id, row.id) for row in tx.execute(theirs)}
    # One that was loaded a moment before is gone itself.
    known = set(
        tx.execute(sa.select(jobs.c.id).where(jobs.c.id.in_([item.fence.job for item in items]))).scalars()
    )
    gone = [item for item in items if item.fence not in there and item.fence.job in known]
    for item in gone:
        recalled(tx, now, Stray(item.fence.job, account_id, item.prediction_id, now), first_look)
    return {item.fence for item in gone}


def recalled(tx: sa.Connection, now: datetime, stray: Stray, first_look: timedelta) -> Phase:
    """Write the attempt of a prediction that has a job's seed and input, though no attempt records it.

    Its intent was lost in a power cut, or with a database restored from a backup. Like any late id it is
    adopted if nothing was bought instead, and otherwise an orphan; so is one that may be another job's picture.
    """
    wanted = tx.execute(sa.select(jobs.c.input).where(jobs.c.id == stray.job).with_for_update()).scalar_one()
    phase = _taken_in(tx, now, stray, wanted, wanted, first_look)
    _tell(tx, now, stray.job, f"{stray.prediction_id}, no attempt remembered it", phase)
    return phase


def _taken_in(
    tx: sa.Connection,
    now: datetime,
    stray: Stray,
    sent: Mapping[str, Any],
    wanted: Mapping[str, Any],
    first_look: timedelta,
) -> Phase:
    """Give a prediction an attempt of its own: running if the job wants what was sent, and has bought nothing else.

    Of others, one that has ended without an image was bought in its time and is no surplus.
    """
    phase = Phase.FAILED if stray.dead else Phase.ORPHAN
    attempt = _record(
        tx, now, stray.job, stray.prediction_id, phase, account_id=stray.account_id, input=sent,
        input_digest=marker.digest(sent), intended_at=stray.made_at, cancel_at=now if stray.shared else None,
    )  # fmt: skip
    fits = not stray.shared and marker.digest(sent) == marker.digest(wanted)
    if fits and _run_again(tx, now, Fence(stray.job, attempt), first_look, stray.made_at):
        note(tx, [{"attempt": attempt}], phase=Phase.RUNNING, finished_at=None)
        return Phase.RUNNING
    return phase


def _tell(tx: sa.Connection, now: datetime, job: int, what: str, phase: Phase) -> None:
    kind = EventKind.ORPHANED if phase is Phase.ORPHAN else EventKind.FOUND
    events.record_of_job(tx, now, job, kind, what)


def _record(tx: sa.Connection, now: datetime, job: int, prediction_id: str, phase: Phase, **sent: Any) -> int:
    """Add what was found to a job's attempts; return its id."""
    last = tx.execute(sa.select(sa.func.max(attempts.c.number)).where(attempts.c.job_id == job)).scalar_one()
    return int(
        tx.execute(
            sa.insert(attempts)
            .values(
                job_id=job, number=(last or 0) + 1, phase=phase, prediction_id=prediction_id,
                accepted_at=now, finished_at=now, possibly_paid=False, **sent,
            )
            .returning(attempts.c.id)
        ).scalar_one()
    )  # fmt: skip


_CURRENT = attempts.alias("current")
_LATER = (
    jobs.c.id == attempts.c.job_id,
    _CURRENT.c.id == jobs.c.attempt_id,
    _CURRENT.c.accepted_at < attempts.c.intended_at,
)
# Nothing is bought beside what runs. So what was bought later shows that it has ended, which a database that was put
# back, as a copy from before, has yet to learn.
_STANDS_BY = sa.exists().where(jobs.c.state == literally(State.RUNNING), *_LATER).correlate(attempts)
# The double negation keeps SQLite from `attempts_by_age`, with which it would scan all that they ever bought.
_ORPHANS = (
    sa.select(attempts.c.id, attempts.c.prediction_id)
    .where(
        attempts.c.account_id.not_in(sa.bindparam("accounts", expanding=True)).is_(sa.false()),
        attempts.c.phase == literally(Phase.ORPHAN),
        attempts.c.cancel_sent_at.is_(None),
        (attempts.c.cancel_at <= sa.bindparam("now")) | (attempts.c.cancel_at.is_(None) & ~_STANDS_BY),
    )
    .order_by(attempts.c.id)  # the order of `attempts_orphaned`
    .limit(sa.bindparam("count"))
)


ANY_ORPHAN = sa.exists(_ORPHANS)  # takes the same parameters as in `orphans`


def orphans(tx: sa.Connection, now: datetime, limit: int, *, of: Collection[int]) -> list[tuple[int, str]]:
    """Return (attempt, prediction id) of these accounts' orphans that are due to be cancelled at their API."""
    rows = tx.execute(_ORPHANS, {"accounts": of, "now": now, "count": limit})
    return [(row.id, row.prediction_id) for row in rows]


_STANDING_BY = (
    sa.select(attempts.c.id, attempts.c.job_id, attempts.c.prediction_id, attempts.c.input.label("sent"))
    .add_columns(jobs.c.input)
    .select_from(attempts, jobs, _CURRENT)
    .where(
        attempts.c.job_id.in_(sa.bindparam("some", expanding=True)),
        attempts.c.phase == Phase.ORPHAN,
        attempts.c.cancel_at.is_(None),
        *_LATER,
    )
    .order_by(attempts.c.intended_at.desc())
)


def step_in(tx: sa.Connection, now: datetime, job_ids: Collection[int]) -> None:
    """pending → running: what stood by while something else seemed to run takes its place, and nothing is bought."""
    for row in tx.execute(_STANDING_BY, {"some": list(job_ids)}).all() if job_ids else ():
        wanted = marker.digest(row.sent) == marker.digest(row.input)
        if wanted and _run_again(tx, now, Fence(row.job_id, row.id), timedelta()):
            note(tx, [{"attempt": row.id}], phase=Phase.RUNNING, finished_at=None)
            _tell(tx, now, row.job_id, row.prediction_id, Phase.RUNNING)
