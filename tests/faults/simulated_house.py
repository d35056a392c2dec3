"""The house of the simulator: schedulers, workers, and the person who looks after them now and then.

The scheduler's ticks and the workers' tasks are the real ones. The plan says what they must endure;
`simulated_verdict` judges what they have done.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest import mock

from celery import Celery

from jobs import batches, crashpoints, errors, lifecycle, settings
from jobs import database as databases
from jobs.by_hand import buying
from jobs.crashpoints import Place
from jobs.lanes import Lane
from jobs.states import BatchState
from scheduler import timetable
from tests.faults import simulated_processes, simulated_time, simulated_wire
from tests.faults.simulated_api import Api
from tests.faults.simulated_broker import Broker
from tests.faults.simulated_plan import Fortune, Plan
from tests.faults.simulated_processes import ACTOR, Mortal
from worker import app, context, enrolment
from worker.api import client, wire
from worker.transfers import inputs

TASKS: dict[Lane, Callable[..., None]] = {
    lane: getattr(import_module(f"worker.tasks.{lane}"), lane) for lane in Lane
}
_CONNECTIONS = 20
# Seconds between two ticks: an idle one costs as much time here as any other.
_IDLE = 60.0  # when nothing is due
_HELD_BACK = 15.0  # when nothing that is due may leave
_PERSON_LOOKS = 20.0


@functools.cache
def _celery_settings() -> Any:
    """The app settings that beat's own scheduler needs."""
    return Celery(set_as_current=False).conf


