"""The lock beside a SQLite database."""

import errno
import fcntl
import os
import time
from contextlib import contextmanager

import pytest

from jobs import errors, presence
from overnight.run import lock


@pytest.fixture
def database(tmp_path):
    return tmp_path / "overnight.db"


def test_whoever_only_looks_at_the_lock_keeps_nobody_from_taking_it(database, monkeypatch):
    with lock.Lock(database) as ours:
        looking = os.open(lock._beside(database), os.O_RDONLY)
        fcntl.flock(looking, fcntl.LOCK_SH)
        # It has looked by the end of the first wait, however long that is.
        monkeypatch.setattr(time, "sleep", lambda _: os.close(looking))
        assert ours.take("cats")
    assert lock.is_free(database)


def test_only_one_has_it(database):
    with lock.Lock(database) as ours, lock.Lock(database) as theirs:
        assert ours.take("cats")
        assert not theirs.take("dogs")
        assert theirs.holder() == (str(os.getpid()), "cats")
        assert not lock.is_free(database)


def test_a_disk_without_locks_is_told_in_one_line(database, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock.Lock(database) as ours:
        with pytest.raises(
            errors.Unavailable, match=r"overnight\.db\.lock cannot be locked: No locks available; "
        ):
            ours.take("cats")
        assert lock.holder(database) is None


@contextmanager
def closed(folder):
    """Keep this process out of a folder; root enters all."""
    folder.mkdir(mode=0)
    if (user := os.geteuid()) == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def test_in_a_folder_that_we_may_not_enter_nothing_is_certain(tmp_path):
    with closed(tmp_path / "closed"):
        assert not lock.is_free(tmp_path / "closed/overnight.db")
        assert not presence.is_gone(tmp_path / "closed/image.png")
    assert lock.is_free(tmp_path / "closed/overnight.db")
    assert presence.is_gone(tmp_path / "closed/image.png")
