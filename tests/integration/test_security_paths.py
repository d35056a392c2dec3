"""Whatever a manifest calls its rows, every image lies below OUTPUT under a name of its own, and nothing else moves."""

import contextlib
import json
import os
import unicodedata
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs import tables
from jobs.manifest import keys
from tests import manifests
from tests.integration import evening, rehearsal

# Each names something else than itself somewhere: in a shell, on another system, on a disk that ignores case.
ODD = [
    "~", "~root/x", "CON", "con.txt", "aux/nul", "COM1", "Tom", "tom", "TOM", "caf\u00e9", "cafe\u0301", "a b", "a-b",
    "a&b", "-rf", ".hidden", "...", "x.2", "x", "trailing.", "trailing ", "C:\\windows", "\\\\server\\share", "$HOME",
    "`id`", "%2e%2e%2fup", "狐/🦊", "a" * 200, "a" * 199 + "b", ("d" * 98 + "/") * 2 + "d", "night",
    "k\u2024\u2024/x",
]  # fmt: skip
REFUSED = [
    "../up",
    "a/../../up",
    "/etc/cron.d/x",
    "a//b",
    "./a",
    "a/.",
    "..",
    "k" * 201,
    "nul\\u0000",
    "esc\\u001b[2J",
]


@pytest.fixture
def night(tmp_path, start_sandbox):
    (tmp_path / "evening").mkdir()
    return evening.Evening(tmp_path / "evening", start_sandbox(output_size=64))


def as_json(names):
    """Return a manifest whose rows have these keys; what is written as an escape stays one."""
    rows = [
        {"image": "https://example.com/x.png", "prompt": f"a fox {n}", "key": name}
        for n, name in enumerate(names)
    ]
    return json.dumps({"jobs": rows}).replace("\\\\u", "\\u")


def write(night, names):
    (night.folder / "night.csv").unlink()
    (night.folder / "night.yaml").write_text(as_json(names))


def images(night):
    with night.database() as db, db.read() as tx:
        return list(tx.execute(sa.select(tables.outputs.c.path)).scalars())


def below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_every_odd_name_becomes_a_file_of_its_own_below_the_output_folder(night):
    write(night, ODD)
    before = below(night.folder.parent)
    ended = night.type("run", "night.yaml")
    assert ended.returncode == 0, ended.stderr

    paths = images(night)
    assert len(paths) == len(ODD)
    assert below(night.output) == set(paths)
    assert len({unicodedata.normalize("NFC", path).casefold() for path in paths}) == len(ODD)
    made = below(night.folder.parent) - before
    assert {path.split("/")[0] for path in made} <= {"evening", "sandbox-0"}
    assert {path.split("/")[1] for path in made if path.startswith("evening/")} <= {
        "outputs", "night.db", "night.db-wal", "night.db-shm", "night.db.lock", "night.log",
    }  # fmt: skip
    for path in paths:
        assert all(len(part.encode()) <= 255 for part in path.split("/"))


def test_names_that_climb_or_cannot_be_typed_are_mistakes_and_nothing_is_bought(night):
    write(night, ["good", *REFUSED])
    ended = night.type("run", "night.yaml")
    assert ended.returncode == 2
    assert not night.has_database
    assert night.bought() == 0


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_climbs_or_cannot_be_typed_is_a_mistake(tmp_path, name):
    (line,) = manifests.mistakes(manifests.write(tmp_path, as_json([name]), "night.yaml"))
    assert line.startswith("night.yaml:1: ")


def test_no_slug_leaves_its_folder_or_is_a_device():
    for name in (*ODD, *REFUSED):
        slug = keys.slug(name)
        assert not slug.startswith("/")
        assert not {"", ".", ".."} & set(slug.split("/"))
        assert all(character.isprintable() for character in slug)


def test_a_link_planted_in_the_output_folder_pauses_the_batch_and_nothing_is_written_through_it(night):
    outside = night.folder.parent / "outside"
    outside.mkdir()
    night.output.mkdir()
    (night.output / "night").symlink_to(outside)
    ended = night.run_again()
    assert ended.returncode == 75, ended.stderr
    assert "leads out of the output folder" in ended.stdout + ended.stderr
    assert below(outside) == set()

    (night.output / "night").unlink()
    assert night.run_again().returncode == 0, "what was paid for is fetched once the link is gone"
    assert night.bought() == 3


def test_files_that_are_in_the_way_are_left_as_they_are(night):
    victim = night.folder.parent / "victim"
    victim.write_text("precious")
    folder = night.output / "night"
    folder.mkdir(parents=True)
    (folder / "k00000-0.png").symlink_to(victim)
    (folder / "k00001-0.png").write_text("somebody else's")
    os.mkfifo(folder / "k00002-0.png")

    assert night.run_again().returncode == 0

    assert victim.read_text() == "precious"
    assert (folder / "k00001-0.png").read_text() == "somebody else's"
    assert sorted(Path(path).name for path in images(night)) == [f"k0000{n}.2-0.png" for n in range(3)]


def test_a_picture_that_becomes_a_link_to_a_secret_is_never_sent(night):
    """It is looked at when the manifest is loaded, and again when it is sent."""
    secret = night.folder.parent / "secret.png"
    secret.write_bytes(rehearsal.png(colour="red"))
    picture = night.folder / "fox.png"
    picture.write_bytes(rehearsal.png())
    (night.folder / "night.csv").write_text("image,prompt,key\nfox.png,a fox,a\n")
    assert night.type("load", "night.csv").returncode == 0
    picture.unlink()
    picture.symlink_to(secret)

    assert night.type("run", "night").returncode == 1

    assert night.states() == {"failed": 1}
    assert night.bought() == 0
    assert rehearsal.data_uri(secret.read_bytes()).encode() not in everything(night.sandbox.state)


def everything(folder):
    with contextlib.suppress(FileNotFoundError):
        return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return b""


def test_a_night_writes_to_its_own_places_and_nowhere_else(night):
    """As in a container whose tree is read-only, for a user who has no home."""
    home, temporary = night.folder / "home", night.folder / "temporary"
    home.mkdir()
    temporary.mkdir()
    before = snapshot(rehearsal.ROOT)
    ended = night.run_again(HOME=str(home), TMPDIR=str(temporary), PYTHONDONTWRITEBYTECODE="1", USER=None)
    assert ended.returncode == 0, ended.stderr
    assert below(home) == below(temporary) == set()
    assert snapshot(rehearsal.ROOT) == before
    assert {path.name for path in night.folder.iterdir()} <= {
        "home", "temporary", "outputs", "night.csv", "night.db", "night.db-wal", "night.db-shm",
        "night.db.lock", "night.log",
    }  # fmt: skip


def snapshot(root):
    """Return the program's files, as they would be found in a wheel."""
    packages = ("overnight", "jobs", "worker", "scheduler", "sandbox", "migrations")
    return {
        path: path.stat().st_size
        for package in packages
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
