"""What a person decides: try again, cancel, give up."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs.states import FINAL, State
from jobs.tables import attempts, jobs

REFUSED = "-broken"  # how the digest of a refused row ends: its job lacks the cells that were refused
ACCEPTED = jobs.c.row_digest.not_like(f"%{REFUSED}")


def _decided(
    tx: sa.Connection,
    ids: Sequence[int],
    states: Collection[State],
    *others: sa.ColumnElement[bool],
    **values: Any,
) -> int:
    """Change those of some jobs that are in one of these states; return how many."""
    if not ids:
        return 0
    chosen = (jobs.c.id.in_(ids), jobs.c.state.in_(states), *others)
    return tx.execute(sa.update(jobs).where(*chosen).values(**values)).rowcount


def retry(tx: sa.Connection, now: datetime, ids: Sequence[int]) -> int:
    """failed, succeeded or cancelled → pending: wanted again. History and earlier files stay.

    A job whose row was refused stays failed until its row is edited: it would not be what the row says.
    """
    return _decided(
        tx, ids, FINAL, ACCEPTED,
        state=State.PENDING, due_at=now, finished_at=None, cancel_requested_at=None,
        attempts=0, absences=0, crashes=0, upload_failures=0, error_class=None, error_message=None,
    )  # fmt: skip


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


_UNSENT = (State.PENDING, State.QUEUED)


def cancel(tx: sa.Connection, now: datetime, ids: Sequence[int]) -> int:
    """pending or queued → cancelled: nothing was bought."""
    return _decided(tx, ids, _UNSENT, state=State.CANCELLED, due_at=None, finished_at=now)


def ask_to_cancel(tx: sa.Connection, now: datetime, ids: Sequence[int]) -> int:
    """Request that jobs in flight be cancelled; the tick carries it out at the API.

    A job whose outputs already exist is left to finish: a paid result is never thrown away.
    """
    in_flight = (State.SUBMITTING, State.UNCONFIRMED, State.RUNNING)
    return _decided(tx, ids, in_flight, jobs.c.cancel_requested_at.is_(None), cancel_requested_at=now)


_CANCEL_UNSENT = (
    sa.update(jobs)
    .where(jobs.c.cancel_requested_at.is_not(None), jobs.c.state.in_(_UNSENT))
    .values(state=State.CANCELLED, due_at=None, finished_at=sa.bindparam("now"))
)


def cancel_unsent(tx: sa.Connection, now: datetime) -> int:
    """pending or queued → cancelled, if a cancel was requested in flight and nothing was bought after all."""
    return tx.execute(_CANCEL_UNSENT, {"now": now}).rowcount


def give_up(tx: sa.Connection, now: datetime, ids: Sequence[int]) -> int:
    """failed → cancelled: no longer wanted."""
    return _decided(
        tx, ids, (State.FAILED,), state=State.CANCELLED, finished_at=now, error_class=None, error_message=None
    )
