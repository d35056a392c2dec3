"""The receiver as a process: where it listens, when it ends. What it answers is in `receiver`."""

import logging
import signal
import socket
from collections.abc import Callable, Sequence

import uvicorn

from jobs import database, hints
from jobs.database import Database
from jobs.hints import Hint
from jobs.settings import Settings
from overnight.webhooks.gathering import Gathering
from overnight.webhooks.receiver import Receiver
from worker import outgrown

_BACKLOG = 2048
_AT_ONCE = 500  # calls under way, each of a megabyte at most; further ones are answered with 503
_GRACE = 5  # seconds that calls under way may take after SIGTERM


def serve(settings: Settings, db: Database, host: str, port: int, ready: Callable[[str], None]) -> str | None:
    """Take webhooks until SIGTERM or SIGINT; return the reason if it ended for another one.

    ``ready`` is called with the URL once calls are taken there. Raises OSError if the address is not available.
    """
    apis = {settings.api.identity, *(one.api.identity for one in settings.accounts)}

    def write(some: Sequence[Hint]) -> None:
        db.unit(lambda tx: hints.take(tx, database.now(tx), apis, some, settings.times))

    with _listening(host, port) as listener:
        server = _Server(_configured(Receiver(settings.require_webhook_secret(), Gathering(write).keep)))
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn handles signals only while it serves; then it raises the last one again, for this handler.
            signal.signal(number, server.handle_exit)
        watch = outgrown.Watch(settings, end=server.end)
        watch.start()
        ready(_url(listener, host))
        server.run(sockets=[listener])
        watch.stop()
    return watch.refusal


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without a named protocol, asyncio leaves Nagle's algorithm on, and each answer waits 40 ms for the last one's ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # before the URL is known: an early caller waits instead of being refused
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket, host: str) -> str:
    """Return where it listens, whatever port the system chose."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/"


class _Server(uvicorn.Server):
    """uvicorn's server, which can be ended by a thread as well."""

    def end(self) -> None:
        self.should_exit = True


def _configured(receiver: Receiver) -> uvicorn.Config:
    return uvicorn.Config(
        receiver.app(),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_GRACE,
    )
