"""How far batches are: counts, failures, waits, and how their accounts stand. Only reads, and locks nothing.

`limits` says what limits a batch now, and `results` what has come of it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs import batches, database, lifecycle, worklists
from jobs.accounts import attendance, quota
from jobs.accounts.breaker import Breaker, BreakerState
from jobs.states import FINAL, IN_FLIGHT, UNDER_WAY, BatchState, State
from jobs.tables import PENDING, attempts, events, jobs

_EVENTS = 5


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs of a batch are in each state; a state without jobs may be missing."""

    by_state: Mapping[State, int]

    def of(self, *states: State) -> int:
        return sum(self.by_state.get(state, 0) for state in states)

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    @property
    def ended(self) -> int:
        return self.of(*FINAL)

    @property
    def unfinished(self) -> int:
        return self.total - self.ended

    @property
    def in_flight(self) -> int:
        return self.of(*IN_FLIGHT)

    @property
    def under_way(self) -> int:
        """How many are bought, or being bought, and not fetched."""
        return self.of(*UNDER_WAY)


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account may do now, by its row, and how much it has in flight over all batches."""

    name: str
    label: str | None
    rate: float | None  # creates per minute; None: as configured
    not_before: datetime | None
    breaker: Breaker
    in_flight: int
    moved_at: datetime  # when a scheduler last handed out something that the quota counts
    own_limits: quota.OwnLimits
    seen_at: datetime  # when a worker of it last told that it lives
    collecting: int = 0  # jobs whose images are being fetched: see `quota.behind`

    @property
    def under_way(self) -> int:
        """How many paid jobs it has not ended yet."""
        return self.in_flight + self.collecting


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a batch, or to all batches."""

    id: int
    at: datetime
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Overview:
    """One batch among many."""

    batch: batches.Batch
    counts: Counts

    @property
    def finished(self) -> bool:
        """Whether no job is left to do; derived, never stored."""
        return self.batch.state is not BatchState.LOADING and not self.counts.unfinished


@dataclass(frozen=True, slots=True)
class Progress(Overview):
    """One batch at one moment: as much as is cheap enough to query again and again."""

    at: datetime  # by the clock that leases are measured by
    failures: Mapping[str, int]  # by class, the most frequent first
    look_ups_end: datetime | None  # when the last send in doubt is due to be looked up
    next_due: datetime | None  # when the next pending job may be bought; at or before `at`: now
    untouched_since: datetime | None  # the earliest `due_at` of the jobs under way
    # Those that may buy it, the least held back first; empty: there never was a worker.
    accounts: tuple[Standing, ...]
    events: tuple[Event, ...]  # the latest ones, in order of time
    strangers: tuple[str, ...] = ()  # accounts of workers that cannot work for those accounts
    unshown: int = (
        0  # running predictions that have succeeded without an image; counted once nothing is pending
    )

    @property
    def account(self) -> Standing | None:
        """The account that is held back least: what limits it, limits the batch."""
        return next(iter(self.accounts), None)

    @property
    def seen_at(self) -> datetime | None:
        """When a worker of those accounts last told that it lives; None if there never was one."""
        return self.account.seen_at if self.account else None


def overview(tx: sa.Connection) -> list[Overview]:
    """Return all batches with their counts, the oldest first."""
    counted: dict[int, dict[State, int]] = {}
    query = sa.select(jobs.c.batch_id, jobs.c.state, sa.func.count()).group_by(jobs.c.batch_id, jobs.c.state)
    for batch_id, state, n in tx.execute(query):
        counted.setdefault(batch_id, {})[State(state)] = n
    return [Overview(batch, Counts(counted.get(batch.id, {}))) for batch in batches.every(tx)]


def unfinished(tx: sa.Connection) -> list[batches.Batch]:
    """Return the batches that have jobs left to do, the oldest first."""
    return [row.batch for row in overview(tx) if not row.finished]


def progress(tx: sa.Connection, batch_id: int) -> Progress:
    """Return how far a batch is; costs one pass over its part of the index `jobs_counted` and a few single rows."""
    batch = batches.get(tx, batch_id)
    now = database.now(tx)
    counts, failures = _counted(tx, batch_id)
    return Progress(
        batch=batch,
        counts=counts,
        at=now,
        failures=failures,
        look_ups_end=_look_ups_end(tx, batch_id) if counts.of(State.UNCONFIRMED) else None,
        next_due=_next_due(tx, batch_id, now) if counts.of(State.PENDING) else None,
        untouched_since=_untouched_since(tx, batch_id),
        accounts=_standings(tx, batch, now),
        events=_events(tx, batch_id),
        strangers=attendance.strangers(tx, batch.api, now),
        unshown=_unshown(tx, batch_id) if counts.of(State.RUNNING) and not counts.of(State.PENDING) else 0,
    )


