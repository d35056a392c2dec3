"""The main thread of `run`: look at the batch until it is finished, is halted, or somebody asks to stop."""

import time
from dataclasses import dataclass, field
from enum import Enum, auto

import structlog

from jobs import batches, commands, database, errors, events, figures
from jobs.events import EventKind
from jobs.reports import limits, status
from jobs.reports.limits import Kind, Limit
from jobs.reports.status import Counts, Progress
from jobs.settings import Settings
from jobs.states import State
from overnight.display import live, words
from overnight.run import impasse
from overnight.run.embedded import Embedded
from overnight.run.impasse import Impasse
from overnight.run.lock import Lock
from overnight.run.signals import Signals
from overnight.run.slumber import Clocks
from overnight.run.stillness import Stillness
from worker import readiness

log = structlog.get_logger(__name__)

_AWAY = 0.5  # seconds between two looks at a database that is away
_WINK = 0.1  # seconds within which a signal is noticed


class End(Enum):
    """Why the watch ended."""

    FINISHED = auto()
    HALTED = auto()
    INTERRUPTED = auto()
    FREE = auto()  # whoever worked on the database is gone, and the batch is not finished


@dataclass
class Watch:
    """Follows one batch; with an engine it also checks that the engine's threads still work."""

    db: database.Database
    settings: Settings
    batch: batches.Batch
    shown: live.Display
    signals: Signals
    flags: str
    engine: Embedded | None = None
    lock: Lock | None = None  # held by another process that works; when it is free, so is the work
    _stopped: bool = False
    _away: bool = False  # the database
    _deserted: bool = False
    _clocks: Clocks = field(default_factory=Clocks)
    _stillness: Stillness = field(init=False)
    _impasse: Impasse = field(init=False)

    def __post_init__(self) -> None:
        self._stillness = Stillness(self.settings, readiness.reach_broker)
        self._impasse = Impasse(self.settings.times.lease)

    def until_the_end(self) -> End:
        """Look several times a second; return why the watch ended."""
        while True:
            began = time.monotonic()
            try:
                progress = self._look()
            except errors.Unavailable as error:
                self._bear(error)
                if self.signals.stop:
                    return End.INTERRUPTED
                continue
            if (end := self._end(progress)) is not None:
                return end
            if self.engine and (fallen := self.engine.fallen()):
                raise RuntimeError(f"the thread {fallen} has ended or hangs")
            if self.signals.stop and not self._stopped:
                self._stop(progress)
            self._notice_sleep()
            self._rest(live.rest(time.monotonic() - began))

    def _look(self) -> Progress:
        with self.db.read() as tx:
            progress = status.progress(tx, self.batch.id)
        self._away = False
        moment = time.monotonic()
        self.shown.quota = limits.in_force(progress, self.settings).creates_per_minute
        self.shown.update(progress, self._limit(progress, moment), moment)
        return progress

    def _bear(self, error: errors.Unavailable) -> None:
        """Wait for a database server that is away, as the workers do; raise if the database is a file."""
        if self.db.path is not None:
            raise error
        if not self._away:
            words.say(f"{error}; waiting for it")
        self._away = True
        time.sleep(_AWAY)

    def _limit(self, progress: Progress, moment: float) -> Limit:
        """Return what limits: what this process knows itself takes precedence over the tables."""
        if self._stopped:
            stopping = f"stopping, {_left(progress.counts)}"
            if away := limits.held_back(progress, self.flags):
                return Limit(away.kind, f"{stopping}; {away}")
            return Limit(Kind.PAUSED, stopping)
        if self.engine and self.engine.waits_for:
            return Limit(Kind.OUTAGE, f"{self.engine.waits_for}; trying again")
        if self.lock is not None and (held := self.lock.holder())[1] != self.batch.name:
            return Limit(
                Kind.WORKERS, f"its turn comes after batch {held[1]}, on which process {held[0]} is working"
            )
        limit = limits.current(progress, self.settings, self.flags)
        return self._judged(progress, limit, moment) if self.db.path is None else limit

    def _judged(self, progress: Progress, limit: Limit, moment: float) -> Limit:
        """Return what limits the work of others; if nobody works, say so once."""
        still = self._stillness.judge(progress, limit, moment)
        if still and not self._deserted:
            words.say(f"{progress.batch.name}: {still}")
        self._deserted = still is not None
        return still or limit

    def _end(self, progress: Progress) -> End | None:
        if progress.finished:
            return End.INTERRUPTED if self.signals.stop else End.FINISHED
        if self.signals.stop and not self.signals.patient:
            return End.INTERRUPTED
        if self.signals.stop and self.engine is None:
            return self._detach(progress)
        if self.lock is not None and self.lock.take(self.batch.name):
            return End.FREE
        in_vain = self._impasse.reached(progress, time.monotonic())
        buys_nothing = self._stopped or impasse.is_halted(progress)
        if buys_nothing and (in_vain or not progress.counts.under_way):
            return End.INTERRUPTED if self._stopped else End.HALTED
        return None

    def _detach(self, progress: Progress) -> End:
        """Leave the work to those who do it."""
        if self.lock is not None:
            words.say(f"no longer watching; process {self.lock.holder()[0]} goes on")
        elif self.settings.broker_url:
            again = commands.line(self.flags, "run", progress.batch.name)
            words.say(f"no longer watching: the scheduler and the workers go on; to watch again: {again}")
        return End.INTERRUPTED

    def _stop(self, progress: Progress) -> None:
        self._stopped = True
        if self.engine:
            words.say(
                f"stopping: nothing more is bought; {_left(progress.counts)} "
                "(Ctrl-C again leaves at once; nothing is lost either way)"
            )
            self.engine.stop_buying()

    def _notice_sleep(self) -> None:
        """Record that the machine slept: leases have ended. The tick recovers them, but the user should know."""
        if not (slept := self._clocks.slept()):
            return
        log.warning("machine-slept", seconds=round(slept))
        try:
            with self.db.write() as tx:
                detail = f"for {slept:.0f} s"
                events.record(tx, database.now(tx), self.batch.id, EventKind.SLEPT, detail)
        except errors.Unavailable as error:
            log.warning("event-not-written", reason=str(error))

    def _rest(self, seconds: float) -> None:
        """Sleep, but not through a signal: counting a million jobs makes the pauses long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and (self._stopped or not self.signals.stop):
            time.sleep(min(_WINK, left))


def _left(counts: Counts) -> str:
    """Say what a run that stops still waits for; a look-up may take minutes.

    >>> _left(Counts({State.RUNNING: 2})), _left(Counts({State.UNCONFIRMED: 1, State.COLLECTING: 1}))
    ('2 jobs still to fetch', '1 job still to fetch, 1 send still to be looked up')
    """
    in_doubt = counts.of(State.UNCONFIRMED)
    fetched = f"{figures.counted(counts.under_way - in_doubt, 'job')} still to fetch"
    return f"{fetched}, {figures.counted(in_doubt, 'send')} still to be looked up" if in_doubt else fetched
