"""`overnight scheduler`: decide what is due and hand it to the workers. One is enough; more do no harm."""

import click

from jobs.settings import Settings
from overnight import options
from overnight.exits import Exit

_PATIENCE = 1.5  # seconds that a tick may take to finish after SIGTERM


@click.command()
@options.probe
@options.with_settings
def command(settings: Settings, *, probe: bool) -> None:
    """Go over the job table, tick by tick, until SIGTERM."""
    from jobs import logs
    from overnight import flags, onlooker
    from worker import readiness

    readiness.require(settings, "scheduler", flags.typed(settings))
    if probe:
        onlooker.probe(settings)
        return
    readiness.warn(settings)
    logs.to_stderr(settings.secrets)
    _schedule(settings)


def _schedule(settings: Settings) -> None:
    import signal
    import time

    from jobs import errors
    from scheduler.timetable import Timetable
    from worker import app, outgrown

    timetable = Timetable(app.configure(settings), configured=settings, lazy=True)
    asked: list[int] = []

    def end(number: int, _frame: object) -> None:
        # Nothing here may take a lock: the main thread, in which this runs, may be holding it.
        asked.append(number)
        _leave_later()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    watch = outgrown.Watch(settings, end=lambda: None)
    watch.start()
    while not asked:
        time.sleep(timetable.tick())
        if watch.refusal:
            raise errors.Unavailable(watch.refusal)
    # It ends by itself now. Cancel the alarm: at exit Python removes its handler, and SIGALRM would kill.
    signal.setitimer(signal.ITIMER_REAL, 0)


def _leave_later() -> None:
    """Exit soon even if a tick hangs on a dead server: what it handed out is due again after its lease."""
    import os
    import signal

    signal.signal(signal.SIGALRM, lambda *_: os._exit(Exit.NONE_FAILED))
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
