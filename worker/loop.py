"""One event-loop thread per process: tasks give it their coroutines and get the outcomes in small groups."""

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent import futures
from typing import Any, Generic, TypeVar

ItemT = TypeVar("ItemT")
OutcomeT = TypeVar("OutcomeT")

GROUP = 0.025  # seconds within which outcomes are gathered to be committed together
WIDE = 0.1  # the same, for outcomes that are cheap to find out again


class Loop:
    """An event loop in a thread of its own. Started after a fork, never before one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._started: set[futures.Future[None]] = set()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def call(self, coroutine: Coroutine[Any, Any, OutcomeT], within: float) -> OutcomeT:
        """Run a coroutine to its end; after ``within`` seconds it is cancelled and TimeoutError raised."""

        async def bounded() -> OutcomeT:
            async with asyncio.timeout(within):
                return await coroutine

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that nobody waits for; it must handle its own errors."""
        started = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._started.add(started)
        started.add_done_callback(self._started.discard)

    def outcomes(
        self,
        step: Callable[[ItemT], Awaitable[OutcomeT]],
        items: Sequence[ItemT],
        within: float,
        group: float = GROUP,
    ) -> Iterator[list[OutcomeT]]:
        """Run ``step`` for all items at once and yield their outcomes, grouped by ``group`` seconds.

        ``step`` must turn whatever happens, even its cancellation, into an outcome: after ``within`` seconds
        whatever still runs is cancelled. A consumer that stops early cancels nothing.
        """
        ended = _Groups[OutcomeT](len(items), group)
        asyncio.run_coroutine_threadsafe(_each(step, items, ended, within), self._loop)
        left = len(items)
        while left:
            some = ended.get()
            left -= len(some)
            yield [_outcome(one) for one in some]

    def close(self) -> None:
        """End the loop and its thread; started coroutines get a few seconds to end by themselves."""
        futures.wait(list(self._started), timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()


class _Groups(Generic[OutcomeT]):
    """Outcomes on their way out of the event loop; grouped, since waking the task's thread for each would cost more."""

    def __init__(self, left: int, seconds: float) -> None:
        self._left = left
        self._seconds = seconds
        self._group: list[OutcomeT | BaseException] = []
        self._groups: queue.SimpleQueue[list[OutcomeT | BaseException]] = queue.SimpleQueue()

    def put(self, outcome: OutcomeT | BaseException) -> None:
        """Add one, in the event loop's thread; the last one of all goes out at once."""
        if not self._group:
            asyncio.get_running_loop().call_later(self._seconds, self._hand_over)
        self._group.append(outcome)
        self._left -= 1
        if not self._left:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._group:
            self._groups.put(self._group)
            self._group = []

    def get(self) -> list[OutcomeT | BaseException]:
        """Wait for the next group, in the task's thread."""
        return self._groups.get()


async def _each(
    step: Callable[[ItemT], Awaitable[OutcomeT]],
    items: Sequence[ItemT],
    ended: _Groups[OutcomeT],
    within: float,
) -> None:
    async def one(item: ItemT) -> None:
        try:
            ended.put(await step(item))
        except BaseException as error:  # noqa: BLE001  handed to the task's thread, which raises it
            ended.put(error)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    _, late = await asyncio.wait(tasks, timeout=within)
    for task in late:
        task.cancel()


def _outcome(value: OutcomeT | BaseException) -> OutcomeT:
    if isinstance(value, BaseException):
        raise value
    return value
