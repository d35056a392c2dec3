"""Fixtures for tests that need the whole of something real."""

import signal

import pytest

from tests.integration import place as places
from tests.integration import rehearsal, stepped, typed

BOUNDLESS = {"reads_per_minute": 0, "creates_per_minute": 0}


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
def sandbox(start_sandbox):
    """A sandbox that sells, and answers, as much as it is asked for."""
    return start_sandbox(**BOUNDLESS)


@pytest.fixture
def begin_night(database, tmp_path):
    """Begin nights at a sandbox that is there: `begin_night(sandbox, lease="4s")`; they end with the test."""
    nights = []

    def begin(sandbox, kind=stepped.Night, **settings):
        nights.append(kind(database, sandbox.url, tmp_path / f"outputs-{len(nights)}", **settings))
        nights[-1].sandbox = sandbox
        return nights[-1]

    yield begin
    for night in nights:
        night.close()


@pytest.fixture
def night(begin_night, sandbox):
    return begin_night(sandbox)


@pytest.fixture
def begin(begin_night, start_sandbox):
    """Begin a night at a sandbox with these options."""
    return lambda **options: begin_night(start_sandbox(**BOUNDLESS | options), price="0.25")


@pytest.fixture
def desk(sqlite_database):
    """A folder with a database and a batch, where commands can be typed."""
    return typed.Desk(sqlite_database)


@pytest.fixture
def place(tmp_path, postgres_url, redis_url):
    """A folder with the settings of an installation on servers."""
    made = places.Place(tmp_path, OVERNIGHT_DATABASE_URL=postgres_url, OVERNIGHT_BROKER_URL=redis_url)
    yield made
    made.close()
