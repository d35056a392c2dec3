"""One HTTP exchange: lines, deadlines, capped bodies.

Uses httpcore, the engine of httpx, because one more layer costs 0.3 ms a call. Deliberately absent: proxies
from the environment, redirects, cookies, retries, and decompression. `replies` says what a reply means.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx

from jobs import crashpoints, errors
from worker.api import bodies

# Servers close idle connections after 5 to 75 s; a POST on one just closed would end unconfirmed.
KEEPALIVE = 5.0


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return the one TLS context: certifi's roots, or those that SSL_CERT_FILE names."""
    return httpx.create_ssl_context()


class Line:
    """At most one connection, kept for the next exchange and replaced if that cannot use it.

    httpcore's pool would do the same, but make a call a fifth more expensive.
    """

    def __init__(self, backend: httpcore.AsyncNetworkBackend | None) -> None:
        self._backend = backend
        self._connection: httpcore.AsyncHTTPConnection | None = None

    async def to(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """Return the connection to a host, or a new one that its first request will open."""
        old = self._connection
        if old and old.can_handle_request(origin) and old.is_available() and not old.has_expired():
            return old
        await self.aclose()
        self._connection = httpcore.AsyncHTTPConnection(
            origin, ssl_context=_trust(), keepalive_expiry=KEEPALIVE, network_backend=self._backend
        )
        return self._connection

    async def aclose(self) -> None:
        if self._connection:
            await self._connection.aclose()


class Lines:
    """As many connections as may be open at once, lent one at a time; no deadline covers the wait for one.

    Belongs to the event loop in which it is first used.
    """

    def __init__(self, count: int, backend: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._all = [Line(backend) for _ in range(count)]
        # Last in, first out: warm connections are reused, and idle ones expire.
        self._free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
        for line in self._all:
            self._free.put_nowait(line)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Line]:
        """Lend a line as soon as one is free."""
        line = await self._free.get()
        try:
            yield line
        finally:
            self._free.put_nowait(line)

    async def aclose(self) -> None:
        for line in self._all:
            await line.aclose()


@dataclass(frozen=True, slots=True)
class Request:
    """A request; its header names and values are always our own."""

    method: str
    url: httpcore.URL
    headers: Mapping[str, str] = field(repr=False)  # one of them is the token
    content: bytes = field(default=b"", repr=False)
    extensions: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply. ``body`` ends where the connection broke; it is empty if it was compressed or too long."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Sending:
    """Whether any byte of a request may have left this machine."""

    def __init__(self) -> None:
        self.begun = False

    async def trace(self, event: str, _: Mapping[str, Any]) -> None:
        """Listen to httpcore; connecting and the TLS handshake come before this event."""
        self.begun = self.begun or event == "http11.send_request_headers.started"
        if event == "http11.send_request_body.complete":
            crashpoints.reach(crashpoints.Place.DURING_POST)


async def exchange(line: Line, request: Request, *, deadline: float, cap: int) -> Reply:
    """Send a request and return its reply; Unanswered if no response head came within `deadline` seconds.

    Once the head has come the reply counts, however the body ends: an early refusal is still a refusal, and
    half a JSON body will not parse.
    """
    head: httpcore.Response | None = None
    body = bytearray()
    try:
        async with asyncio.timeout(deadline), streamed(line, request, deadline) as head:
            await _fill(body, head, cap)
    except Exception as error:
        if head is None:
            raise errors.Unanswered(trouble(error, deadline)) from error
    return Reply(head.status, headers_of(head), bytes(body))


def headers_of(response: httpcore.Response) -> Mapping[str, str]:
    """Return the headers by lower-case name; of several with the same name, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def is_encoded(headers: Mapping[str, str]) -> bool:
    """Whether a body is compressed although we asked for it plain; 200 kB may inflate to 200 MB."""
    return headers.get("content-encoding", "").strip().lower() not in {"", "identity"}


def trouble(error: Exception, deadline: float) -> str:
    """Return one sentence on what went wrong on the wire."""
    if isinstance(error, TimeoutError):
        return f"No answer within {deadline:g} s."
    return f"The connection failed: {bodies.one_line(str(error)) or type(error).__name__}."


@asynccontextmanager
async def streamed(line: Line, request: Request, deadline: float) -> AsyncIterator[httpcore.Response]:
    """Send a request and yield the head of its reply, the body still to be read.

    Connecting gets a third of the deadline, and the TLS handshake another: httpcore closes the socket if its
    own timeout ends the handshake, but leaves it open if a cancellation does.
    """
    connection = await line.to(request.url.origin)
    async with connection.stream(
        request.method,
        request.url,
        headers=list(request.headers.items()),
        content=None if request.method == "GET" else request.content,
        extensions={**(request.extensions or {}), "timeout": {"connect": deadline / 3}},
    ) as response:
        yield response


async def _fill(body: bytearray, response: httpcore.Response, cap: int) -> None:
    if is_encoded(headers_of(response)):
        return
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > cap:
            body.clear()
            return
