"""Fetches outputs from their URLs onto the disk: without the token, within caps, from checked addresses.

Every download has its own wall-clock deadline in seconds. `storing` handles the bytes; `addresses` says which
hosts are allowed.
"""

import asyncio
import base64
import binascii
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import httpcore
import httpx

from jobs import crashpoints, errors
from jobs.lifecycle import File
from worker.api import replies, wire
from worker.transfers import addresses, breadth, storing

_T = TypeVar("_T")

_MOST_REDIRECTS = 3
_IN_MEMORY = 1_000_000  # bytes that a download may hold in memory before it writes them to its temporary file
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEAD = frozenset({403, 404, 410})


class Downloads:
    """Fetches outputs into one folder, unless told another, ``connections`` at a time; belongs to one event loop.

    `allow_private` is only for an API on this machine: any other could have us call services on this machine. `home`
    is the API's own host, from which outputs may come wherever it is.
    Proxies from the environment are not used.
    """

    def __init__(
        self,
        root: Path,
        *,
        allow_private: bool = False,
        home: str | None = None,
        connections: int = 64,
        deadline: float = 60.0,
        max_bytes: int = 64_000_000,
    ) -> None:
        self._root = root
        self._allow_private = allow_private
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._lines = wire.Lines(connections, addresses.Backend(allow_private=allow_private, home=home))
        self._breadth = breadth.Breadth(connections, deadline)
        # Decoding is work for a processor, fsync waits for the disk: a few threads serve both.
        self._threads = ThreadPoolExecutor(min(4, (os.cpu_count() or 1) + 1), thread_name_prefix="storing")

    async def aclose(self) -> None:
        await self._lines.aclose()
        await asyncio.to_thread(self._threads.shutdown)

    async def fetch(
        self,
        url: str,
        stem: PurePosixPath,
        index: int,
        *,
        into: Path | None = None,
        taken: Collection[str] = (),
        suspect: bool = False,
    ) -> File:
        """Fetch one output to ``STEM-INDEX.EXT``.

        Raises Gone, Undelivered, BlackedOut, NotAnImage, Poison, NotStored or Unavailable. Fetching again what is
        already there changes nothing. A name with other content, or one in ``taken``, is left alone, and
        ``STEM.2-INDEX.EXT`` used instead.
        """
        part = storing.Part(into or self._root, stem, taken)
        if replies.is_inline(url):
            return await self._to_its_end(self._keep_inline, part, url, index, suspect)
        body = _Body(part, self._max_bytes, self._threaded)
        try:
            async with self._breadth.places, self._lines.one() as line:
                await self._receive(line, url, body)
        except BaseException as error:
            part.discard()
            if body.has_begun and _is_out_of_time(error):
                self._breadth.was_cut(time.monotonic())
            raise
        self._breadth.came()
        return await self._keep(part, body, index, suspect)

    async def _keep(self, part: storing.Part, body: "_Body", index: int, suspect: bool) -> File:
        try:
            return await self._to_its_end(partial(part.keep, body.rest(), index, suspect=suspect))
        except errors.NotAnImage as error:
            if body.end_is_certain:
                raise
            raise errors.Undelivered(f"The output may have been cut short. {error}") from error

    def _keep_inline(self, part: storing.Part, url: str, index: int, suspect: bool) -> File:
        return part.keep(_inline(url, self._max_bytes), index, suspect=suspect)

    async def _receive(self, line: wire.Line, url: str, body: "_Body") -> None:
        try:
            async with asyncio.timeout(self._deadline):
                await self._follow(line, url, body)
        except errors.OvernightError:
            raise
        except Exception as error:
            raise errors.Undelivered(
                f"The output did not come. {wire.trouble(error, self._deadline)}"
            ) from error

    async def _follow(self, line: wire.Line, url: str, body: "_Body") -> None:
        target = addresses.checked(url, allow_private=self._allow_private)
        for _ in range(_MOST_REDIRECTS + 1):
            async with wire.streamed(line, _request(target), self._deadline) as response:
                headers = wire.headers_of(response)
                if response.status not in _REDIRECTS:
                    return await body.fill(response, headers)
            target = self._next(target, headers.get("location", ""))
        raise errors.Undelivered(f"The output's URL was redirected more than {_MOST_REDIRECTS} times.")

    def _next(self, target: httpx.URL, location: str) -> httpx.URL:
        following = addresses.checked(_joined(target, location), allow_private=self._allow_private)
        if target.scheme == "https" and following.scheme != "https":
            raise errors.Undelivered("The output's URL was redirected from https to http.")
        return following

    async def _threaded(self, call: Callable[..., _T], *args: Any) -> _T:
        """Run a call in a thread; on cancellation wait for its end, or it would go on writing after the clean-up."""
        result = await self._to_its_end(call, *args)
        stop_if_cancelled()
        return result

    async def _to_its_end(self, call: Callable[..., _T], *args: Any) -> _T:
        """Run a call in a thread and return its result, even if the task is cancelled meanwhile.

        What came in time is kept however long the disk takes: given up, it would be fetched again, and again in vain.
        """
        running = asyncio.get_running_loop().run_in_executor(self._threads, call, *args)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            return running.result()