class House:
    """Everything that works on one database: it is started, struck and started again."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        plan: Plan,
        configured: settings.Settings,
        db: databases.Database,
        api: Api,
        trace: Callable[..., None],
    ) -> None:
        self.loop = loop
        self.plan = plan
        self.settings = configured
        self.database = db
        self.api = api
        self.disk = simulated_wire.Disk()
        self.broker = Broker(loop, plan, api)
        self.living: dict[str, Mortal] = {}
        self.struck: dict[Place, int] = {}
        self.broke: list[str] = []
        self.next_due: Callable[[], float] = lambda: 0.0
        self.is_paused: Callable[[], bool] = lambda: True
        self.look: Callable[[], None] = lambda: None  # after every task
        self._fortune = Fortune(plan)
        self._trace = trace
        self._app = SimpleNamespace(send_task=self.broker.send_task, conf=_celery_settings())
        self._open = True

    def begin(self) -> None:
        """Start every process."""
        self._open = True
        if self.plan.embedded:
            self._start("all", self._embedded)
            return
        for number in range(self.plan.workers):
            self._start(f"worker-{number}", self._worker)
        for number in range(self.plan.schedulers):
            self._start(f"scheduler-{number}", self._scheduler)

    def end(self) -> None:
        """End every process for good, as kill -9 does."""
        self._open = False
        for actor in self.living.values():
            actor.die()
        self.living.clear()

    def _start(self, name: str, work: Callable[[Mortal], Any]) -> None:
        if not self._open:
            return
        assert name not in self.living, f"nothing could end the first {name} any more"
        actor = Mortal(self.loop, name)
        self.living[name] = actor
        self._trace("starts", name)
        actor.start(work(actor))

    # What strikes them

    def reached(self, place: Place) -> None:
        """Listen to the crash points."""
        actor = ACTOR.get()
        if actor is None or self.api.healed:
            return
        if not actor.alive:
            raise simulated_processes.Died
        strike = self._fortune.at(place)
        if strike is None:
            return
        self.struck[place] = self.struck.get(place, 0) + 1
        if strike.freeze is not None:
            self._trace("freezes", actor.name, place, strike.freeze)
            actor.freeze(strike.freeze)
            if simulated_time.in_carrier():
                simulated_processes.wait_awake(actor)
            return
        self._trace("dies", actor.name, place, "power cut" if strike.power_cut else "")
        if strike.power_cut:
            self._lose_power()
        else:
            self._bury(actor)
        raise simulated_processes.Died

    def _lose_power(self) -> None:
        self.disk.lose_power()
        for actor in list(self.living.values()):
            self._bury(actor)

    def _bury(self, actor: Mortal) -> None:
        del self.living[actor.name]
        actor.die()
        if self.plan.embedded:
            self.broker.forget()
        work = {"all": self._embedded, "worker": self._worker, "scheduler": self._scheduler}
        self.loop.call_later(
            self.plan.restarts_after, self._start, actor.name, work[actor.name.partition("-")[0]]
        )

    # What they do

    async def _embedded(self, actor: Mortal) -> None:
        await self._patiently(actor, self._take_over)
        await self._worker(actor)
        await self._scheduler(actor)

    def _take_over(self) -> None:
        with self.database.write() as tx:
            lifecycle.take_over(tx, databases.now(tx), self.settings.times.settle_after)
        crashpoints.reach(Place.AFTER_TAKEOVER)

    async def _worker(self, actor: Mortal) -> None:
        [account] = await self._patiently(actor, lambda: enrolment.enrol(self.settings, self.database))
        lines = functools.partial(simulated_wire.Lines, actor=actor, api=self.api)
        times = self.settings.times
        with mock.patch.object(wire, "Lines", lines):
            api = client.PredictionClient(
                self.settings.api.url, self.settings.require_token(),
                deadline=times.post_deadline, connections=_CONNECTIONS,
            )  # fmt: skip
        downloads = simulated_wire.Downloads(actor, self.api, self.disk, self.plan)
        loop = simulated_processes.Tasks(actor)
        here = context.Context(
            self.settings, self.database, account, loop, api, inputs.Inputs(api, times), downloads
        )
        for lanes in self._slots():
            actor.start(self._slot(actor, here, lanes))

    def _slots(self) -> list[Sequence[Lane]]:
        """One thread per lane, and four that buy; or children that take whatever comes first."""
        if self.plan.embedded:
            return [(lane,) for lane in Lane for _ in range(4 if lane is Lane.SUBMIT else 1)]
        return [self.broker.order] * self.plan.slots

    async def _slot(self, actor: Mortal, here: context.Context, lanes: Sequence[Lane]) -> None:
        while True:
            lane, args = await self.broker.take(lanes)
            await actor.awake()
            self._trace("does", actor.name, lane, *args)
            try:
                await simulated_time.run(functools.partial(self._do, here, lane, args))
            except errors.Unavailable:
                self._trace("gives up", actor.name, lane)
            except Exception as error:  # noqa: BLE001  a task that breaks is what we look for
                self.broke.append(f"{lane}: {error!r}")
            self.look()

    def _do(self, here: context.Context, lane: Lane, args: Sequence[Any]) -> None:
        app.hold(here)
        TASKS[lane](*args)

    async def _scheduler(self, actor: Mortal) -> None:
        with mock.patch.object(timetable.backlog, "Backlog", return_value=self.broker):
            ticking = timetable.Timetable(
                self._app,
                configured=self.settings,
                db=self.database,
                lazy=True,
                max_interval=1,
                Producer=object,
            )
        pause = self.plan.tick
        while True:
            await actor.awake()
            before = self.broker.sent
            await simulated_time.run(ticking.tick)
            pause = self.plan.tick if self.broker.sent > before else min(_HELD_BACK, pause * 2)
            await asyncio.sleep(min(_IDLE, max(pause, self.next_due())))

    async def _patiently(self, actor: Mortal, call: Callable[[], Any]) -> None:
        """Call until the database is available, as a process that cannot start is started again."""
        while True:
            try:
                return await simulated_time.run(call)
            except errors.Unavailable:
                await asyncio.sleep(self.plan.restarts_after)
                await actor.awake()

    async def person(self) -> None:
        """Look now and then, and resume what is paused once nothing is wrong with the account any more."""
        while True:
            await asyncio.sleep(_PERSON_LOOKS)
            if self.api.weather() & {"401", "402", "no_quota"} or not self.is_paused():
                continue
            with self.database.write() as tx:
                for batch in batches.every(tx):
                    if batch.state is BatchState.PAUSED:
                        self._trace("resumes", batch.pause_reason, batch.pause_detail)
                        buying.resume(tx, batch)
