"""The sandbox as a process: where it listens, when it ends. What it answers is in ``app``."""

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from sandbox import app, wire
from sandbox.options import Options
from sandbox.records import Records

_BACKLOG = 2048
# Longer than the pools of common HTTP clients keep an idle connection, so that the client closes it first.
_KEEP_ALIVE_SECONDS = 75


def announce(url: str) -> None:
    """Print where the sandbox listens; a parent may wait for this line."""
    print(f"sandbox listening on {url}", flush=True)  # noqa: T201  a program's own line on stdout


def serve(options: Options, ready: Callable[[str], None] = announce) -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent; ``ready`` is called with the API's base URL.

    Raises ValueError if the state folder is in use, OSError if the folder or the port is not available.
    """
    with (
        _listen(options.host, options.port) as listener,
        contextlib.closing(Records(options.state)) as records,
    ):
        server = _Server(_configure(options, records))
        server.parent_pid = options.parent_pid
        with _signals_end(server):
            ready(_url(listener, options.host))
            server.run(sockets=[listener])


@contextlib.contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the server and nothing else, from before it is up until it is down.

    uvicorn itself handles signals only while it serves, and then raises the one that ended it again.
    """
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without a named protocol, asyncio leaves Nagle's algorithm on, and each answer waits 40 ms for the last one's ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # before the URL is known: an early client waits instead of being refused
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket, host: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/v1"


def _configure(options: Options, records: Records) -> uvicorn.Config:
    return uvicorn.Config(
        app.create_app(options, records),
        http=wire.WireProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=0,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, but it ends with its parent, and silently."""

    parent_pid: int | None = None

    async def on_tick(self, counter: int) -> bool:
        """Check once a second that the parent is still the same: an orphaned child gets another."""
        if self.parent_pid is not None and counter % 10 == 0 and os.getppid() != self.parent_pid:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Requests that are still held are cut off, which uvicorn would report as errors.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)
