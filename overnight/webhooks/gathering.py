"""Write hints to the database: those that arrive close together share one transaction.

In a transaction of its own, each would wait for the disk, and for a run that writes to the same file.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from jobs.hints import Hint

_GROUP = 0.05  # seconds
_MOST = 500  # hints in one transaction


class Gathering:
    """Calls ``write`` with some hints at a time, in a thread of its own. Belongs to one event loop."""

    def __init__(self, write: Callable[[Sequence[Hint]], object]) -> None:
        self._write = write
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="hints")
        self._waiting: list[tuple[Hint, asyncio.Future[None]]] = []
        self._flush: asyncio.Task[None] | None = None

    async def keep(self, hint: Hint) -> None:
        """Return once the hint is written; raise the error if it cannot be."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((hint, written))
        if self._flush is None:
            self._flush = asyncio.create_task(self._flush_all())
        await written

    async def _flush_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(_GROUP)
            some, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            error = await self._try([hint for hint, _ in some])
            for _, written in some:
                if written.done():  # the caller has hung up
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
        self._flush = None

    async def _try(self, some: Sequence[Hint]) -> Exception | None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._write, some)
        except Exception as error:  # noqa: BLE001  handed to every caller that waits
            return error
        return None

    def close(self) -> None:
        """Finish what is being written."""
        self._writer.shutdown()
