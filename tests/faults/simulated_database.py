"""The simulator's database: in memory, one for all nights of a process, and unavailable now and then.

All nights share it, so that SQLAlchemy compiles its queries only once. Between two transactions the simulator looks
into it with one-line queries that bypass SQLAlchemy: they cost nothing.
"""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import sqlalchemy as sa

from jobs import database as databases
from jobs import errors, tables
from jobs.states import FINAL, OPEN_PHASES, State
from tests.faults import history, simulated_processes
from tests.faults.simulated_plan import Plan


def _listed(words: Any) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


def due(*states: State) -> str:
    """Return the query that tells whether a job in one of these states is due."""
    return f"SELECT EXISTS (SELECT 1 FROM jobs WHERE state IN ({_listed(states)}) AND due_at <= :now)"  # noqa: S608  our own words


LEFT = f"SELECT count(*) FROM jobs WHERE state NOT IN ({_listed(FINAL)})"  # noqa: S608  our own words
KNOWN = "SELECT count(prediction_id) FROM attempts"
NEXT_DUE = "SELECT min(due_at) FROM jobs"
FIRST_EVENT = "SELECT min(at) FROM events WHERE kind = :kind"
PAUSED = "SELECT EXISTS (SELECT 1 FROM batches WHERE state = 'paused')"
STATES = "SELECT state, count(*) FROM jobs GROUP BY state"
# Open jobs whose attempt is in another phase, or the other way round: no transaction may leave any.
TORN = f"""SELECT j.key, j.state, a.phase FROM jobs j JOIN attempts a ON a.id = j.attempt_id
    WHERE (j.state IN ({_listed(OPEN_PHASES)}) OR a.phase IN ({_listed(OPEN_PHASES)})) AND j.state <> a.phase"""  # noqa: S608  our own words
# Whether anything may have to be cancelled: on request, past its deadline, or bought once too often.
TO_CANCEL = """SELECT EXISTS (SELECT 1 FROM jobs WHERE cancel_requested_at IS NOT NULL)
    OR EXISTS (SELECT 1 FROM attempts WHERE cancel_sent_at IS NULL AND (phase = 'orphan'
        OR (phase = 'running' AND accepted_at < datetime(:now, '-5 minutes'))))"""
TO_SWEEP = "SELECT EXISTS (SELECT 1 FROM accounts WHERE sweep_at IS NULL OR sweep_at <= :now)"


class Database(databases.Database):
    """The product's own, except for where it is and that it fails now and then."""

    _share = 0.0
    _luck: Any = None

    def __init__(self) -> None:
        in_one_place = functools.partial(sa.create_engine, poolclass=sa.StaticPool)
        with mock.patch.object(sa, "create_engine", in_one_place):
            super().__init__("sqlite://")
        with self.write() as tx:
            tables.metadata.create_all(tx)
        history.keep(self)
        self._empty = self._raw.serialize()

    @functools.cached_property
    def _raw(self) -> Any:
        return self.engine.raw_connection().driver_connection

    def begin_night(self, plan: Plan) -> None:
        """Forget every row; a share of the transactions fails from now on."""
        self._raw.deserialize(self._empty)
        self._luck, self._share = plan.rng("commits"), plan.commits

    def heal(self) -> None:
        self._share = 0.0

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Fail as a restarted server does: before anything was done, or after the commit but before its answer."""
        fails = (
            self._share > 0
            and simulated_processes.ACTOR.get() is not None
            and self._luck.random() < self._share
        )
        after_all = fails and self._luck.random() < 0.5
        if fails and not after_all:
            raise errors.Unavailable("the database restarts")
        with super().write() as tx:
            yield tx
        if after_all:
            raise errors.Unavailable("the answer to COMMIT was lost")

    def rows(self, question: str, given: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._raw.execute(question, given or {}).fetchall()
        return found

    def everything(self, table: str) -> list[tuple[Any, ...]]:
        return self.rows(f"SELECT * FROM {table}")  # noqa: S608  a table of ours

    def one(self, question: str, given: Mapping[str, Any] | None = None) -> Any:
        return self.rows(question, given)[0][0]


@functools.cache
def database() -> Database:
    """Return the one of this process."""
    return Database()
