"""The disk of the images fills up in the middle of the night: nothing is bought that cannot be stored."""

import subprocess
from contextlib import suppress

import pytest

from jobs.states import State
from overnight.exits import Exit
from tests.faults import nights

_SIZE = 64 << 20
JOBS = 120
AT_ONCE = 8


@pytest.fixture
def small_disk(tmp_path):
    """A small disk of its own; conftest does not collect this file where none can be mounted."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    mount(folder)
    yield folder
    unmount(folder)


def mount(folder):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "overnight", folder], check=True)


def unmount(folder):
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder):
    """Write until there is no room for another byte."""
    ballast = folder / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def test_a_disk_that_is_full_stops_the_buying_and_the_same_command_goes_on_when_there_is_room(
    begin, start_sandbox, small_disk
):
    sandbox = start_sandbox(latency=0.3, creates_per_minute=0, reads_per_minute=0, output_size=64)
    night = begin(sandbox, JOBS, max_in_flight=AT_ONCE, creates_per_minute=1200, price=0.25)
    night.remember()
    child = night.start("run", str(night.manifest))
    nights.eventually(lambda: night.count(State.SUCCEEDED) > JOBS // 8)

    ballast = fill(small_disk)
    bought = night.bought()

    assert child.wait(timeout=90) == Exit.HALTED, night.words()
    assert night.bought() <= bought + 2 * AT_ONCE, "what had left, and no more"
    assert night.count(State.FAILED) == 0
    assert str(small_disk) in night.words()
    ballast.unlink()
    assert night.run() == Exit.NONE_FAILED, night.words()
    report = night.check()
    assert report.clean, str(report)
    assert report.accepted == JOBS


def test_beneath_a_disk_that_is_not_mounted_any_more_nothing_is_bought_for(begin, start_sandbox, small_disk):
    sandbox = start_sandbox(latency=0.3, creates_per_minute=0, reads_per_minute=0, output_size=64)
    night = begin(sandbox, JOBS, max_in_flight=AT_ONCE, creates_per_minute=1200)
    night.remember()
    child = night.start("run", str(night.manifest))
    nights.eventually(lambda: night.count(State.SUCCEEDED) > JOBS // 4)

    unmount(small_disk)
    bought = night.bought()
    assert child.wait(timeout=90) == Exit.HALTED, night.words()
    assert f"is not mounted at {small_disk} any more" in night.words()
    assert night.bought() <= bought + 2 * AT_ONCE, "what had left, and no more"

    bought = night.bought()
    assert night.run() == Exit.UNAVAILABLE, night.words()
    assert f"was on a disk mounted at {small_disk}, where none is mounted now" in night.words()
    assert night.bought() == bought

    mount(small_disk)
    assert night.run() == Exit.NONE_FAILED, night.words()
    assert (night.bought(), night.count(State.SUCCEEDED)) == (JOBS, JOBS)
