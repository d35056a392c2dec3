"""A worker freezes for longer than its lease and then goes on: what it writes late changes nothing."""

import pytest

from jobs.crashpoints import VARIABLE, Place
from jobs.states import Phase
from jobs.tables import attempts
from tests.faults import installation, nights, processes

JOBS = 40
EVERY_TIME = [Place.AFTER_POST_RESPONSE, Place.BEFORE_STORED_COMMIT]
IN_FULL = [Place.DURING_POST, Place.BEFORE_IDS_COMMIT, Place.BEFORE_ENDS_COMMIT, Place.AFTER_RENAME]
HARMLESS = [*EVERY_TIME, *(pytest.param(place, marks=pytest.mark.long) for place in IN_FULL)]


@pytest.fixture
def stand_still(install, start_sandbox, postgres_url, redis_url):
    """Return a function that runs a night in which one worker freezes at a place, and then goes on."""

    def live(place):
        sandbox = start_sandbox(creates_per_minute=0, reads_per_minute=0, output_size=64)
        night = install(
            sandbox,
            JOBS,
            database_url=postgres_url,
            broker_url=redis_url,
            price=0.25,
            creates_per_minute=1200,
        )
        night.remember()
        doomed = night.start("worker", "--concurrency=1", **{VARIABLE: f"{place}:1:stop"})
        night.scheduler()
        watcher = night.start("run", str(night.manifest))
        nights.eventually(lambda: processes.stopped(doomed.pid))
        night.worker()
        assert watcher.wait(timeout=100) == 0, night.words()
        processes.go_on(doomed.pid)
        assert installation.end(doomed) == 0, night.words()
        return night

    return live


@pytest.mark.parametrize("place", HARMLESS, ids=str)
def test_a_writer_whose_lease_is_over_loses(place, stand_still):
    night = stand_still(place)

    report = night.check()
    assert report.clean, str(report)
    assert report.accepted == JOBS


def test_a_send_that_leaves_long_after_it_was_checked_is_a_surplus_that_nobody_overlooks(stand_still):
    night = stand_still(Place.BEFORE_POST)

    surplus = night.bought() - JOBS
    assert surplus in {0, 1}, "it waits in one process, which was to send one at that moment"
    assert night.counted(attempts, attempts.c.phase == Phase.ORPHAN) == surplus
    report = night.check()
    assert len(report.against("D")) == surplus, str(report)
    assert not report.against(*(f"I{number}" for number in range(1, 15))), str(report)
