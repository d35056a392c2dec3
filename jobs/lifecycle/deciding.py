"""What a person decides: try again, cancel, give up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs.states import FINAL, State
from jobs.tables import attempts, jobs

REFUSED = "-broken"  # how the digest of a refused row ends: its job lacks the cells that were refused
ACCEPTED = jobs.c.row_digest.not_like(f"%{REFUSED}")


def retry(tx: sa.Connection, now: datetime, ids: Sequence[int]) -> int:
    """failed, succeeded or cancelled → pending: wanted again. History and earlier files stay.

    A job whose row was refused stays failed until its row is edited: it would not be what the row says.
    """
    if not ids:
        return 0
    return tx.execute(
        sa.update(jobs)
        .where(jobs.c.id.in_(ids), jobs.c.state.in_(FINAL), ACCEPTED)
        .values(
            state=State.PENDING,
            due_at=now,
            finished_at=None,
            attempts=0,
            absences=0,
            crashes=0,
            upload_failures=0,
            cancel_requested_at=None,
            error_class=None,
            error_message=None,
        )
    ).rowcount


def sent(tx: sa.Connection, ids: Sequence[int]) -> Mapping[int, Sequence[Mapping[str, Any]]]:
    """Return the inputs of each job's attempts."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    rows = tx.execute(sa.select(attempts.c.job_id, attempts.c.input).where(attempts.c.job_id.in_(ids)))
    for job_id, given in rows:
        found.setdefault(job_id, []).append(given)
    return found


def change_input(tx: sa.Connection, inputs: Mapping[int, Mapping[str, Any]], *, own_seed: bool) -> None:
    """Give jobs that are not under way another input; their attempts keep the input that was sent."""
    if inputs:
        # Not `in_`: its list cannot be expanded in an executemany.
        at_rest = sa.or_(*(jobs.c.state == state for state in sorted({*FINAL, State.PENDING})))
        tx.execute(
            sa.update(jobs).where(jobs.c.id == sa.bindparam("job"), at_rest).values(own_seed=own_seed),
            [{"job": job, "input": dict(new)} for job, new in inputs.items()],
        )


def cancel(tx: sa.Connection, now: datetime, ids: Sequence[int]) -> int:
    """pending or queued → cancelled: nothing was bought."""
    if not ids:
        return 0
    return tx.execute(
        sa.update(jobs)
        .where(jobs.c.id.in_(ids), jobs.c.state.in_([State.PENDING, State.QUEUED]))
        .values(state=State.CANCELLED, due_at=None, finished_at=now)
    ).rowcount


def ask_to_cancel(tx: sa.Connection, now: datetime, ids: Sequence[int]) -> int:
    """Request that jobs in flight be cancelled; the tick carries it out at the API.

    A job whose outputs already exist is left to finish: a paid result is never thrown away.
    """
    if not ids:
        return 0
    return tx.execute(
        sa.update(jobs)
        .where(
            jobs.c.id.in_(ids),
            jobs.c.state.in_([State.SUBMITTING, State.UNCONFIRMED, State.RUNNING]),
            jobs.c.cancel_requested_at.is_(None),
        )
        .values(cancel_requested_at=now)
    ).rowcount


_CANCEL_UNSENT = (
    sa.update(jobs)
    .where(jobs.c.cancel_requested_at.is_not(None), jobs.c.state.in_([State.PENDING, State.QUEUED]))
    .values(state=State.CANCELLED, due_at=None, finished_at=sa.bindparam("now"))
)


def cancel_unsent(tx: sa.Connection, now: datetime) -> int:
    """pending or queued → cancelled, if a cancel was requested in flight and nothing was bought after all."""
    return tx.execute(_CANCEL_UNSENT, {"now": now}).rowcount


def give_up(tx: sa.Connection, now: datetime, ids: Sequence[int]) -> int:
    """failed → cancelled: no longer wanted."""
    if not ids:
        return 0
    return tx.execute(
        sa.update(jobs)
        .where(jobs.c.id.in_(ids), jobs.c.state == State.FAILED)
        .values(state=State.CANCELLED, finished_at=now, error_class=None, error_message=None)
    ).rowcount
