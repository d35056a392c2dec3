"""Compare and set: how a job with an attempt changes state, and how a bad row does not spoil its slice."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from jobs import states
from jobs.states import State
from jobs.tables import attempts, jobs

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fence:
    """A job and the attempt that one worker knows: with an outdated attempt it writes nothing."""

    job: int
    attempt: int


class Fenced(Protocol):
    """Anything that concerns one attempt."""

    @property
    def fence(self) -> Fence: ...


FencedT = TypeVar("FencedT", bound=Fenced)


def move(
    tx: sa.Connection,
    fences: Collection[Fence],
    source: Collection[State],
    target: State,
    more: Mapping[str, int] | None = None,
    **values: Any,
) -> set[Fence]:
    """Move the jobs whose attempt is still the fence's and whose state is in ``source``; return the winners.

    ``more`` is added to counters. An attempt belongs to one job, so two IN lists are as good as a list of pairs.
    """
    rise = more or {}
    statement = _moving(frozenset(source), target, tuple(values), tuple(rise))
    if not fences:
        return set()
    told = {f"new_{name}": value for name, value in (*values.items(), *rise.items())}
    told |= {"some": [fence.job for fence in fences], "theirs": [fence.attempt for fence in fences]}
    return {Fence(job, attempt) for job, attempt in tx.execute(statement, told)}


# Cached, like `_noting`: building the statement costs more than running it.
@cache
def _moving(
    source: Collection[State], target: State, columns: Sequence[str], counters: Sequence[str]
) -> sa.UpdateBase:
    for state in source:
        if target not in states.TRANSITIONS[state]:
            raise ValueError(f"no arrow leads from {state} to {target}")
    change: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in columns}
    rise = {name: jobs.c[name] + sa.bindparam(f"new_{name}") for name in counters}
    return (
        sa.update(jobs)
        .where(
            jobs.c.id.in_(sa.bindparam("some", expanding=True)),
            jobs.c.attempt_id.in_(sa.bindparam("theirs", expanding=True)),
            jobs.c.state.in_(sorted(source)),
        )
        .values(state=target, **change, **rise)
        .returning(jobs.c.id, jobs.c.attempt_id)
    )


def note(tx: sa.Connection, rows: Sequence[dict[str, Any]], **same: Any) -> None:
    """Update attempts: each row has ``attempt`` and the columns that differ, ``same`` has the rest."""
    if not rows:
        return
    differing = tuple(name for name in rows[0] if name != "attempt")
    told = {f"new_{name}": value for name, value in same.items()}
    if not differing:
        tx.execute(_noting(tuple(same), at_once=True), told | {"some": [row["attempt"] for row in rows]})
        return
    each = [{f"new_{name}": row[name] for name in differing} | {"attempt": row["attempt"]} for row in rows]
    tx.execute(_noting((*differing, *same), at_once=False), [told | row for row in each])


@cache
def _noting(columns: Sequence[str], *, at_once: bool) -> sa.UpdateBase:
    which = attempts.c.id == sa.bindparam("attempt")
    if at_once:
        which = attempts.c.id.in_(sa.bindparam("some", expanding=True))
    change: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in columns}
    return sa.update(attempts).where(which).values(change)


def winners(items: Sequence[FencedT], won: Collection[Fence]) -> list[FencedT]:
    """Keep the items whose fence held."""
    return [item for item in items if item.fence in won]


def settle(
    tx: sa.Connection, arrow: Callable[[Sequence[FencedT]], set[Fence]], items: Sequence[FencedT]
) -> set[Fence]:
    """Run an arrow over a slice in a savepoint; if a constraint fails, row by row, so that only the bad row loses."""
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
