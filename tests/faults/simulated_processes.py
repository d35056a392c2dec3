"""Processes in virtual time: they die as by kill -9, freeze as by SIGSTOP, and do many things at once.

What they do is in `simulated_house`.
"""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

from tests.faults import simulated_time


class Died(BaseException):
    """The process in which this is raised is dead: what it held in memory is lost, and none of it goes on."""


class Mortal:
    """A process that may die; what it has not written by then is lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.alive = True
        self.thaws_at = 0.0
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def frozen(self) -> bool:
        return self.alive and self.thaws_at > self.loop.time()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something as a part of this process; it ends with the process."""
        context = contextvars.copy_context()
        context.run(ACTOR.set, self)
        task = self.loop.create_task(coroutine, context=context)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, Died):
            self.loop.call_exception_handler({"message": f"{self.name} broke", "exception": error})

    def die(self) -> None:
        """Die now; whatever is still unfinished is dropped at the loop's next turn."""
        self.alive = False
        self.loop.call_soon(self._bury)

    def _bury(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def freeze(self, seconds: float) -> None:
        self.thaws_at = max(self.thaws_at, self.loop.time() + seconds)

    async def awake(self) -> None:
        """Return as soon as this process runs; raises Died if it never will."""
        while self.frozen:  # noqa: ASYNC110  in virtual time it costs nothing
            await asyncio.sleep(self.thaws_at - self.loop.time())
        if not self.alive:
            raise Died


ACTOR: contextvars.ContextVar[Mortal | None] = contextvars.ContextVar("actor", default=None)


class Tasks:
    """Stands in for `worker.loop.Loop`: the same contract, in virtual time and for a process that may die."""

    def __init__(self, actor: Mortal) -> None:
        self._actor = actor

    def call(self, coroutine: Coroutine[Any, Any, Any], within: float) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(within):
                return await coroutine

        try:
            return simulated_time.wait(bounded())
        finally:
            wait_awake(self._actor)

    def outcomes(self, step: Any, items: Any, within: float, group: float = 0.025) -> Any:
        """Run ``step`` for all items at once; yield the outcomes in groups, each of ``group`` seconds."""
        left = len(items)
        ended: asyncio.Queue[Any] = asyncio.Queue()
        if left:
            simulated_time.wait(self._begin(step, items, ended, within))
        while left:
            some = simulated_time.wait(_some(ended, group, left))
            wait_awake(self._actor)
            left -= len(some)
            yield [_outcome(one) for one in some]

    async def _begin(self, step: Any, items: Any, ended: asyncio.Queue[Any], within: float) -> None:
        async def one(item: Any) -> None:
            try:
                ended.put_nowait(await step(item))
            except BaseException as error:  # noqa: BLE001  handed to the task, which raises it
                ended.put_nowait(error)

        for item in items:
            task = self._actor.start(one(item))
            self._actor.loop.call_later(within, task.cancel)


def _outcome(value: Any) -> Any:
    if isinstance(value, BaseException):
        raise value
    return value


def wait_awake(actor: Mortal) -> None:
    """Wait inside a blocking function while its process is frozen."""
    if not actor.alive:
        raise Died
    if actor.frozen:
        simulated_time.wait(actor.awake())


async def _some(ended: asyncio.Queue[Any], group: float, left: int) -> list[Any]:
    some = [await ended.get()]
    if left > 1:
        await asyncio.sleep(group)
    while not ended.empty():
        some.append(ended.get_nowait())
    return some
