"""Webhook calls when a prediction ends, and what goes wrong with them.

Only the final event is sent, and only to this machine: a rehearsal must not call anybody's server. Calls that are
still due are forgotten when the sandbox ends.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from sandbox import predictions, signing, urls
from sandbox.census import Census
from sandbox.plan import Plan
from sandbox.predictions import Prediction
from sandbox.views import Views

_PAUSES = (1, 2, 4, 8, 16, 30)  # seconds before each further try: about a minute in all
_PATIENCE = 5.0  # seconds for an answer
_STALE = 600.0  # seconds by which a stale call is late


class Webhooks:
    """Calls each webhook at the end of its prediction, until it is answered with 2xx or a minute is over."""

    def __init__(self, secret: str, *, plan: Plan, views: Views, census: Census) -> None:
        self._key = signing.key(secret)
        self._plan = plan
        self._views = views
        self._census = census
        self._canceled: dict[str, asyncio.Event] = {}
        self._calls: set[asyncio.Task[None]] = set()

    def expect(self, prediction: Prediction, url: str, host: str) -> None:
        """Call a URL once the prediction has ended; ``host`` is the one under which the client called us."""
        target = urlsplit(url)  # which `validation` has found well-formed
        if not urls.is_here(target) or self._plan.strikes("webhook_drop", prediction.subject):
            return
        self._canceled[prediction.id] = asyncio.Event()
        task = asyncio.create_task(self._follow(prediction, target, host))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def ended(self, prediction_id: str) -> None:
        """Note that a prediction was canceled, and so has ended already."""
        if prediction_id in self._canceled:
            self._canceled[prediction_id].set()

    async def _follow(self, prediction: Prediction, target: SplitResult, host: str) -> None:
        await self._end_of(prediction)
        body = json.dumps(await self._views.show(prediction, time.time(), host)).encode()
        webhook_id = f"msg_{secrets.token_hex(12)}"
        for wrong in self._wrong(prediction, webhook_id, body):
            await self._call(target, wrong, body)
        times = 2 if self._plan.strikes("webhook_twice", prediction.subject) else 1
        for _ in range(times):
            await self._deliver(target, webhook_id, body)

    async def _end_of(self, prediction: Prediction) -> None:
        left = predictions.ends_at(prediction) - time.time()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._canceled[prediction.id].wait()
        except TimeoutError:
            pass
        del self._canceled[prediction.id]

    def _wrong(self, prediction: Prediction, webhook_id: str, body: bytes) -> list[dict[str, str]]:
        """Return the headers of calls that must not be believed: forged or stale ones."""
        now, calls = time.time(), []
        if self._plan.strikes("webhook_forged", prediction.subject):
            calls.append(signing.headers(webhook_id, now, body, secrets.token_bytes(24)))
        if self._plan.strikes("webhook_stale", prediction.subject):
            calls.append(signing.headers(webhook_id, now - _STALE, body, self._key))
        return calls

    async def _deliver(self, target: SplitResult, webhook_id: str, body: bytes) -> None:
        for pause in (*_PAUSES, 0):
            status = await self._call(target, signing.headers(webhook_id, time.time(), body, self._key), body)
            if status // 100 == 2:
                return
            await asyncio.sleep(pause)

    async def _call(self, target: SplitResult, headers: Mapping[str, str], body: bytes) -> int:
        """Call once; return the status of the answer, or 0 for none."""
        try:
            async with asyncio.timeout(_PATIENCE):
                status = await _posted(target, headers, body)
        except (OSError, TimeoutError, ValueError, IndexError):
            status = 0
        self._census.webhooks[str(status)] += 1
        return status


async def _posted(target: SplitResult, headers: Mapping[str, str], body: bytes) -> int:
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    sent = {
        "host": target.netloc,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **headers,
    }
    head = "\r\n".join([f"POST {path} HTTP/1.1", *(f"{name}: {text}" for name, text in sent.items()), "", ""])
    reader, writer = await asyncio.open_connection(target.hostname, target.port or 80)
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
