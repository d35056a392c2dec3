"""What becomes of something in a queue that is no message: it is dropped, and the worker goes on.

Celery refuses tasks that it does not know and formats that it is not to read. What is not even a message ends its
worker: one stray byte in Redis, whoever put it there, would stop the night.
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
        except Exception as error:  # noqa: BLE001  a message is a hint: whatever it trips over, the row is due again
            log.warning("message-dropped", reason=type(error).__name__)
            return True


class Transport(redis.Transport):
    """Redis as Celery knows it, with our way of reading it."""

    Channel = Channel
