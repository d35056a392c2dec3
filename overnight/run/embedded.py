"""A whole overnight in one process: worker threads, the scheduler's thread, and no server to install."""

import threading
import time

import structlog

from jobs import batches, crashpoints, database, errors, lifecycle
from jobs.accounts import attendance
from jobs.settings import Settings
from scheduler import duties
from scheduler.timetable import Timetable
from worker import app, context, lanes
from worker.tasks import cancel, reconcile
from worker.transfers import storing

log = structlog.get_logger(__name__)

# Seconds without a tick after which the scheduler's thread counts as stuck: longer than it may wait for its turn to
# write and then for another program that has the database locked.
_SILENT = 120.0
_GRACE = 0.1  # seconds for each lane: an idle one checks only every two, and there is nothing left to do
_LOOK = 10.0  # seconds of silence that one look may add: in a process that was stopped, no thread could tick


class Embedded:
    """Works on one SQLite database while it holds its lock."""

    def __init__(self, settings: Settings, db: database.Database, batch_id: int) -> None:
        self._settings = settings
        self._database = db
        self._batch_id = batch_id
        self._freed = threading.Event()
        self._contexts = context.start(settings, db, self._freed.set)
        celery = app.configure(settings)
        app.hold(*self._contexts)
        self._lanes = lanes.Lanes(settings)
        self._timetable = Timetable(celery, configured=settings, db=db, release_only=(batch_id,), lazy=True)
        self._stopping = threading.Event()
        self._started = False
        self._looked = time.monotonic()
        self._silence = 0.0
        self._clock = threading.Thread(target=self._tick, name="scheduler", daemon=True)

    def start(self) -> int:
        """Take over what a dead process left, and begin. Return how many sends are in doubt."""
        with self._database.write() as tx:
            doubtful = lifecycle.take_over(tx, database.now(tx), self._settings.times.settle_after)
        crashpoints.reach(crashpoints.Place.AFTER_TAKEOVER)
        self._lanes.start()
        self._clock.start()
        # In the background: a folder may hold a million files.
        threading.Thread(
            target=storing.sweep, args=[self._settings.output], name="sweep", daemon=True
        ).start()
        self._started = True
        return doubtful

    def _tick(self) -> None:
        while not self._stopping.is_set():
            self._timetable.rest(self._timetable.tick(), self._freed, self._stopping)

    @property
    def waits_for(self) -> str:
        """Why nothing can be handed out now, for example a full disk of the database; empty while it can."""
        return self._timetable.waits_for

    def stop_buying(self) -> None:
        """Buy nothing more; what is in flight is still fetched."""
        self._timetable.stop_buying()
        try:
            with self._database.write() as tx:
                lifecycle.rescue(tx, database.now(tx), expired_only=False)
        except errors.Unavailable as error:  # a full disk: what was handed out is taken back by the next run
            log.warning("stop-not-written", reason=str(error))

    def fallen(self) -> str | None:
        """Return which thread has ended or hangs, if any."""
        if not self._clock.is_alive() or self._is_silent():
            return self._clock.name
        return self._lanes.fallen()

    def _is_silent(self) -> bool:
        before, self._looked = self._looked, time.monotonic()
        ticked = self._timetable.last_tick >= before
        self._silence = 0.0 if ticked else self._silence + min(_LOOK, self._looked - before)
        return self._silence > _SILENT

    def close(self) -> None:
        """End the threads; what they have not written becomes due again. A finished batch is looked over first.

        If the engine was started, its HTTP loop ends only with the program: a task may still wait for answers.
        """
        self._stopping.set()
        self._freed.set()
        if not self._started:
            context.close(self._contexts)
            return
        self._look_over()
        self._clock.join(5)
        self._lanes.stop(within=_GRACE)

    def _look_over(self) -> None:
        """If the batch is finished, sweep the list for predictions that no row knows, and cancel the orphans.

        Done here and not by a worker, since the process is about to end; what fails now is left to the next run.
        """
        try:
            with self._database.read() as tx:
                if batches.unfinished(tx, self._batch_id):
                    return
                scopes = [duties.Scope(seat) for seat in attendance.seats(tx)]
            for scope in scopes:
                self._look_over_at(scope)
        except errors.OvernightError as error:
            log.warning("not-looked-over", reason=str(error))

    def _look_over_at(self, scope: duties.Scope) -> None:
        here = app.held(scope.account_id)
        if here is None or not duties.sweep_now(self._database, self._settings, scope):
            return
        reconcile.look(here, sweeping=True)
        for message in duties.cancel(self._database, self._settings, scope):
            cancel.cancel(*message.args)
