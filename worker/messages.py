"""Drops whatever is in a queue but is no message, so that the worker goes on.

Celery itself refuses unknown tasks and formats that are not allowed. Anything that is not even a message
would end the worker: one stray byte in Redis would stop the night.
"""

from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis

log = structlog.get_logger(__name__)


class Channel(redis.Channel):
    """Takes messages off Redis one by one."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs leave it out
        except (Empty, *self.connection_errors):  # type: ignore[attr-defined]  # the same
            raise
        except Exception as error:  # noqa: BLE001  a message is only a hint: its row will be due again
            log.warning("message-dropped", reason=type(error).__name__)
            return True


class Transport(redis.Transport):
    """Redis as Celery knows it, with our way of reading it."""

    Channel = Channel
