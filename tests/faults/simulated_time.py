"""Virtual time: a loop that jumps to its next timer, and blocking code that waits in it.

Only one thing runs at a time: a blocking function has a thread of its own only so that it can pause in the middle.
Therefore the same seed is the same night.
"""

import asyncio
import contextvars
import queue
import selectors
import threading
from collections.abc import Awaitable, Callable
from typing import Any


class NobodyWakes(Exception):
    """No timer is set and nothing is ready: in virtual time that is a deadlock."""


class _Jumping(selectors.SelectSelector):
    """Looks at no socket; waiting moves the clock on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise NobodyWakes
        self.now += max(0.0, timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop on whose clock an hour passes in no time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


_here = threading.local()
_idle: list["_Carrier"] = []


class _Carrier:
    """A thread that runs a blocking function while the loop stands still, and stands still while the loop runs."""

    def __init__(self) -> None:
        self._turn: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[tuple[bool, Any, BaseException | None]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        _here.carrier = self
        while True:
            context, call = self._turn.get()
            try:
                told = (True, context.run(call), None)
            except BaseException as error:  # noqa: BLE001  handed to the loop, which raises it
                told = (True, None, error)
            self._told.put(told)

    def wait(self, wish: Awaitable[Any]) -> Any:
        """Have the loop await something, and stand still until it is there."""
        self._told.put((False, wish, None))
        value, error = self._turn.get()
        if error is not None:
            raise error
        return value

    async def drive(self, call: Callable[[], Any]) -> Any:
        """Run a function to its end, and await in the loop whatever it waits for."""
        self._turn.put((contextvars.copy_context(), call))
        while True:
            ended, value, error = self._told.get()
            if ended:
                _idle.append(self)
                if error is not None:
                    raise error
                return value
            try:
                answer = (await value, None)
            except BaseException as error:  # noqa: BLE001  handed to the function, which raises it
                answer = (None, error)
            self._turn.put(answer)


async def run(call: Callable[[], Any]) -> Any:
    """Run a blocking function; it may `wait`."""
    carrier = _idle.pop() if _idle else _Carrier()
    return await carrier.drive(call)


def wait(wish: Awaitable[Any]) -> Any:
    """Wait for something in virtual time, inside a blocking function that `run` runs."""
    return _here.carrier.wait(wish)


def in_carrier() -> bool:
    """Whether this code runs in a blocking function; otherwise it is the loop's own and may not stand still."""
    return getattr(_here, "carrier", None) is not None