def _counted(tx: sa.Connection, batch_id: int) -> tuple[Counts, dict[str, int]]:
    rows = tx.execute(
        sa.select(jobs.c.state, jobs.c.error_class, sa.func.count())
        .where(jobs.c.batch_id == batch_id)
        .group_by(jobs.c.state, jobs.c.error_class)
    ).all()
    by_state: dict[State, int] = {}
    for state, _, n in rows:
        by_state[State(state)] = by_state.get(State(state), 0) + n
    failed = {error_class: n for _, error_class, n in rows if error_class is not None}
    return Counts(by_state), dict(sorted(failed.items(), key=lambda one: (-one[1], one[0])))


def _look_ups_end(tx: sa.Connection, batch_id: int) -> datetime | None:
    in_doubt = (jobs.c.batch_id == batch_id, jobs.c.state == State.UNCONFIRMED)
    last: datetime | None = tx.execute(sa.select(sa.func.max(jobs.c.due_at)).where(*in_doubt)).scalar_one()
    return last


def _unshown(tx: sa.Connection, batch_id: int) -> int:
    running = (jobs.c.batch_id == batch_id, jobs.c.state == State.RUNNING)
    current = sa.select(sa.func.count()).join_from(jobs, attempts, attempts.c.id == jobs.c.attempt_id)
    return tx.execute(current.where(*running, attempts.c.error_message == lifecycle.NOT_SHOWN)).scalar_one()


def _next_due(tx: sa.Connection, batch_id: int, now: datetime) -> datetime | None:
    """Return when the next pending job is due.

    Usually one is due already, and is found at once among a million; only if none is, all are scanned.
    """
    pending = sa.select(jobs.c.due_at).where(jobs.c.batch_id == batch_id, jobs.c.state == PENDING)
    # Ordered like `jobs_to_release`, or PostgreSQL would scan the table. The negated test keeps SQLite from
    # using `jobs_due`, an index over all batches.
    first = pending.where((jobs.c.due_at > now).is_(sa.false())).order_by(jobs.c.priority.desc(), jobs.c.id)
    due: datetime | None = tx.execute(first.limit(1)).scalar_one_or_none()
    return due or tx.execute(sa.select(sa.func.min(pending.subquery().c.due_at))).scalar_one()


def _untouched_since(tx: sa.Connection, batch_id: int) -> datetime | None:
    query = sa.select(sa.func.min(jobs.c.due_at)).where(
        jobs.c.batch_id == batch_id, jobs.c.state.in_(UNDER_WAY), jobs.c.due_at.is_not(None)
    )
    earliest: datetime | None = tx.execute(query).scalar_one()
    return earliest


def _standings(tx: sa.Connection, batch: batches.Batch, now: datetime) -> tuple[Standing, ...]:
    seats = [one for one in attendance.seats(tx) if one.account.api == batch.api]
    standings = [_standing(tx, one) for one in seats if batch.account in {None, one.account.label}]
    return tuple(sorted(standings, key=lambda one: _held_back(one, now)))


def _standing(tx: sa.Connection, seat: attendance.Seat) -> Standing:
    found = seat.account
    in_flight, collecting = under_way(tx, seat.answers_for)
    return Standing(
        found.name, found.label, found.rate, found.not_before, found.breaker,
        in_flight, found.refilled_at, found.own_limits, found.seen_at, collecting,
    )  # fmt: skip


def _held_back(one: Standing, now: datetime) -> tuple[int, bool, int]:
    """Return a sort key, least held back first; of two that are stopped, one that will be probed comes first."""
    stop = list(BreakerState).index(one.breaker.state)
    waits = one.breaker.probe_at is None if stop else one.not_before is not None and one.not_before > now
    return stop, waits, one.in_flight


def under_way(tx: sa.Connection, of: Collection[int]) -> tuple[int, int]:
    """Return over all batches how many predictions are in flight, and of how many more the images are being fetched.

    ``of`` are the accounts that one account answers for.
    """
    counts = Counts(worklists.under_way(tx, of))
    return counts.in_flight, counts.of(State.COLLECTING)


def _events(tx: sa.Connection, batch_id: int) -> tuple[Event, ...]:
    rows: list[Any] = list(
        tx.execute(
            sa.select(events.c.id, events.c.at, events.c.kind, events.c.detail)
            .where((events.c.batch_id == batch_id) | events.c.batch_id.is_(None))
            .order_by(events.c.id.desc())
            .limit(_EVENTS)
        )
    )
    return tuple(Event(row.id, row.at, row.kind, row.detail or "") for row in reversed(rows))
