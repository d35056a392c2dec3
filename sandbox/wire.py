"""Answers that break the wire: what no well-behaved response can do to a connection.

They need the connection itself, which ``WireProtocol`` exposes, so they only work under our own server.
"""

import asyncio
import socket
import struct
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox import problems

_DRIP_SECONDS = 0.5


class WireProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with each request knowing the transport it came by, and whether others did before."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base does
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport, "kept": False}

    def on_response_complete(self) -> None:
        self.app_state["kept"] = True
        super().on_response_complete()


def was_kept(request: Request) -> bool:
    """Whether a request came by a connection that was kept open since an earlier one."""
    return bool(request.scope["state"]["kept"])


class Silence(Response):
    """Never answers: holds the connection until the client gives up. It is counted as status 0."""

    def __init__(self) -> None:
        super().__init__(status_code=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  nothing is sent
        self.strike(scope["state"]["transport"])
        while (await receive())["type"] != "http.disconnect":
            pass

    def strike(self, transport: Any) -> None:
        """Do to the connection what this answer does; silence does nothing."""


class Drop(Silence):
    """Closes the connection without an answer."""

    def strike(self, transport: Any) -> None:
        transport.close()


class Reset(Silence):
    """Resets the connection: closing it with SO_LINGER on and zero seconds sends RST instead of FIN."""

    def strike(self, transport: Any) -> None:
        if transport.is_closing():  # the client was faster
            return
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class Cut(Silence):
    """Sends the first half of a body and closes, with or without having declared the whole length.

    It bypasses the HTTP library, which would rightly refuse to send such an answer.
    """

    def __init__(self, content: bytes, content_type: str, *, declared: bool) -> None:
        super().__init__()
        length = f"content-length: {len(content)}\r\n" if declared else ""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{length}connection: close\r\n\r\n"
        self._raw = head.encode() + content[: len(content) // 2]

    def strike(self, transport: Any) -> None:
        transport.write(self._raw)
        transport.close()


class Drip(Silence):
    """Sends a complete and correct answer byte by byte, for longer than any client should wait.

    With ``whole`` the status line and the headers drip as well; otherwise only the body does.
    """

    def __init__(self, answer: Response, *, whole: bool) -> None:
        super().__init__()
        self.status_code = answer.status_code
        self.raw_headers = answer.raw_headers
        self._content = bytes(answer.body)
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope["state"]["transport"]
        head = self._head()
        if not self._whole:
            transport.write(head)
            head = b""
        for byte in head + self._content:
            if transport.is_closing():
                break
            transport.write(bytes([byte]))
            await asyncio.sleep(_DRIP_SECONDS)
        transport.close()
        await super().__call__(scope, receive, send)

    def _head(self) -> bytes:
        lines = [b"%s: %s" % pair for pair in self.raw_headers]
        return b"\r\n".join([b"HTTP/1.1 %d " % self.status_code, *lines, b"connection: close", b"", b""])


async def read_body(request: Request, most: int) -> bytes:
    """Return a request's body; a 413 page as soon as it is larger than ``most`` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise problems.TurnedAway(413, "Request entity too large")
    return bytes(body)
