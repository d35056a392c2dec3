"""What `celery worker` and `celery beat` must do that our own commands do themselves."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import structlog
from celery import signals

from jobs import errors, settings
from worker import enrolment, outgrown, readiness

log = structlog.get_logger(__name__)


def load() -> settings.Settings:
    """Read the settings, or end with what is wrong with them."""
    try:
        return settings.load()
    except errors.OvernightError as error:
        _refuse(error)


def listen(configured: settings.Settings) -> None:
    """Have Celery's commands check at their start what ours check."""

    def work(**_said: Any) -> None:
        _start(configured, "worker", go_on=lambda: enrolment.attend(configured))

    def schedule(**_said: Any) -> None:
        _start(configured, "scheduler")

    signals.celeryd_init.connect(work, weak=False)
    signals.beat_init.connect(schedule, weak=False)


def _start(configured: settings.Settings, who: str, go_on: Callable[[], None] = lambda: None) -> None:
    try:
        readiness.require(configured, who)
        if who == "worker":
            enrolment.enrol(configured)
    except errors.OvernightError as error:  # Celery would only log any other exception
        _refuse(error)
    readiness.warn(configured)

    def end() -> None:
        log.critical("database-outgrown", reason=watch.refusal)
        os.kill(os.getpid(), signal.SIGTERM)

    watch = outgrown.Watch(configured, end, go_on)
    watch.start()


def _refuse(error: errors.OvernightError) -> NoReturn:
    sys.stderr.write(f"overnight: {error}\n")
    raise SystemExit(error.exit_code) from error
