"""Notice that a newer program has upgraded the database: a program that still runs must stop writing.

At the start `readiness` checks it; this is for a worker that has been up for a month.
"""

import threading
from collections.abc import Callable
from contextlib import closing

import structlog

from jobs import database
from jobs.settings import Settings

log = structlog.get_logger(__name__)


def refusal(settings: Settings) -> str | None:
    """Return why this program must end, if it must. Leaves no connection open: a worker may fork at any time."""
    from migrations import schema

    with closing(database.Database(settings.database_url)) as db:
        return schema.outgrown(db)


class Watch:
    """Checks every minute in a thread of its own, and calls ``end`` when this program must end, or else ``go_on``."""

    def __init__(
        self, settings: Settings, end: Callable[[], None], go_on: Callable[[], None] = lambda: None
    ) -> None:
        self.refusal: str | None = None
        self._settings = settings
        self._end = end
        self._go_on = go_on
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="schema", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def _ask(self) -> None:
        while not self._over.wait(self._settings.times.schema):
            try:
                if self._is_over():
                    return
            except Exception:  # what breaks now may work in a minute; without a watch, nobody would be told
                log.exception("watch-broke")

    def _is_over(self) -> bool:
        self.refusal = refusal(self._settings)
        if self.refusal:
            self._end()
        else:
            self._go_on()
        return self.refusal is not None