def stop_if_cancelled() -> None:
    """Raise CancelledError in a task that was cancelled, whatever it still brought to its end."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


class _Body:
    """A response's body: counted, held in memory while small, otherwise written to disk."""

    def __init__(self, part: storing.Part, cap: int, threaded: Callable[..., Awaitable[None]]) -> None:
        self._part = part
        self._cap = cap
        self._threaded = threaded
        self._held = bytearray()
        self._size = 0
        self.end_is_certain = False

    async def fill(self, response: httpcore.Response, headers: Mapping[str, str]) -> None:
        """Read a final response; its status, encoding and declared length are checked before any bytes."""
        _expect_image(response.status, headers)
        self._count(_declared(headers))
        # Without a declared length the body ends with the connection, so a cut looks like its end.
        self.end_is_certain = "content-length" in headers or "transfer-encoding" in headers
        async for chunk in response.aiter_stream():
            self._size += len(chunk)
            self._count(self._size)
            self._held += chunk
            crashpoints.reach(crashpoints.Place.DURING_DOWNLOAD)
            if len(self._held) > _IN_MEMORY:
                await self._threaded(self._part.append, self.rest())

    @property
    def has_begun(self) -> bool:
        """Whether any byte has come."""
        return self._size > 0

    def rest(self) -> bytes:
        """Return what is held in memory, and release it."""
        held, self._held = bytes(self._held), bytearray()
        return held

    def _count(self, size: int) -> None:
        if size > self._cap:
            raise errors.NotAnImage(f"The output is larger than {self._cap} bytes.")


def _is_out_of_time(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError) or isinstance(error.__cause__, TimeoutError)


def _request(target: httpx.URL) -> wire.Request:
    url = httpcore.URL(
        scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
    )
    host = target.netloc.decode("ascii")
    return wire.Request("GET", url, {"Host": host, "Accept-Encoding": "identity", "User-Agent": "overnight"})


def _expect_image(status: int, headers: Mapping[str, str]) -> None:
    if status in _DEAD:
        raise errors.Gone(f"The output is gone: its host answered {status}.")
    if status != 200:
        raise errors.Undelivered(f"The output did not come: its host answered {status}.")
    if wire.is_encoded(headers):
        raise errors.Undelivered("The output came compressed, although none was asked for.")


def _declared(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 16 else 0


def _joined(target: httpx.URL, location: str) -> httpx.URL:
    try:
        return target.join(location)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise errors.Undelivered("The output's URL was redirected to one that cannot be read.") from error


def _inline(url: str, cap: int) -> bytes:
    """Return a data URI's content."""
    head, comma, data = url.partition(",")
    if not comma or len(data) > 4 * cap:
        raise errors.NotAnImage("The output's data URI has no content, or too much.")
    try:
        raw = unquote_to_bytes(data) if "%" in data else data.encode("ascii")
        content = base64.b64decode(raw, validate=True) if head.lower().endswith(";base64") else raw
    except (binascii.Error, UnicodeError) as error:
        raise errors.NotAnImage("The output's data URI cannot be read.") from error
    if len(content) > cap:
        raise errors.NotAnImage(f"The output is larger than {cap} bytes.")
    return content
