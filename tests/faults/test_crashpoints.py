"""Every named place is reached, and nothing is lost by a process that dies or breaks there."""

import signal

import pytest

from jobs import tables
from jobs.crashpoints import Place
from jobs.states import State
from tests.faults import nights, places


@pytest.fixture(params=list(Place), ids=str)
def place(request):
    return request.param


@pytest.fixture
def scene(place):
    return places.scene(place)


@pytest.fixture
def night(scene, tmp_path, begin, start_sandbox):
    night = places.stage(scene, tmp_path, begin, start_sandbox)
    if scene.command == "run":
        night.remember()
    return night


def test_killed_there_the_same_command_goes_on(place, scene, night):
    assert places.strike(night, scene, place, "kill") == -signal.SIGKILL, night.words()

    assert night.run(*scene.typed(night)) == 0, night.words()
    assert_all_is_well(night, scene)
    before = night.bought()
    assert night.run(*scene.typed(night)) == 0, night.words()
    assert night.bought() == before, "the same command again buys nothing"


@pytest.mark.long
def test_a_fault_of_our_own_there_loses_nothing(place, scene, night):
    code = places.strike(night, scene, place, "raise")

    assert was_struck(night), night.words()
    if code != 0:
        assert night.run(*scene.typed(night)) == 0, night.words()
    assert_all_is_well(night, scene)


def was_struck(night):
    """Whether the fault left a trace: in a log, or, if on the wire, as the error of an attempt."""
    struck = tables.attempts.c.error_message.contains("Struck")
    return "Struck" in night.diary() or night.counted(tables.attempts, struck)


def assert_all_is_well(night, scene):
    if scene.command == "load":
        assert night.count(State.PENDING) == scene.jobs
        assert not night.check().against("I1", "I4")
    if scene.command == "run":
        nights.eventually(lambda: not list(night.output.rglob(".overnight-*")))
        report = night.check()
        assert report.clean, str(report)
        assert report.accepted == scene.jobs
        assert night.count(State.CANCELLED) == scene.cancels
        assert night.count(State.SUCCEEDED) == scene.jobs - scene.cancels
