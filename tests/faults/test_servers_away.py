"""The broker, or the database, goes away in the middle of a night and comes back: every process goes on by itself."""

import pytest

from jobs.states import State
from tests.faults import installation, nights

JOBS = 150


@pytest.fixture
def night(install, start_sandbox, postgres, broker):
    """An installation at work, with a person who watches it."""
    sandbox = start_sandbox(latency=0.3, creates_per_minute=0, reads_per_minute=0, output_size=64)
    night = install(sandbox, JOBS, database_url=postgres.url, broker_url=broker.url, creates_per_minute=1200)
    night.processes = [night.worker(), night.worker(), night.scheduler()]
    night.watcher = night.start("run", str(night.manifest))
    nights.eventually(lambda: night.count(State.SUCCEEDED) > JOBS // 10)
    return night


@pytest.mark.parametrize("server", ["broker", "postgres"])
def test_a_server_that_comes_back_finds_everybody_at_work_again(server, night, request):
    server = request.getfixturevalue(server)

    server.go()
    nights.eventually(lambda: "tick-waits" in night.log.read_text())
    server.come_back()

    assert night.watcher.wait(timeout=120) == 0, night.words()
    assert [process.poll() for process in night.processes] == [None] * 3, "the same processes all along"
    # What was handed out twice while the server was away may still be fetched a second time.
    assert [installation.end(process) for process in night.processes] == [0] * 3
    report = night.check()
    assert report.clean, str(report)
    assert report.accepted == JOBS


def test_a_scheduler_that_is_asked_to_end_does_not_wait_for_a_broker_that_hangs(night, broker):
    *_, scheduler = night.processes
    broker.freeze()
    assert installation.end(scheduler, seconds=5) == 0, "the broker alone would be waited for 10 s"
