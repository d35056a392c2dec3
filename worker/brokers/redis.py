"""How much of what is in a queue is believed: whoever can write to the broker must not be able to end a worker.

Celery itself refuses unknown tasks and formats that are not allowed. Anything that is not even a message
would end the worker, so it is dropped: one stray byte in Redis would stop the night.
"""

from queue import Empty
from typing import Any

import structlog
from celery.worker import request
from kombu.transport import redis
from redis.exceptions import ResponseError

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
    """Redis as Celery knows it, with our way of reading it.

    What answers every command with an error, such as a replica that only reads, or one that has just become one, is as
    good as away: Celery would end the worker, or ask again at once, for ever.
    """

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)


class Request(request.Request):
    """A message whose own time limit is ignored: it could kill a child that has just bought, again and again."""

    @property
    def time_limits(self) -> tuple[None, None]:
        return None, None

    @time_limits.setter
    def time_limits(self, _: object) -> None:
        """Celery sets here what the message says."""
