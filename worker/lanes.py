"""One Celery worker per lane, each in a thread of this process: no lane waits behind another.

An app selects its queues once for all its workers, so each lane has its own app; they share the in-memory
broker. `submit` and `collect` have several threads, because a POST that hangs or an image that trickles in
must not hold up the next ones.
"""

import threading

import celery.worker.strategy  # noqa: F401  a worker imports it by name when it starts
import structlog
from celery.worker import WorkController, state

from jobs import settings
from jobs.lanes import Lane
from worker import app

log = structlog.get_logger(__name__)

_THREADS = {Lane.SUBMIT: 4, Lane.COLLECT: 4}


class Lanes:
    """The worker threads of an embedded run."""

    def __init__(self, configured: settings.Settings) -> None:
        state.should_stop = state.should_terminate = None
        # Created one after another, before any thread starts: Celery imports its parts by name when it
        # creates a worker, and threads that import from one package at once can deadlock until Python breaks
        # the deadlock with an error.
        self._threads = [
            threading.Thread(
                target=_serve, args=(lane, _worker(lane, configured)), name=f"lane-{lane}", daemon=True
            )
            for lane in Lane
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def fallen(self) -> str | None:
        """Return the name of a lane whose thread has ended, if any; the process must not go on without it."""
        return next((thread.name for thread in self._threads if not thread.is_alive()), None)

    def stop(self, within: float) -> None:
        """Let each lane finish its current task, for at most ``within`` seconds."""
        state.should_stop = 0  # type: ignore[assignment]  # an exit code; the stubs know None only
        for thread in self._threads:
            thread.join(within)


def _worker(lane: Lane, configured: settings.Settings) -> WorkController:
    threads = _THREADS.get(lane, 1)
    return app.create(configured).WorkController(
        hostname=f"{lane}@embedded",
        queues=[lane],
        pool="threads" if threads > 1 else "solo",
        concurrency=threads,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )


def _serve(lane: Lane, worker: WorkController) -> None:
    try:
        worker.start()
    except Exception:
        log.exception("lane-fell", lane=lane)
