import os
import secrets
import tempfile
from pathlib import Path

import pytest

from tests.faults import installation, nights, servers
from tests.integration import rehearsal

# Only root can mount a disk for a test.
collect_ignore = [] if os.geteuid() == 0 else ["test_full_disk.py"]


@pytest.fixture
def start_sandbox(tmp_path):
    """Return a function that starts a sandbox of its own; each is ended with the test."""
    started = []

    def start(**options):
        started.append(rehearsal.Sandbox(tmp_path / f"sandbox-{len(started)}", **options))
        started[-1].token = f"canary-{secrets.token_hex(12)}"  # a word that occurs nowhere else
        return started[-1]

    yield start
    for sandbox in started:
        sandbox.stop()


@pytest.fixture
def begin(tmp_path):
    """Return a function that makes a night of one process; whatever still runs is killed after the test."""
    made = []

    def make(sandbox, jobs, **settings):
        made.append(nights.Night(tmp_path, sandbox, jobs, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def install(tmp_path):
    """Return a function that makes an installation; all its processes are killed after the test."""
    made = []

    def make(sandbox, jobs, **settings):
        made.append(installation.Installation(tmp_path, sandbox, jobs, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def broker():
    """A broker of the test's own."""
    started = servers.Broker()
    yield started
    started.close()


@pytest.fixture
def postgres(postgres_server):  # noqa: ARG001  that fixture imports the library as it must be
    """A database server of the test's own."""
    with tempfile.TemporaryDirectory(prefix="overnight-") as folder:
        started = servers.Postgres(Path(folder))
        yield started
        started.close()
