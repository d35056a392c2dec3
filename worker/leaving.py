"""How a worker ends: asked once, when it has ended what it has begun; asked again, or by SIGQUIT, at once.

Celery's own worker lets a second SIGTERM go unheard, and waits after a SIGQUIT.
"""

import os
import signal
from types import FrameType
from typing import Any

from celery import signals

_INTERRUPTED = 130

_heard: list[str] = []


def asked() -> bool:
    """Whether somebody asked this worker to end."""
    return bool(_heard)


def listen() -> None:
    """Have Celery say when a worker of this process begins and when it is asked to end."""
    signals.worker_ready.connect(_begin)
    signals.worker_shutting_down.connect(_end)


def _begin(**_said: Any) -> None:
    signal.signal(signal.SIGQUIT, _leave)


def _end(sig: str, **_said: Any) -> None:
    _heard.append(sig)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End between two instructions: every row says what is to be done next.

    The children go with it: on Linux the kernel sees to that, elsewhere they end with the task they are at.
    """
    os._exit(_INTERRUPTED)
