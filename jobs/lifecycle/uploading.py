"""Jobs whose image is not at the API: sent back, made due again, or failed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from jobs.failures import FailureClass
from jobs.lifecycle.fence import Fence, move, note, winners
from jobs.lifecycle.records import UploadPending
from jobs.states import Phase, State
from jobs.tables import attempts, jobs

MOST_UPLOADS = 5


def not_uploaded(tx: sa.Connection, now: datetime, items: Sequence[UploadPending]) -> set[Fence]:
    """submitting → pending, or → failed at the last allowed upload failure.

    Of its attempts that sent nothing, a job keeps only the last: an outage must not grow the table.
    """
    before = _failures(tx, items)
    over = [item for item in items if item.counted and before[item.fence.job] >= MOST_UPLOADS - 1]
    given_up = set().union(*(_give_up(tx, now, item) for item in over))
    again = set().union(*(_send_back(tx, now, item, before) for item in items if item not in over))
    _note(tx, now, winners(items, given_up), FailureClass.UPLOAD_FAILED)
    _note(tx, now, winners(items, again), None)
    _forget_unsent(tx, again)
    return given_up | again


def upload_ended(tx: sa.Connection, now: datetime, fence: Fence) -> None:
    """Make a job due whose upload has ended, if it still waits for it."""
    waits = (jobs.c.id == fence.job, jobs.c.attempt_id == fence.attempt, jobs.c.state == State.PENDING)
    tx.execute(sa.update(jobs).where(*waits).values(due_at=now))


def _failures(tx: sa.Connection, items: Sequence[UploadPending]) -> Mapping[int, int]:
    ids = [item.fence.job for item in items]
    counted = tx.execute(sa.select(jobs.c.id, jobs.c.upload_failures).where(jobs.c.id.in_(ids)))
    return {row.id: row.upload_failures for row in counted}


def _send_back(
    tx: sa.Connection, now: datetime, item: UploadPending, before: Mapping[int, int]
) -> set[Fence]:
    failures = before[item.fence.job]
    due_at = now + item.wait * (2**failures if item.counted else 1)
    more = {"upload_failures": int(item.counted)}
    return move(tx, [item.fence], {State.SUBMITTING}, State.PENDING, more, due_at=due_at)


def _give_up(tx: sa.Connection, now: datetime, item: UploadPending) -> set[Fence]:
    return move(
        tx, [item.fence], {State.SUBMITTING}, State.FAILED,
        due_at=None, finished_at=now, upload_failures=MOST_UPLOADS, error_class=FailureClass.UPLOAD_FAILED,
        error_message=f"{item.message} That was try {MOST_UPLOADS}: make it smaller, or give its URL.",
    )  # fmt: skip


def _note(
    tx: sa.Connection, now: datetime, items: Sequence[UploadPending], error_class: FailureClass | None
) -> None:
    rows = [{"attempt": item.fence.attempt, "error_message": item.message} for item in items]
    note(tx, rows, phase=Phase.REFUSED, finished_at=now, error_class=error_class)


def _forget_unsent(tx: sa.Connection, fences: Collection[Fence]) -> None:
    """Delete earlier attempts of these jobs that sent nothing; never the current one, whose id is the fence."""
    tx.execute(
        sa.delete(attempts).where(
            attempts.c.job_id.in_([fence.job for fence in fences]),
            attempts.c.id.not_in([fence.attempt for fence in fences]),
            attempts.c.phase == Phase.REFUSED,
            attempts.c.error_class.is_(None),
            attempts.c.sent_at.is_(None),
        )
    )
