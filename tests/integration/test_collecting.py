"""Images on their way to the disk, where the disk has its own will."""

import errno
import os
import stat
import time

import pytest

from jobs import tables
from jobs.batches import PauseReason
from jobs.states import BatchState, State
from tests import rows
from tests.integration.stepped import collect
from worker.transfers import storing


def sync_breaks(broken, number, *, at_folders):
    """Have the sync of every folder, or of every file, fail with an error of the system."""
    sync = os.fsync

    def breaks(opened):
        if stat.S_ISDIR(os.fstat(opened).st_mode) is at_folders:
            raise OSError(number, os.strerror(number))
        sync(opened)

    broken.setattr(os, "fsync", breaks)


def test_no_row_tells_of_a_file_whose_name_may_not_last(night, monkeypatch):
    first, second = night.make(2)
    night.until(lambda: night.states() == {State.COLLECTING: 2})
    collect([first])  # from now on the folder is there
    with monkeypatch.context() as broken:
        sync_breaks(broken, errno.EIO, at_folders=True)
        collect([second])
    assert [night.job(job).state for job in (first, second)] == [State.SUCCEEDED, State.COLLECTING]
    assert night.batch_state == (BatchState.PAUSED, PauseReason.STORAGE)
    collect([second])
    assert night.states() == {State.SUCCEEDED: 2}
    told = {output.path for output in rows.rows(night.database, tables.outputs)}
    there = [path for path in night.settings.output.rglob("*") if path.is_file()]
    assert {path.relative_to(night.settings.output).as_posix() for path in there} == told


@pytest.mark.parametrize("at_folders", [False, True])
def test_a_machine_that_is_short_of_open_files_pauses_nothing_and_fetches_again(
    night, monkeypatch, at_folders
):
    first, second = night.make(2)
    night.until(lambda: night.states() == {State.COLLECTING: 2})
    collect([first])  # from now on the folder is there
    with monkeypatch.context() as broken:
        sync_breaks(broken, errno.EMFILE, at_folders=at_folders)
        collect([second])
    assert night.job(second).state == State.COLLECTING
    assert night.batch_state == (BatchState.OPEN, None)
    collect([second])
    assert night.states() == {State.SUCCEEDED: 2}


def test_what_stays_short_at_every_try_stops_the_buying_and_fails_no_job(night, monkeypatch):
    [job] = night.make(1)
    night.until(lambda: night.states() == {State.COLLECTING: 1})
    with monkeypatch.context() as broken:
        sync_breaks(broken, errno.EMFILE, at_folders=False)
        for _ in range(4):
            collect([job])
        assert night.batch_state == (BatchState.OPEN, None)
        collect([job])
    assert night.batch_state == (BatchState.PAUSED, PauseReason.STORAGE)
    collect([job])
    assert night.states() == {State.SUCCEEDED: 1}


def test_what_came_in_time_is_kept_however_slow_the_disk_is(begin_night, sandbox, monkeypatch):
    # The images of a message have five seconds.
    hasty = begin_night(sandbox, post_deadline="1s", lease="10s")
    keep, kept = storing.Part.keep, []

    def slowly(part, *args, **more):
        kept.append(part)
        time.sleep(6)  # longer than that
        return keep(part, *args, **more)

    [single] = hasty.make()
    [double] = hasty.make(input={"prompt": "a fox", "seed": 7, "num_outputs": 2})
    hasty.until(lambda: hasty.states() == {State.COLLECTING: 2})
    with monkeypatch.context() as slow:
        slow.setattr(storing.Part, "keep", slowly)
        collect([single, double])
    assert len(kept) == 2, "nothing more is begun when the time is over"
    assert [hasty.job(job).state for job in (single, double)] == [State.SUCCEEDED, State.COLLECTING]
    assert len(rows.rows(hasty.database, tables.outputs)) == 3
    assert sum(output.path is not None for output in rows.rows(hasty.database, tables.outputs)) == 2
    collect([double])
    assert hasty.states() == {State.SUCCEEDED: 2}
