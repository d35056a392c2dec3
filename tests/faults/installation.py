"""A distributed installation as tests live it: PostgreSQL, Redis, and the real processes, each one mortal."""

import os
import signal
import subprocess

import redis
import sqlalchemy as sa

from jobs.tables import accounts
from tests.faults import nights


class Installation(nights.Night):
    """A night whose work is done by workers and a scheduler, started and killed at will."""

    def __init__(self, folder, sandbox, jobs, *, database_url, broker_url, **settings):
        super().__init__(folder, sandbox, jobs, database_url=database_url, broker_url=broker_url, **settings)
        self.output.mkdir()
        self.started = []

    def start(self, *command, **more):
        self.started.append(super().start(*command, **more))
        return self.started[-1]

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

    def close(self):
        """End what still runs, children and all, and wait for it."""
        for process in self.started:
            kill_group(process)


def kill_group(process):
    """End a process and its children as a power cut would."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end(process, number=signal.SIGTERM, seconds=30):
    """Ask a process to end and return its exit code."""
    process.send_signal(number)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"still there {seconds} s after signal {number}") from None
