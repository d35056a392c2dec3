"""The broker of the simulator: queues that lose, double and delay messages."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from jobs.lanes import Lane
from tests.faults.simulated_api import Api
from tests.faults.simulated_plan import Plan
from worker import app


class Broker:
    """Its lanes are served in the order with which the workers are configured."""

    def __init__(self, loop: asyncio.AbstractEventLoop, plan: Plan, api: Api) -> None:
        self._loop = loop
        self._api = api
        self._faults = plan.messages
        self._luck = plan.rng("messages")
        self.order = [Lane(queue.name) for queue in app._SETTINGS["task_queues"]]
        self._queues: dict[Lane, deque[Any]] = {lane: deque() for lane in Lane}
        self._waiting: list[asyncio.Future[None]] = []
        self.sent = 0

    def of(self, lane: Lane) -> int:
        """Stands in for `backlog.Backlog.of`."""
        return len(self._queues[lane])

    def send_task(self, lane: Lane, args: Sequence[Any], queue: Lane) -> None:  # noqa: ARG002  Celery's signature
        """Stands in for Celery's."""
        self.sent += 1
        copies = 2 if self._happens("doubled") else 0 if self._happens("lost") else 1
        for _ in range(copies):
            if self._happens("delayed"):
                delay = self._luck.choice((30.0, 300.0, 3600.0, 3 * 3600.0))
                self._loop.call_later(delay, self._put, lane, args)
            else:
                self._put(lane, args)

    def _happens(self, what: str) -> bool:
        share = 0.0 if self._api.healed else self._faults.get(what, 0.0)
        return bool(share) and self._luck.random() < share

    def _put(self, lane: Lane, args: Sequence[Any]) -> None:
        self._queues[lane].append(args)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def take(self, lanes: Sequence[Lane]) -> tuple[Lane, Sequence[Any]]:
        """Take the first message of the first lane that has one."""
        while True:
            for lane in lanes:
                if self._queues[lane]:
                    return lane, self._queues[lane].popleft()
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting

    def forget(self) -> None:
        """Drop every message: FLUSHALL, or the end of a process that kept them in memory."""
        for queue in self._queues.values():
            queue.clear()
