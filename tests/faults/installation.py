"""A distributed installation for tests: PostgreSQL, Redis, and the real processes, each of which may be killed."""

import signal
import subprocess

import redis
import sqlalchemy as sa

from jobs.tables import accounts
from tests.faults import nights


class Installation(nights.Night):
    """A night whose work is done by workers and a scheduler, which tests start and kill at will."""

    def __init__(self, folder, sandbox, jobs, *, database_url, broker_url, **settings):
        super().__init__(folder, sandbox, jobs, database_url=database_url, broker_url=broker_url, **settings)
        self.output.mkdir()

    def worker(self, children=2):
        return self.start("worker", f"--concurrency={children}")

    def scheduler(self):
        return self.start("scheduler")

    def flush(self):
        """Make the broker forget everything."""
        with redis.Redis.from_url(self.environment["OVERNIGHT_BROKER_URL"]) as client:
            client.flushall()

    def accounts(self):
        return self.counted(accounts, sa.true())


def end(process, number=signal.SIGTERM, seconds=30):
    """Ask a process to end and return its exit code."""
    process.send_signal(number)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"still there {seconds} s after signal {number}") from None
