"""The broker of an embedded run: Celery's own in-memory one, but its readers are woken when a message comes.

As it ships, each lane polls for messages: too seldom while a place in flight waits to be filled, and too
often on an idle machine.
"""

import threading
import time
from queue import Empty
from typing import Any

from kombu.transport import memory


class _Stir:
    """Wakes readers: a message came, or one was acknowledged, which makes room for the next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0

    def happen(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait(self, beyond: int, seconds: float | None) -> bool:
        """Wait until ``count`` exceeds ``beyond``; return whether it does."""
        with self._changed:
            return self._changed.wait_for(lambda: self.count > beyond, seconds)


_STIR = _Stir()


class Channel(memory.Channel):
    """Reports its changes."""

    def _put(self, *args: Any, **options: Any) -> None:
        super()._put(*args, **options)
        _STIR.happen()

    def basic_ack(self, *args: Any, **options: Any) -> None:
        super().basic_ack(*args, **options)
        _STIR.happen()


class Transport(memory.Transport):
    """Waits for its channels' changes."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:  # noqa: ARG002  kombu's
        """Deliver one message, or raise TimeoutError if none comes within ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            seen = _STIR.count
            try:
                self.cycle.get(self._deliver)  # type: ignore[union-attr]  # made with the transport
            except Empty:
                if not _STIR.wait(seen, None if until is None else max(0.0, until - time.monotonic())):
                    raise TimeoutError from None
            else:
                return
