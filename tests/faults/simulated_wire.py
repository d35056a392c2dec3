"""What a simulated process sees of the outside world: lines to the API, outputs to fetch, and a disk that may forget.

The real `PredictionClient` uses these lines: its headers, its reading of replies, and its rule that a create is sent
once are part of what is tested.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from jobs import crashpoints, errors, lifecycle
from jobs.crashpoints import Place
from tests.faults import simulated_ledger
from tests.faults.simulated_api import Api
from tests.faults.simulated_plan import Plan
from tests.faults.simulated_processes import Mortal
from worker.api import replies, wire

_SIDE = 64  # pixels


class Lines:
    """Stands in for `wire.Lines`: as many calls at once as there are lines."""

    def __init__(self, count: int, actor: Mortal, api: Api) -> None:
        self._free = asyncio.Semaphore(count)
        self._actor = actor
        self._api = api

    @asynccontextmanager
    async def one(self) -> AsyncIterator["Lines"]:
        async with self._free:
            await self._actor.awake()
            yield self

    async def exchange(self, request: wire.Request, deadline: float) -> wire.Reply:
        """Send a request; a process that freezes between the last check and the send freezes here."""
        began = self._actor.loop.time()
        cut_short = await self._thawed()
        url = request.url.target.decode()
        target = url[url.index("/predictions") :]
        answer = self._api.ask(request.method, target, request.content, request.headers)
        if answer.sent:
            self._api.note_gap(request.content, self._actor.loop.time() - began)
            await _trace(request)
        if cut_short:
            raise asyncio.CancelledError
        await asyncio.sleep(min(answer.after, deadline))
        await self._actor.awake()
        if answer.status is None or answer.after > deadline:
            raise errors.Unanswered("No answer.")
        return wire.Reply(answer.status, answer.headers, answer.body)

    async def _thawed(self) -> bool:
        """Wait until the process runs. Return whether it was cut short meanwhile, which must wait for its next step."""
        cut_short = False
        while self._actor.frozen:
            try:
                await self._actor.awake()
            except asyncio.CancelledError:
                if not self._actor.alive:
                    raise
                cut_short = True
        await self._actor.awake()
        return cut_short

    async def aclose(self) -> None:
        """Nothing is open."""


async def exchange(line: Lines, request: wire.Request, *, deadline: float, cap: int) -> wire.Reply:  # noqa: ARG001  the real one's signature
    """Stands in for `wire.exchange`."""
    return await line.exchange(request, deadline)


async def _trace(request: wire.Request) -> None:
    trace = (request.extensions or {}).get("trace")
    if trace:
        await trace("http11.send_request_headers.started", {})
        await trace("http11.send_request_body.complete", {})


class Disk:
    """The output folder: a name is there at once, but only survives a power cut if it was synced."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}  # path: SHA-256 of the content
        self._lasting: set[str] = set()

    def place(self, stem: PurePosixPath, index: int, digest: str, taken: Collection[str]) -> str:
        """Return a name for a file, never one that other content or an earlier attempt has."""
        names = (f"{stem}{'' if n == 1 else f'.{n}'}-{index}.png" for n in range(1, 1000))
        free = (name for name in names if name not in taken)
        path = next(name for name in free if self.files.get(name, digest) == digest)
        self.files[path] = digest
        return path

    def sync_names(self, _root: Path, paths: Iterable[str]) -> None:
        """Stands in for `storing.sync_names`."""
        self._lasting.update(paths)

    def lose_power(self) -> None:
        self.files = {path: digest for path, digest in self.files.items() if path in self._lasting}


class Downloads:
    """Stands in for `worker.transfers.downloads.Downloads`."""

    def __init__(self, actor: Mortal, api: Api, disk: Disk, plan: Plan) -> None:
        self._actor = actor
        self._api = api
        self._disk = disk
        self._plan = plan
        self._luck = plan.rng("downloads", actor.name)

    async def fetch(
        self,
        url: str,
        stem: PurePosixPath,
        index: int,
        into: Path | None = None,  # noqa: ARG002  the real one's signature; there is one disk here
        taken: Collection[str] = (),
        suspect: bool = False,  # noqa: ARG002  nothing is decoded here
    ) -> lifecycle.File:
        await self._actor.awake()
        await asyncio.sleep(self._plan.latency)
        await self._actor.awake()
        body = self._received(url)
        crashpoints.reach(Place.DURING_DOWNLOAD)
        crashpoints.reach(Place.BEFORE_RENAME)
        digest = hashlib.sha256(body).hexdigest()
        path = self._disk.place(stem, index, digest, taken)
        crashpoints.reach(Place.AFTER_RENAME)
        return lifecycle.File(path, "image/png", len(body), _SIDE, _SIDE, digest)

    def _received(self, url: str) -> bytes:
        """Return what comes from a URL; the content of a data URI is there already."""
        if replies.is_inline(url):
            return base64.b64decode(url.partition(",")[2])
        if "no_files" in self._api.weather():
            raise errors.Undelivered("The output did not come.")
        if not self._api.has_file(url):
            raise errors.Gone("It is not there yet.")
        if not self._api.healed and self._luck.random() < self._plan.downloads_fail:
            raise self._luck.choice((errors.Undelivered, errors.NotAnImage))("It did not come.")
        return simulated_ledger.content(url)

    async def aclose(self) -> None:
        """Nothing is open."""
