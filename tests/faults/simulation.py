"""A whole night in virtual time, from one seed: our own scheduler, tasks and life cycle against a hostile world.

    python -m tests.faults.simulation --seed 17        one night, told event by event
    python -m tests.faults.simulation --seeds 0:2000   many, summed up

For five minutes everything goes wrong that the plan has drawn. Then the world is healed, and what is left must end
within a bound. Then everything is started once more and must change nothing.
"""

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from jobs import marker, settings, tables
from jobs.states import BatchState, State
from tests.faults import (
    report,
    simulated_database,
    simulated_plan,
    simulated_time,
    simulated_verdict,
    simulated_wire,
    simulated_world,
)
from tests.faults.report import Report
from tests.faults.simulated_api import Api
from tests.faults.simulated_house import House
from tests.faults.simulated_plan import Plan

EPOCH = datetime(2026, 11, 23, 22, tzinfo=UTC)
DRAINED_WITHIN = 4 * 3600.0  # seconds after the healing
_LOOKS = 5.0  # seconds between two checks for that
_SWEPT_AFTER = 700.0  # seconds: what nobody waits for is found by the sweep, every five minutes
_ONCE_MORE = 200.0
_UUID = "5a17ed00-0000-4000-8000-000000000000"
_BATCH = 1
_API = "https://api.example/v1"


@dataclass
class Night:
    """One night and everything that was seen of it."""

    plan: Plan
    told: bool = False  # print each event as it happens
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = simulated_time.Loop()
        self.database = simulated_database.database()
        self.api = Api(self.plan, self.loop.time, EPOCH)
        self.settings = _settings(self.plan)
        self.keys = [f"k{number:04}" for number in range(self.plan.jobs)]
        self.house = House(self.loop, self.plan, self.settings, self.database, self.api, self.note)
        self.house.next_due = self._next_due
        self.house.is_paused = lambda: bool(self.database.one(simulated_database.PAUSED))
        self.house.look = self._look
        self._seen: list[str] = []

    @property
    def disk(self) -> simulated_wire.Disk:
        return self.house.disk

    def note(self, *words: object) -> None:
        """Add an event to the trace."""
        line = f"{self.loop.time():10.3f} " + " ".join(str(word) for word in words)
        self.trace.append(line)
        if self.told:
            print(line)  # noqa: T201  asked for

    def host_time(self, at: float) -> float:
        """Return what the database's clock showed at a true time of the night."""
        return EPOCH.timestamp() + at + sum(by for when, by in self.plan.steps if when <= at)

    def states(self) -> dict[str, int]:
        """Return how many jobs ended in which state."""
        return dict(self.database.rows(simulated_database.STATES))

    def moment_of(self, kind: str) -> float | None:
        """Return when the first event of a kind was recorded, in seconds of the night; None if there is none."""
        at = self.database.one(simulated_database.FIRST_EVENT, {"kind": kind})
        return None if at is None else _stored(at).timestamp() - EPOCH.timestamp()

    def live(self) -> Report:
        """Run the night and judge it."""
        self.database.begin_night(self.plan)
        self.loop.set_exception_handler(lambda _, what: self._seen.append(f"{what.get('exception')!r}"))
        with simulated_world.around(self.house, self._now):
            self._open_batch()
            self._load(self.keys)
            try:
                changed = self.loop.run_until_complete(self._phases())
            finally:
                self.house.end()
                self.loop.run_until_complete(asyncio.sleep(1))  # the dead are buried
                self.loop.close()
        return simulated_verdict.judge(self, [*self._seen, *self.house.broke], changed)

    async def _phases(self) -> Sequence[str]:
        self.house.begin()
        person = self.loop.create_task(self.house.person())
        await asyncio.sleep(self.plan.healed_at)
        self.note("healed")
        self.database.heal()
        await self._drain()
        before = self._everything()
        self.house.end()
        await asyncio.sleep(1)
        self.house.begin()
        await asyncio.sleep(_ONCE_MORE)
        changed = [f"{name} changed" for name, rows in self._everything().items() if rows != before[name]]
        if self.database.one(simulated_database.KNOWN) < len(self.api.lines):
            await self._next_evening()
        person.cancel()
        return changed

    async def _drain(self) -> None:
        """Wait until every job has ended, and then for the sweep."""
        bound = self.loop.time() + DRAINED_WITHIN
        while self.database.one(simulated_database.LEFT) and self.loop.time() < bound:  # noqa: ASYNC110  costs nothing
            await asyncio.sleep(_LOOKS)
        self.note("drained, left are", self.database.one(simulated_database.LEFT))
        await asyncio.sleep(_SWEPT_AFTER)

    async def _next_evening(self) -> None:
        """Buy once more: that finds what the API accepted after everybody had stopped looking."""
        self.note("next evening")
        self.keys.append("next-evening")
        self._load(self.keys[-1:])
        await self._drain()

    def _now(self, _connection: Any = None) -> datetime:
        return datetime.fromtimestamp(self.host_time(self.loop.time()), UTC)

    def _next_due(self) -> float:
        """Return in how many seconds the next job is due."""
        at = self.database.one(simulated_database.NEXT_DUE)
        return math.inf if at is None else (_stored(at) - self._now()).total_seconds()

    def _look(self) -> None:
        """Check that the states of no job and its attempt disagree."""
        for key, state, phase in self.database.rows(simulated_database.TORN):
            self._seen.append(f"{self.loop.time():.1f}: {key} is {state}, its attempt {phase}")

    def _everything(self) -> dict[str, Any]:
        rows = {name: self.database.everything(name) for name in ("jobs", "attempts", "outputs")}
        return rows | {"ledger": list(self.api.lines)}

    def _open_batch(self) -> None:
        batch = {
            "id": _BATCH, "uuid": _UUID, "name": "night", "folder": "night", "api": self.settings.api.identity,
            "state": BatchState.OPEN, "options": {"images_root": "/"}, "created_at": self._now(),
            "opened_at": self._now(),
        }  # fmt: skip
        with self.database.write() as tx:
            tx.execute(sa.insert(tables.batches), batch)

    def _load(self, keys: Sequence[str]) -> None:
        with self.database.write() as tx:
            tx.execute(sa.insert(tables.jobs), [self._job(row, key) for row, key in enumerate(keys)])

    def _job(self, row: int, key: str) -> dict[str, Any]:
        return {
            "batch_id": _BATCH, "key": key, "stem": key, "row": row, "row_digest": f"{row:032x}",
            "image": "https://images.example/fox.png", "version": "a-model", "own_seed": True,
            "input": {"prompt": "a fox", "seed": marker.seed(_UUID, key)}, "labels": {}, "priority": 0,
            "state": State.PENDING, "due_at": self._now(), "created_at": self._now(),
            "attempts": 0, "absences": 0,
        }  # fmt: skip


