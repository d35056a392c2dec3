"""Ends a worker that has gone deaf, idle while messages wait, so that its supervisor restarts it.

Broker connections fail in many ways, and some leave a worker that is connected, healthy and never receives
anything again. The broker is asked on a separate connection whether messages wait; while it is away, or none
wait, an idle worker is in order.
"""

import os
import threading
import time
from typing import Any

import structlog
from celery import Celery, signals
from celery.worker import state
from kombu import exceptions

from jobs import errors
from jobs.lanes import Lane
from worker import leaving

log = structlog.get_logger(__name__)

_LOOKS = 6  # in a row, so that a worker that was only stopped for a while receives something in between
_LEAST = 0.5  # seconds between two looks

_heard = 0


def keep(app: Celery, seconds: float) -> None:
    """Have a worker end itself after ``seconds`` without a message while messages wait."""

    def begin(**_said: Any) -> None:
        threading.Thread(target=_watch, args=(app, seconds), name="vigil", daemon=True).start()

    signals.task_received.connect(_hear)
    signals.worker_ready.connect(begin, weak=False)


def _hear(**_said: Any) -> None:
    global _heard  # noqa: PLW0603  a signal's receiver has no other place for it
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
    os._exit(errors.Unavailable.exit_code)


def _waits(app: Celery) -> bool:
    """Whether a message waits in any lane; False while the broker is away."""
    connection = app.connection_for_read()
    # The broker's client has its own errors for a connection that breaks in the middle of an answer.
    away: tuple[type[BaseException], ...] = (exceptions.KombuError, OSError, *connection.connection_errors)
    try:
        with connection:
            connection.ensure_connection(max_retries=0)
            channel: Any = connection.default_channel
            return any(channel.queue_declare(lane).message_count for lane in Lane)
    except away as error:
        log.debug("vigil-blind", reason=str(error))
        return False
