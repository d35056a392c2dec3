import hashlib
import io
import os
import sqlite3

import pytest

from jobs import errors
from jobs.manifest import problems, rows, source, staging, validate
from tests.manifests import WEB, inputs_of, picture, write

TABLE = f"image,prompt\n{WEB},a\n"


def read_stdin(content: str, adaptation: rows.Adaptation | None = None) -> list[rows.Row]:
    with (
        source.open_source("-", io.BytesIO(content.encode())) as manifest,
        validate.validate(manifest, adaptation or rows.Adaptation()) as read,
    ):
        assert read.path is None
        return [row for chunk in read.rows() for row in chunk]


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.replace(",", "\t"),
        f"# ours\n\njobs:\n- {{image: {WEB}, prompt: a}}\n",
        f"---\njobs: [{{image: {WEB}, prompt: a}}]",
        f'{{"jobs": [{{"image": "{WEB}", "prompt": "a"}}]}}',
    ],
)
def test_the_format_of_standard_input_is_seen_by_its_first_line(content):
    (row,) = read_stdin(content)

    assert (row.image, inputs_of(row)) == (WEB, {"prompt": "a"})


def test_pictures_named_on_standard_input_start_where_the_person_stands(tmp_path, monkeypatch):
    picture(tmp_path / "tom.png")
    monkeypatch.chdir(tmp_path)

    assert read_stdin("image,prompt\ntom.png,a\n")[0].image == "tom.png"


def test_a_mistake_on_standard_input_says_so():
    with pytest.raises(errors.Mistakes, match=r"^stdin:2: seed: x is not a whole number$"):
        read_stdin(f"image,prompt,seed\n{WEB},a,x\n")


def test_standard_input_that_finds_no_room_is_unavailable():
    class Full(io.BytesIO):
        def read(self, _size=-1):
            raise OSError(28, "No space left on device")

    with (
        pytest.raises(
            errors.Unavailable, match=r"stdin cannot be kept in .*: No space left on device; make room"
        ),
        source.open_source("-", Full()),
    ):
        pass


def test_rows_that_find_no_room_are_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_BUFFERED_ROWS", 1)
    monkeypatch.setattr(staging, "_SET_UP", f"PRAGMA max_page_count = 4;{staging._SET_UP}")
    path = write(tmp_path, "image,prompt\n" + f"{WEB},{'a' * 900}\n" * 100)

    with (
        source.open_source(path) as manifest,
        pytest.raises(
            errors.Unavailable, match=r"the rows cannot be kept in the temporary folder: .*; make room"
        ),
    ):
        validate.validate(manifest, rows.Adaptation())


def test_rows_are_gone_once_they_are_closed(tmp_path):
    with source.open_source(write(tmp_path, TABLE)) as manifest:
        read = validate.validate(manifest, rows.Adaptation())
    assert [row.image for chunk in read.rows() for row in chunk] == [WEB]
    read.close()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        list(read.rows())


MISSING = {
    "nothing there": ("no.csv", "no.csv: no such file in FOLDER"),
    "a folder": (".", "is a folder: name the manifest in it"),
    "a pipe": ("pipe", "pipe: is no regular file: pipe it in and write - instead"),
    "a device": ("/dev/zero", "/dev/zero: is no regular file"),
    "a NUL": ("a\0b", "embedded null"),  # each Python has other words before and after
    "JSON lines": ("rows.jsonl", "rows.jsonl: is JSON lines: write it as CSV or YAML"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_manifest_that_cannot_be_opened_has_a_sentence(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    called, sentence = MISSING[name]
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, "{}\n{}\n", "rows.jsonl")

    with pytest.raises(problems.Unreadable) as caught, source.open_source(called):
        pass

    assert sentence.replace("FOLDER", str(tmp_path)) in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_digest_of_a_manifest_is_of_its_bytes(tmp_path):
    path = write(tmp_path, TABLE)

    with source.open_source(path) as manifest:
        assert manifest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (manifest.path, manifest.folder) == (path, tmp_path)
