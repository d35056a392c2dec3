"""How a worker ends: at a first request after finishing what it has begun; at a second, or a SIGQUIT, at once.

Celery's own worker ignores a second SIGTERM, and waits after a SIGQUIT.
"""

import os
import signal
from types import FrameType
from typing import Any

from celery import signals

_INTERRUPTED = 130
_FIRST = os.getpid()  # of the process that may fork

_heard: list[str] = []


def asked() -> bool:
    """Whether this worker was asked to end."""
    return bool(_heard)


def listen() -> None:
    """Listen to Celery's signals that a worker of this process is ready, or is asked to end."""
    signals.worker_process_init.connect(_stay)
    signals.worker_ready.connect(_begin)
    signals.worker_shutting_down.connect(_end)


def _stay(**_said: Any) -> None:
    """Leave it to the worker to end a child of its: systemd asks them all, and a child would end amid a purchase.

    A pool without children sends Celery's signal in the worker itself.
    """
    if os.getpid() == _FIRST:
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _begin(**_said: Any) -> None:
    signal.signal(signal.SIGQUIT, _leave)


def _end(sig: str, **_said: Any) -> None:
    _heard.append(sig)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once, between any two instructions: every row says what is to be done next.

    The children end too: on Linux by the kernel, elsewhere after their current task.
    """
    os._exit(_INTERRUPTED)
