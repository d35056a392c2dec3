"""Tiny servers on loopback that misbehave on purpose, one answer per test."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET


@dataclass(frozen=True)
class Heard:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Served:
    """A running server and what it has heard."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    conversations: set[asyncio.Task] = field(default_factory=set)

    async def ended(self) -> None:
        """Wait until every connection so far is closed."""
        await asyncio.gather(*self.conversations)


Answer = Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]


def reply(body: bytes = b"", status: str = "200 OK", *headers: str, length: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(content: bytes) -> Answer:
    async def answer(_, writer):
        writer.write(content)

    return answer


async def hang(*_):
    await asyncio.Event().wait()


def drip(head: bytes) -> Answer:
    async def answer(_, writer):
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    return answer


async def reset(_, writer):
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def serve(answer: Answer, *, keep_alive: bool = False) -> AsyncIterator[Served]:
    served = Served()

    async def converse(reader, writer):
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                heard = await hear(reader)
                served.heard.append(heard)
                served.arrived.set()
                await answer(heard, writer)
                await writer.drain()
                if not keep_alive:
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def connected(reader, writer):
        served.connections += 1
        served.conversations.add(asyncio.ensure_future(converse(reader, writer)))

    async with listening(connected) as port:
        served.url = f"http://127.0.0.1:{port}"
        try:
            yield served
        finally:
            for task in served.conversations:
                task.cancel()
            await asyncio.gather(*served.conversations, return_exceptions=True)


@asynccontextmanager
async def listening(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None],
) -> AsyncIterator[int]:
    writers = []

    def remember(reader, writer):
        writers.append(writer)
        connected(reader, writer)

    server = await asyncio.start_server(remember, "127.0.0.1", 0, limit=10_000_000)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await server.wait_closed()


async def hear(reader: asyncio.StreamReader) -> Heard:
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Heard(method, target, headers, body)
