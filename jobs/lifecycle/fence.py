"""Compare and set: how a job that has an attempt changes state, and how one bad row spares its slice."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from jobs import states
from jobs.states import State
from jobs.tables import attempts, jobs

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fence:
    """A job as one worker knows it: whoever holds an older attempt writes nothing."""

    job: int
    attempt: int


class Fenced(Protocol):
    """Anything that is said of one attempt."""

    @property
    def fence(self) -> Fence: ...


FencedT = TypeVar("FencedT", bound=Fenced)


def move(
    tx: sa.Connection, fences: Collection[Fence], source: Collection[State], target: State, **values: Any
) -> set[Fence]:
    """Move the jobs whose attempt is still the fence's and whose state is in ``source``; return the winners.

    An attempt belongs to one job, so two IN lists say the same as a list of pairs.
    """
    for state in source:
        if target not in states.TRANSITIONS[state]:
            raise ValueError(f"no arrow leads from {state} to {target}")
    if not fences:
        return set()
    won = tx.execute(
        sa.update(jobs)
        .where(
            jobs.c.id.in_([fence.job for fence in fences]),
            jobs.c.attempt_id.in_([fence.attempt for fence in fences]),
            jobs.c.state.in_(source),
        )
        .values(state=target, **values)
        .returning(jobs.c.id, jobs.c.attempt_id)
    )
    return {Fence(job, attempt) for job, attempt in won}


def note(tx: sa.Connection, rows: Sequence[dict[str, Any]], **same: Any) -> None:
    """Write what became of attempts: each row has ``attempt`` and the columns that differ, ``same`` the rest."""
    if not rows:
        return
    differing: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in rows[0] if name != "attempt"}
    statement = sa.update(attempts).where(attempts.c.id == sa.bindparam("attempt"))
    tx.execute(
        statement.values(**differing, **same),
        [{name if name == "attempt" else f"new_{name}": row[name] for name in row} for row in rows],
    )


def winners(items: Sequence[FencedT], won: Collection[Fence]) -> list[FencedT]:
    """Keep the items whose fence held."""
    return [item for item in items if item.fence in won]


def settle(
    tx: sa.Connection, arrow: Callable[[Sequence[FencedT]], set[Fence]], items: Sequence[FencedT]
) -> set[Fence]:
    """Run an arrow over a slice in a savepoint; when a row breaks a constraint, row by row, so that only it loses."""
    if not items:
        return set()
    try:
        with tx.begin_nested():
            return arrow(items)
    except (sa.exc.IntegrityError, sa.exc.DataError) as error:
        if len(items) == 1:
            log.exception("row-not-written", job_id=items[0].fence.job, error=str(error.orig))
            return set()
    return set().union(*(settle(tx, arrow, [item]) for item in items))
