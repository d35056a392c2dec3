"""A Celery beat scheduler whose timetable is the job table.

    celery -A worker.app beat

It keeps no state that matters: any number may run at once, and one may die at any time.
"""

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import structlog
from celery import Celery, beat
from kombu import exceptions

from jobs import crashpoints, database, errors, settings
from jobs.accounts import attendance
from jobs.crashpoints import Place
from jobs.lanes import Lane
from scheduler import backlog, duties
from scheduler.duties import Again, Message, Scope

log = structlog.get_logger(__name__)

Duty = Callable[[database.Database, settings.Settings, Scope], Iterable[Message | Again]]

_DUTIES: tuple[tuple[Lane, Duty], ...] = (
    (Lane.RECONCILE, duties.reconcile),
    (Lane.RECONCILE, duties.sweep),
    (Lane.COLLECT, duties.collect),
    # Before the polls, which would use up the account's reads.
    (Lane.CANCEL, duties.cancel),
    (Lane.POLL, duties.poll),
    (Lane.SUBMIT, duties.release),
)
# What an early tick does: find free places in flight, fill them, and fetch what was in them.
_SOON = {Lane.POLL, Lane.SUBMIT, Lane.COLLECT}
_LOSSES_EVERY = 8  # whole ticks between two checks of the losses
_AWAY = 1.0  # seconds until the next try when the database or the broker is away
_SHARE = 0.2  # of the time: the most that early ticks may use up in vain
_LEAST = 0.02  # seconds between two ticks
_BACKLOG = 3  # messages a lane may have waiting before the next tick hands out more


class Timetable(beat.Scheduler):
    """One pass over the job table per tick."""

    def __init__(
        self,
        app: Celery,
        *args: Any,
        configured: settings.Settings | None = None,
        db: database.Database | None = None,
        release_only: tuple[int, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        self._settings = configured or settings.load()
        self._database = db or database.Database(self._settings.database_url)
        self._release_only = release_only
        self._backlog = backlog.Backlog(app)
        self._may_buy = True
        self._ticks = 0  # whole ones
        self._whole_at = -math.inf  # by the monotonic clock: when the next whole tick is due
        self._handed_out = 0  # messages, in this tick
        self._least = _LEAST  # shortest wait before the next tick, in seconds
        self._soon = False  # whether a duty asked to be run again soon
        self.waits_for = ""  # the error, while the database or the broker is away
        self.last_tick = time.monotonic()
        super().__init__(app, *args, **kwargs)

    def setup_schedule(self) -> None:
        """Leave beat's own timetable empty: ours is the job table."""

    def stop_buying(self) -> None:
        """Release nothing more; what is in flight is still polled, fetched and looked up."""
        self._may_buy = False

    def tick(self, *_args: Any, **_kwargs: Any) -> float:
        """Hand out everything that is due; return the seconds until the next pass.

        An exception that escaped would end beat silently.
        """
        began, times = time.monotonic(), self._settings.times
        whole, self._handed_out = began >= self._whole_at, 0
        try:
            self._soon = self._pass(whole=whole)
            self._tell("")
        except errors.Unavailable as error:
            self._tell(str(error))
            return max(_AWAY, times.tick)
        except Exception:
            log.exception("tick-broke")
            return max(_AWAY, times.tick)
        finally:
            self.last_tick = time.monotonic()
        if whole:
            self._whole_at = self.last_tick + times.tick
        in_vain = self._handed_out == 0
        share = (self.last_tick - began) / _SHARE if in_vain else 0.0
        self._least = max(_LEAST, min(times.tick, share))
        soon = times.tick_least if self._soon else times.tick
        return max(self._least, min(soon, self._whole_at - self.last_tick))

    def rest(self, seconds: float, freed: threading.Event, stopping: threading.Event) -> None:
        """Wait some seconds, or until predictions have ended: their images are to be fetched, their places filled.

        Ends early if ``stopping`` is set, too.
        """
        least = min(seconds, self._least)
        if not stopping.wait(least):
            freed.wait(seconds - least)
            freed.clear()

    def _tell(self, reason: str) -> None:
        """Log what the ticks wait for only when that begins, changes or ends, not once a second all night."""
        if reason != self.waits_for:
            log.warning("tick-waits" if reason else "tick-goes-on", reason=reason or self.waits_for)
        self.waits_for = reason

    def _pass(self, *, whole: bool) -> bool:
        """Do what is due, or only what is urgent; return whether a duty is to be run again soon."""
        soon = False
        rescues, scopes = self._look(whole=whole)
        if whole:
            self._ticks += 1
            if rescues:
                duties.rescue(self._database, self._settings)
            crashpoints.reach(Place.AFTER_RESCUE)
        for lane, duty in _DUTIES:
            if (lane is Lane.SUBMIT and not self._may_buy) or not (whole or lane in _SOON):
                continue
            due = [scope for scope, lanes in scopes if lane in lanes]
            # Asked before handing out, for nothing may be handed out without a broker. Asked once for all
            # accounts, or the messages for the first would cost the others their turn.
            if due and self._backlog.of(lane) < _BACKLOG:
                for scope in due:
                    soon = self._send(duty, scope) or soon
        if whole and self._ticks % _LOSSES_EVERY == 0:
            duties.limit_losses(self._database)
        return soon

    def _look(self, *, whole: bool) -> tuple[bool, list[tuple[Scope, Collection[Lane]]]]:
        """Return whether anything is to be rescued, and in which lanes each account has work.

        This only saves the duties from running in vain: if it fails, all of them get their turn.
        """
        with self._database.read() as tx:
            now = database.now(tx)
            scopes = [Scope(seat, self._release_only) for seat in attendance.seats(tx)]
            try:
                lanes = [duties.lanes(tx, now, self._settings, scope) for scope in scopes]
                return whole and duties.may_rescue(tx, now), list(zip(scopes, lanes, strict=True))
            except Exception as error:
                # The server is away, and every duty would fail too.
                if getattr(error, "connection_invalidated", False):
                    raise
                log.exception("look-broke")
                return True, [(scope, tuple(Lane)) for scope in scopes]

    def _send(self, duty: Duty, scope: Scope) -> bool:
        """Do one duty and send its messages; return whether it asks to be run again soon.

        A duty that fails must not keep the others from running.
        """
        soon = False
        try:
            for item in duty(self._database, self._settings, scope):
                if isinstance(item, Again):
                    soon = True
                    continue
                crashpoints.reach(Place.BEFORE_MESSAGE)
                self.app.send_task(item.lane, args=item.args, queue=item.lane)
                self._handed_out += 1
                crashpoints.reach(Place.AFTER_MESSAGE)
        except errors.Unavailable:
            raise
        except exceptions.OperationalError as error:
            # What was just handed out is due again after its lease; the next tick checks the broker first.
            raise errors.Unavailable(f"the broker is away: {error}") from error
        except Exception:
            log.exception("duty-broke", duty=duty.__name__)
        return soon