def _settings(plan: Plan) -> settings.Settings:
    given: dict[str, Any] = {
        "OVERNIGHT_API_URL": _API,
        "api_token": "a-token-that-is-made-up",
        "database_url": "sqlite:///unused.db",
        "output": str(Path(__file__).parent),  # must exist; nothing is written to it
        "creates_per_minute": plan.creates_per_minute,
        "max_in_flight": str(plan.max_in_flight),
        "max_attempts": str(simulated_verdict.MOST_ATTEMPTS),
        "prediction_deadline": "4m",
        "price": str(simulated_verdict.PRICE),
        "_env_file": None,
    }
    return settings.Settings(**given)


def _stored(text: str) -> datetime:
    """Read a moment as SQLite keeps it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def live(seed: int, *, told: bool = False) -> tuple[Night, Report]:
    """Run the night of a seed."""
    night = Night(simulated_plan.draw(seed), told)
    return night, night.live()


def main() -> int:
    """Run one night or many; return 1 if any was red."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="one night, every event told")
    parser.add_argument("--seeds", default="0:200", metavar="FROM:TO")
    given = parser.parse_args()
    if given.seed is not None:
        night, found = live(given.seed, told=True)
        print(night.plan, found, sep="\n")  # noqa: T201  asked for
        return int(not found.clean)
    return _many(range(*map(int, given.seeds.split(":"))))


def _many(seeds: Sequence[int]) -> int:
    began = time.monotonic()
    reports = {seed: live(seed)[1] for seed in seeds}
    seconds = time.monotonic() - began
    red = [seed for seed, found in reports.items() if not found.clean]
    print(report.total(list(reports.values())))  # noqa: T201  asked for
    print(f"{len(seeds)} nights in {seconds:.0f} s; red: {red or 'none'}")  # noqa: T201  asked for
    return int(bool(red))


if __name__ == "__main__":
    sys.exit(main())
