"""`overnight worker`: do the work of a distributed installation. Any number, on any number of hosts."""

import os

import click

from jobs.settings import Settings
from overnight import options
from overnight.exits import Exit


@click.command()
@click.option(
    "--concurrency", type=click.IntRange(1, 16), default=4, show_default=True, help="Child processes."
)
@options.probe
@options.with_settings
def command(settings: Settings, concurrency: int, *, probe: bool) -> Exit:
    """Submit, poll, fetch and look up what the scheduler hands out, until SIGTERM.

    A second SIGTERM, or SIGQUIT, ends it at once; nothing is lost by it.
    """
    from jobs import logs
    from overnight import flags, onlooker
    from worker import readiness

    readiness.require(settings, "worker", flags.typed(settings))
    if probe:
        onlooker.probe(settings)
        return Exit.NONE_FAILED
    settings.require_credentials()
    readiness.warn(settings)
    logs.to_stderr(settings.secrets)
    return _work(settings, concurrency)


def _work(settings: Settings, concurrency: int) -> Exit:
    import signal
    import socket

    from jobs import errors
    from worker import app, enrolment, leaving, outgrown, sharing

    enrolment.enrol(settings)
    sharing.watch(settings)
    _pass_on(settings)
    watch = outgrown.Watch(
        settings,
        end=lambda: os.kill(os.getpid(), signal.SIGTERM),
        go_on=lambda: enrolment.attend(settings),
    )
    worker = app.configure(settings).Worker(
        hostname=f"{os.getpid()}@{socket.gethostname()}",  # two on one host must differ
        concurrency=concurrency,
        pool="prefork",
        without_gossip=True,
        without_mingle=True,
        loglevel="WARNING",
        quiet=True,
    )
    watch.start()
    worker.start()
    watch.stop()
    if watch.refusal:
        raise errors.Unavailable(watch.refusal)
    if not worker.exitcode:
        return Exit.NONE_FAILED
    return Exit.INTERRUPTED if leaving.asked() else Exit.BUG


def _pass_on(settings: Settings) -> None:
    """Let child processes that are spawned rather than forked read the same settings."""
    os.environ["OVERNIGHT_DATABASE_URL"] = settings.database_url
    os.environ["OVERNIGHT_OUTPUT"] = str(settings.output)
    os.environ["OVERNIGHT_API_URL"] = settings.api.url
