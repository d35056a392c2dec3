"""How many messages of a lane no worker has taken yet. Asks the broker, on a connection of its own."""

from celery import Celery
from kombu import exceptions

from jobs import errors
from jobs.lanes import Lane


class Backlog:
    """Counts the messages that wait at the broker."""

    def __init__(self, app: Celery) -> None:
        self._connection = app.connection_for_write()
        self._errors: tuple[type[BaseException], ...] = (
            exceptions.OperationalError,
            *self._connection.connection_errors,
        )

    def of(self, lane: Lane) -> int:
        """Return how many messages wait. Raises `errors.Unavailable` while the broker is away."""
        try:
            self._connection.ensure_connection(max_retries=0)  # by default it would retry for ever
            declared = self._connection.default_channel.queue_declare(lane)  # type: ignore[attr-defined]  # kombu's channels have it, its stubs not
        except self._errors as error:
            raise errors.Unavailable(f"the broker is away: {error}") from error
        return int(declared.message_count)
