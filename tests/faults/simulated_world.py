"""What stands in for this machine during a simulated night: clock, wire, disk, randomness, and a log listener."""

import asyncio
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from unittest import mock

import structlog

from jobs import crashpoints
from jobs import database as databases
from jobs.states import State
from scheduler import duties, timetable
from scheduler.duties import releasing
from tests.faults import simulated_database, simulated_time, simulated_wire
from tests.faults.simulated_house import House
from worker import clock, endings
from worker.api import wire
from worker.tasks import submit
from worker.transfers import storing

_DUE_FOR = {
    duties.reconcile: simulated_database.due(State.UNCONFIRMED),
    duties.collect: simulated_database.due(State.COLLECTING),
    duties.poll: simulated_database.due(State.RUNNING),
    duties.release: simulated_database.due(State.PENDING),
    duties.cancel: simulated_database.TO_CANCEL,
    duties.sweep: simulated_database.TO_SWEEP,
    duties.rescue: simulated_database.due(State.QUEUED, State.SUBMITTING),
}


@contextmanager
def around(house: House, now: Callable[[Any], datetime]) -> Iterator[None]:
    """Replace this machine's clock, wire, disk and randomness by the night's."""
    luck = house.plan.rng("product")
    patience = SimpleNamespace(sleep=lambda seconds: simulated_time.wait(asyncio.sleep(seconds)))
    gated = functools.partial(_when_due, house, now)
    with ExitStack() as stack:
        for owner, name, stand_in in (
            (databases, "now", now),
            (clock, "ticks", house.loop.time),
            (submit, "time", patience),
            (timetable, "time", SimpleNamespace(monotonic=house.loop.time)),
            (wire, "exchange", simulated_wire.exchange),
            (storing, "sync_names", house.disk.sync_names),
            (endings, "random", SimpleNamespace(Random=lambda: luck)),
            (releasing, "random", luck),
            (duties, "rescue", gated(duties.rescue)),
            (timetable, "_DUTIES", tuple((lane, gated(duty)) for lane, duty in timetable._DUTIES)),
        ):
            stack.enter_context(mock.patch.object(owner, name, stand_in))
        stack.callback(crashpoints.listen, crashpoints.listen(house.reached))
        before = structlog.get_config()
        stack.callback(lambda: structlog.configure(**before))
        hearing = functools.partial(_heard, house)
        structlog.configure(processors=[hearing], cache_logger_on_first_use=False)
        yield


def _when_due(house: House, now: Callable[[Any], datetime], duty: Any) -> Any:
    """Skip a duty if no row is due for it: finding that out itself would cost it a dozen reads at every tick."""
    question = _DUE_FOR.get(duty)

    @functools.wraps(duty)
    def gated(*args: Any) -> Any:
        moment = {"now": f"{now(None):%Y-%m-%d %H:%M:%S.%f}"}
        return duty(*args) if question is None or house.database.one(question, moment) else ()

    return gated


def _heard(house: House, _logger: Any, method: str, event: Any) -> Any:
    """Count exceptions that our code caught and logged as breaks; a simulated death is not one."""
    error = sys.exc_info()[1]
    if method == "exception" and isinstance(error, Exception):
        house.broke.append(f"{event.get('event')}: {error!r}")
    raise structlog.DropEvent
