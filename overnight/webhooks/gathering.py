"""Write hints to the database: those that arrive close together share one transaction.

In a transaction of its own, each would wait for the disk, and for a run that writes to the same file.
"""

import asyncio
from collections.abc import Callable, Sequence

from jobs.hints import Hint

_GROUP = 0.05  # seconds


class Gathering:
    """Calls ``write`` with some hints at a time, in a thread. Belongs to one event loop, whose end waits for it."""

    def __init__(self, write: Callable[[Sequence[Hint]], object]) -> None:
        self._write = write
        self._turn = asyncio.Lock()
        self._hints: list[Hint] = []
        self._group: asyncio.Task[None] | None = None

    async def keep(self, hint: Hint) -> None:
        """Return once the hint is written; raise the error if it cannot be."""
        self._hints.append(hint)
        if self._group is None:
            self._group = asyncio.create_task(self._flush())
        # One caller that hangs up must not cancel the whole group.
        await asyncio.shield(self._group)

    async def _flush(self) -> None:
        async with self._turn:  # while one group is being written, the next gathers
            await asyncio.sleep(_GROUP)
            some, self._hints, self._group = self._hints, [], None
            await asyncio.to_thread(self._write, some)
