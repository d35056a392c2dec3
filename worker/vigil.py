"""Has a worker gone deaf? One that is idle beside messages that wait ends, so that whoever keeps it starts it anew.

Brokers and clients have lost each other in many ways, and some end in a worker that is connected, healthy and never
hears of anything again. What waits is asked of the broker through a connection of its own: while the broker is away,
or nothing waits, there is nothing to hear.
"""

import os
import threading
import time
from typing import Any

import structlog
from celery import Celery, signals
from celery.worker import state
from kombu import exceptions

from jobs.lanes import Lane
from worker import leaving

log = structlog.get_logger(__name__)

_LOOKS = 6  # in a row, so that a worker that was merely stopped for a while hears something in between
_LEAST = 0.5  # seconds between two looks
_UNAVAILABLE = 69  # as every command that cannot reach what it needs

_heard = 0


def keep(app: Celery, seconds: float) -> None:
    """Have a worker that hears nothing for so long, although something waits, end itself."""

    def begin(**_said: Any) -> None:
        threading.Thread(target=_watch, args=(app, seconds), name="vigil", daemon=True).start()

    signals.task_received.connect(_hear)
    signals.worker_ready.connect(begin, weak=False)


def _hear(**_said: Any) -> None:
    global _heard  # noqa: PLW0603  a signal has no other place to leave it
    _heard += 1


def _watch(app: Celery, seconds: float) -> None:
    looks = before = 0
    while looks < _LOOKS:
        time.sleep(max(_LEAST, seconds / _LOOKS))
        heard = _heard
        idle = heard == before and not state.reserved_requests and not leaving.asked()
        before = heard
        looks = looks + 1 if idle and _waits(app) else 0
    log.critical("worker-deaf", reason="messages wait, and none comes here; ending, to be started anew")
    os._exit(_UNAVAILABLE)


def _waits(app: Celery) -> bool:
    """Whether a message waits in any lane; False while the broker is away."""
    connection = app.connection_for_read()
    # The broker's client has errors of its own for a connection that breaks in the middle of an answer.
    away: tuple[type[BaseException], ...] = (exceptions.KombuError, OSError, *connection.connection_errors)
    try:
        with connection:
            connection.ensure_connection(max_retries=0)
            channel: Any = connection.default_channel
            return any(channel.queue_declare(lane).message_count for lane in Lane)
    except away as error:
        log.debug("vigil-blind", reason=str(error))
        return False
