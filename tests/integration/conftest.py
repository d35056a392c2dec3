"""Fixtures for tests that need the whole of something real."""

import signal

import pytest

from tests.integration import rehearsal, stepped, typed


@pytest.fixture
def start_sandbox(tmp_path):
    """Start sandboxes: `start_sandbox(latency=0, faults={"exec_and_drop": 0.05})`; they end with the test."""
    started = []

    def start(**options):
        sandbox = rehearsal.Sandbox(tmp_path / f"sandbox-{len(started)}", **options)
        started.append(sandbox)
        return sandbox

    yield start
    for sandbox in started:
        sandbox.stop(signal.SIGKILL)


@pytest.fixture
def begin(database, tmp_path, start_sandbox):
    """Begin a night at a sandbox with these options."""
    nights = []

    def begin(**options):
        sandbox = start_sandbox(
            **{"reads_per_minute": 0, "creates_per_minute": 0, "output_size": 64} | options
        )
        nights.append(stepped.Night(database, sandbox.url, tmp_path / "outputs", price="0.25"))
        nights[-1].sandbox = sandbox
        return nights[-1]

    yield begin
    for night in nights:
        night.close()


@pytest.fixture
def desk(sqlite_database):
    """A folder with a database and a batch, where commands can be typed."""
    return typed.Desk(sqlite_database)
