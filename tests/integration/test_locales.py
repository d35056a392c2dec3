"""Names and texts that the locale cannot write or read: shown, exported or refused, never a bug."""

import os

import pytest
import sqlalchemy as sa

from jobs import tables
from jobs.states import State
from tests.integration.loads import listing, overnight, table
from tests.manifests import write

FOX = "狐"
LATIN = os.fsdecode(b"caf\xe9")  # a name from an old disk: its bytes are no UTF-8
UNREADABLE = [
    ("check", f"{LATIN}.csv"), ("load", f"{LATIN}.csv"), ("run", LATIN), ("status", LATIN), ("jobs", LATIN),
    ("jobs", "--match", LATIN), ("show", f"{LATIN}/a"), ("export", LATIN), ("pause", LATIN), ("retry", LATIN),
]  # fmt: skip


@pytest.fixture
def foxes(desk):
    """A desk whose batch, prompt and folder of images are named in Japanese."""
    with desk.database.write() as tx:
        tx.execute(sa.update(tables.batches).values(name=FOX, folder=FOX))
    desk.job(key=FOX, state=State.SUCCEEDED, input={"prompt": FOX, "seed": 1})
    return desk


@pytest.mark.parametrize(
    "words", [["status"], ["status", FOX], ["check", f"{FOX}.csv", "--batch", f"{FOX}2"]]
)
def test_what_the_locale_cannot_write_is_escaped(foxes, words):
    write(foxes.folder, table("a"), f"{FOX}.csv")
    ended = foxes.type(*words, PYTHONIOENCODING="latin-1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert r"\u72d0" in ended.stdout


def test_help_is_shown_in_every_locale(tmp_path):
    ended = overnight(tmp_path, "export", "--help", PYTHONIOENCODING="latin-1")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "words", [["export"], ["export", FOX, "--manifest"], ["show", f"{FOX}/{FOX}"], ["jobs"]]
)
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_data_in_a_pipe_is_utf_8_in_every_locale(foxes, words, encoding):
    ended = foxes.type(*words, PYTHONIOENCODING=encoding)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert FOX in ended.stdout


@pytest.mark.parametrize("words", UNREADABLE, ids=ascii)
def test_a_name_that_is_no_text_is_a_mistake(foxes, words):
    (foxes.folder / f"{LATIN}.csv").write_text(table("a"))
    before = listing(foxes.folder)
    ended = foxes.type(*words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(r"overnight: 'caf\udce9")
    assert "is no text in this locale; write it in plain letters" in ended.stderr
    assert listing(foxes.folder) == before


@pytest.mark.parametrize("command", ["check", "load"])
def test_a_folder_whose_name_is_no_text_is_a_mistake(tmp_path, command):
    folder = tmp_path / LATIN
    folder.mkdir()
    write(folder, table("a"))
    ended = overnight(folder, command, "cats.csv", OVERNIGHT_API_TOKEN="t")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert r"caf\udce9/cats.csv' is no text in this locale" in ended.stderr
    assert [path.name for path in folder.iterdir()] == ["cats.csv"]
