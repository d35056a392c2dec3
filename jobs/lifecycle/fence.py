"""Compare and set: how a job with an attempt changes state, and how a bad row does not spoil its slice."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from jobs import states
from jobs.states import State
from jobs.tables import attempts, jobs, settable

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
MoreP = ParamSpec("MoreP")  # what an arrow takes besides


def move(
    tx: sa.Connection,
    fences: Collection[Fence],
    source: Collection[State],
    target: State,
    more: Mapping[str, int] | None = None,
    **values: Any,
) -> set[Fence]:
    """Move the jobs whose attempt is still the fence's and whose state is in ``source``; return the winners.

    ``more`` is added to counters. Compared as pairs: after a takeover by a server that lacks the last commits, an
    attempt's number may have gone to another job of the same slice.
    """
    rise = more or {}
    statement = _moving(frozenset(source), target, tuple(rise))
    if not fences:
        return set()
    told = {**settable(jobs, values), **{f"more_{name}": by for name, by in rise.items()}}
    told |= {"some": [fence.job for fence in fences], "pairs": [(one.job, one.attempt) for one in fences]}
    return {Fence(job, attempt) for job, attempt in tx.execute(statement, told)}


# Cached: building the statement costs more than running it.
@cache
def _moving(source: Collection[State], target: State, counters: Sequence[str]) -> sa.UpdateBase:
    """Return the update that `move` runs; it also sets every column that is among its parameters."""
    for state in source:
        if target not in states.TRANSITIONS[state]:
            raise ValueError(f"no arrow leads from {state} to {target}")
    rise = {name: jobs.c[name] + sa.bindparam(f"more_{name}") for name in counters}
    return (
        sa.update(jobs)
        .where(
            jobs.c.id.in_(sa.bindparam("some", expanding=True)),
            sa.tuple_(jobs.c.id, jobs.c.attempt_id).in_(sa.bindparam("pairs", expanding=True)),
            jobs.c.state.in_(sorted(source)),
        )
        .values(state=target, **rise)
        .returning(jobs.c.id, jobs.c.attempt_id)
    )


# They set the columns that are among their parameters.
_NOTE = sa.update(attempts).where(attempts.c.id == sa.bindparam("attempt"))
_NOTE_AT_ONCE = sa.update(attempts).where(attempts.c.id.in_(sa.bindparam("some", expanding=True)))


def note(tx: sa.Connection, rows: Sequence[dict[str, Any]], **same: Any) -> None:
    """Update attempts: each row has ``attempt`` and the columns that differ, ``same`` has the rest."""
    if not rows:
        return
    settable(attempts, same | {name: None for name in rows[0] if name != "attempt"})
    if len(rows[0]) > 1:
        tx.execute(_NOTE, [same | row for row in rows])
    else:
        tx.execute(_NOTE_AT_ONCE, same | {"some": [row["attempt"] for row in rows]})


def winners(items: Sequence[FencedT], won: Collection[Fence]) -> list[FencedT]:
    """Keep the items whose fence held."""
    return [item for item in items if item.fence in won]


def settle(
    tx: sa.Connection,
    now: datetime,
    arrow: Callable[Concatenate[sa.Connection, datetime, Sequence[FencedT], MoreP], set[Fence]],
    items: Sequence[FencedT],
    *more: MoreP.args,
    **named: MoreP.kwargs,
) -> set[Fence]:
    """Run an arrow over a slice in a savepoint; if a constraint fails, row by row, so that only the bad row loses."""
    if not items:
        return set()
    try:
        with tx.begin_nested():
            return arrow(tx, now, items, *more, **named)
    except (sa.exc.IntegrityError, sa.exc.DataError) as error:
        if len(items) == 1:
            log.exception("row-not-written", job_id=items[0].fence.job, error=str(error.orig))
            return set()
    return set().union(*(settle(tx, now, arrow, [item], *more, **named) for item in items))
