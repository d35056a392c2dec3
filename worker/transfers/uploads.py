"""Uploads large images to the API in the background, once for all jobs that share one.

On a slow line an upload outlasts any lease. So it belongs to the process, not to the slice that asked for it:
a job waits for a moment, goes back if the upload still runs, and is made due when it ends.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jobs import crashpoints, errors, images
from jobs.settings.times import Times
from worker import clock
from worker.api import client

# Bytes a second, 2 Mbit/s: on a slower line, large images are for URLs.
SLOWEST = 250_000
# Bytes being uploaded at once. They share the line, so each gets the time that all of them take; it also
# bounds memory.
AT_ONCE = 10_000_000
# Not the event loop's own threads: while the disk of the inputs hangs, the API's host is still found by its name.
_LOOKS = ThreadPoolExecutor(4, thread_name_prefix="inputs")
_LIVES = 24 * 3600.0  # seconds for which an API keeps a file if it does not say
_MOST = 10_000

_Key = TypeVar("_Key")
_T = TypeVar("_T")

# An upload's result: the file's URL, or why there is none.
Sending = asyncio.Task[str | errors.ApiError]


async def looked(look: Callable[[], _T]) -> _T:
    """Look at the disk of the inputs."""
    return await asyncio.get_running_loop().run_in_executor(_LOOKS, look)


class NotYet(errors.ApiError):
    """The image is not at the API yet, without a fault: try again in ``wait`` seconds, or when ``sending`` ends."""

    def __init__(self, message: str, wait: float, sending: Sending | None = None) -> None:
        super().__init__(message)
        self.wait = wait
        self.sending = sending


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was decoded to its last pixel, and its facts then. The content is not kept in memory."""

    path: Path
    digest: str
    size: int
    facts: images.Facts

    def content(self) -> bytes:
        """Read the file again; NotSent if it has changed."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise errors.NotSent(f"The image cannot be read any more: {error.strerror}.") from error
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise errors.NotSent("The image changed before it was uploaded.")
        return content


class Uploads:
    """Every upload of a process. Belongs to one event loop."""

    def __init__(self, api: client.PredictionClient, times: Times) -> None:
        self._api = api
        self._times = times
        self._patience = 2 * times.poll_first  # seconds that a job waits here
        self._urls: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._sending: dict[str, Sending] = {}
        self._room = _Room(AT_ONCE)

    async def aclose(self) -> None:
        """Cancel the uploads under way."""
        under_way = list(self._sending.values())
        for sending in under_way:
            sending.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def url(self, source: Source) -> str:
        """Return the URL of a file, uploaded only once however many jobs ask for it at the same time.

        Raises NotYet while the upload runs, NotUploaded if it failed, and otherwise the API's own refusal.
        """
        if url := self.known(source.digest):
            return url
        sending = self._sending.get(source.digest)
        if sending is None:
            sending = self._sending[source.digest] = asyncio.ensure_future(self._send(source))
        await asyncio.wait({sending}, timeout=self._patience)
        if not sending.done():
            words = "Its image is still being uploaded."
            raise NotYet(words, self._allowed(source.size), sending)
        if self._sending.get(source.digest) is sending:  # a failure is reported once: later callers try again
            del self._sending[source.digest]
        outcome = sending.result()
        if isinstance(outcome, errors.ApiError):
            raise outcome
        return outcome

    def known(self, digest: str) -> str | None:
        """Return the URL of an uploaded file by the SHA-256 of its content; None if it was not, or has expired."""
        url, until = self._urls.get(digest, ("", 0.0))
        return url if clock.ticks() < until else None

    def _allowed(self, size: int) -> float:
        return self._times.post_deadline + max(size, AT_ONCE) / SLOWEST

    async def _send(self, source: Source) -> str | errors.ApiError:
        name, allowed = f"{source.digest[:16]}.{source.facts.suffix}", self._allowed(source.size)
        try:
            async with self._room.taken(source.size):
                content = await looked(source.content)
                file = await self._api.upload(content, name, source.facts.media_type, deadline=allowed)
        except errors.Unanswered as error:
            words = f"The image of {source.size / 1e6:.1f} MB could not be uploaded: {error}"
            return errors.NotUploaded(words, api_answers=await self._api_answers())
        except errors.ApiError as error:
            return error
        crashpoints.reach(crashpoints.Place.AFTER_UPLOAD)
        lives = _LIVES if file.lives is None else file.lives
        # A prediction may wait as long as its deadline allows before its run needs the file.
        until = clock.ticks() + lives - self._times.prediction_deadline
        remember(self._urls, source.digest, (file.url, until))
        # Perhaps nobody waits for it any more, and it must not outlive the URL.
        del self._sending[source.digest]
        return file.url

    async def _api_answers(self) -> bool:
        """Whether the API answers anything else: only then is it the upload that fails, not an outage."""
        try:
            await self._api.get(client.MADE_UP)
        except errors.ApiError as error:
            return not isinstance(error, errors.Unanswered)
        return True


def remember(remembered: OrderedDict[_Key, _T], key: _Key, value: _T) -> None:
    """Keep a value; of ten thousand, the one that was kept longest ago makes room."""
    remembered[key] = value
    remembered.move_to_end(key)
    if len(remembered) > _MOST:
        remembered.popitem(last=False)


class _Room:
    """Bytes that are lent, first come, first served; a request for more than there are gets all of them."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._turn = asyncio.Lock()
        self._returned = asyncio.Event()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        size = min(size, self._most)
        async with self._turn:
            while self._free < size:
                self._returned.clear()
                await self._returned.wait()
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._returned.set()
