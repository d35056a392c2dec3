"""A file of JSON lines that only grows; a line is on disk before anyone hears of it.

What the lines mean is in ``records``.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


class Journal:
    """Appends in groups: while one group is being synced, the next gathers, so a sync serves many requests.

    The file is locked for the life of the object. An incomplete last line is what a kill left behind; nobody has
    heard of it, so opening the journal cuts it off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise ValueError(f"{path.parent} is the state of a sandbox that is still running.") from None
        self._size = _whole_lines(self._file)
        os.ftruncate(self._file, self._size)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._gathered: list[bytes] = []
        self._group: asyncio.Future[None] | None = None
        self._flush: asyncio.Task[None] | None = None

    def replay(self, take: Callable[[Any], None]) -> None:
        """Give each line to ``take``; meant for the start, before anything is appended.

        ValueError with one sentence for a line that is no JSON, or that ``take`` cannot make sense of.
        """
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    take(json.loads(line))
                except (ValueError, TypeError, KeyError):
                    raise ValueError(f"{self._path}: line {number} is damaged; use another folder.") from None

    def write(self, line: dict[str, Any]) -> None:
        """Append a line at the start, when nobody waits for others; blocking."""
        self._write(_encoded(line))

    async def append(self, line: dict[str, Any]) -> None:
        """Return once the line is on disk; raises OSError if it cannot be written."""
        self._gathered.append(_encoded(line))
        if self._group is None:
            self._group = asyncio.get_running_loop().create_future()
        if self._flush is None:
            self._flush = asyncio.create_task(self._flush_groups())
        # One waiter that is cancelled must not cancel the whole group.
        await asyncio.shield(self._group)

    async def _flush_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while (group := self._group) is not None:
            block, self._gathered, self._group = b"".join(self._gathered), [], None
            try:
                await loop.run_in_executor(self._writer, self._write, block)
            except OSError as error:
                group.set_exception(error)
            else:
                group.set_result(None)
        self._flush = None

    def _write(self, block: bytes) -> None:
        try:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(block)

    def close(self) -> None:
        """Finish what is being written and release the file."""
        self._writer.shutdown()
        os.close(self._file)


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _whole_lines(file: int) -> int:
    """Return how many bytes of the file are whole lines."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - 65536)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
