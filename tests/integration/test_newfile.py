"""A file that is there whole or not at all."""

import pathlib
import stat

import pytest

from jobs import errors
from overnight.display import newfile


def test_until_the_end_there_is_nothing_under_its_name(tmp_path):
    path = tmp_path / "a.csv"
    with newfile.written(path, replace=False) as file:
        file.write("é\r\n")
        assert not path.exists()
    assert path.read_bytes() == "é\r\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def break_off(path, error):
    """Write half a file over an old one, and fail."""
    path.write_text("before")
    with newfile.written(path, replace=True) as file:
        file.write("half of it")
        raise error


def test_an_error_leaves_what_was_there_and_no_trace(tmp_path):
    with pytest.raises(KeyError):
        break_off(tmp_path / "a.csv", KeyError())
    assert (tmp_path / "a.csv").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_takes_no_more_is_one_sentence(tmp_path):
    with pytest.raises(
        errors.Unavailable, match=r"a\.csv: cannot be written: No space .*; name another file"
    ):
        break_off(tmp_path / "a.csv", OSError(28, "No space left on device"))
    assert (tmp_path / "a.csv").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    monkeypatch.setattr(pathlib.Path, "unlink", refuse)
    with (
        pytest.raises(
            errors.Unavailable, match=r"a\.csv: cannot be written: Read-only .*; name another file"
        ),
        newfile.written(tmp_path / "a.csv", replace=False),
    ):
        pass


def test_it_has_the_rights_that_any_new_file_has(tmp_path):
    (tmp_path / "usual").touch()
    with newfile.written(tmp_path / "a.csv", replace=False):
        pass
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1
