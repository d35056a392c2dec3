"""`overnight db` as a person types it: what it says, what it leaves behind, and its exit codes."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from alembic import command

from jobs.database import Database
from migrations import schema, scripts
from overnight.run import lock
from tests import programs, rows


@pytest.fixture
def overnight(tmp_path):
    """Run the command in a folder of its own, with no setting but those on its line."""

    def run(*arguments, **variables):
        return programs.run("overnight", *arguments, cwd=tmp_path, env=os.environ | variables)

    return run


def test_upgrade_creates_the_file_and_says_from_what_to_what(overnight, tmp_path):
    done = overnight("db", "upgrade")
    path = tmp_path / "overnight.db"
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{path}: from nothing to revision {schema.HEAD}\n"
    assert path.exists()
    again = overnight("db", "upgrade")
    assert again.stderr == f"{path} is at revision {schema.HEAD}: nothing to do\n"


def test_upgrade_leaves_a_file_alone_on_which_somebody_works(overnight, sqlite_url):
    database = Database(sqlite_url)
    assert database.path
    rows.stamp(database, "0009")
    with lock.Lock(database.path) as held:
        assert held.take("cats")
        refused = overnight("db", "upgrade", "--database", sqlite_url)
        assert refused.returncode == 69
        assert (
            f"process {os.getpid()} is working on {database.path}, batch cats: let it finish"
            in refused.stderr
        )
        assert schema.current(database) == "0009"
        rows.stamp(database, schema.HEAD)
        assert overnight("db", "upgrade", "--database", sqlite_url).returncode == 0  # nothing to do
    database.close()


def test_upgrade_and_check_work_on_postgresql(overnight, empty_postgres_url):
    assert overnight("db", "check", OVERNIGHT_DATABASE_URL=empty_postgres_url).returncode == 69
    assert overnight("db", "upgrade", OVERNIGHT_DATABASE_URL=empty_postgres_url).returncode == 0
    assert overnight("db", "check", OVERNIGHT_DATABASE_URL=empty_postgres_url).returncode == 0


def test_check_of_a_database_that_fits_ends_with_0(overnight, sqlite_url):
    assert overnight("db", "check", "--database", sqlite_url).returncode == 0


@pytest.mark.parametrize(
    ("revision", "advice"), [("0000", "type: overnight db upgrade"), ("9999", "upgrade this program")]
)
def test_check_of_another_revision_ends_with_69_in_one_line(overnight, sqlite_url, revision, advice):
    database = Database(sqlite_url)
    rows.stamp(database, revision)
    database.close()
    done = overnight("db", "check", "--database", sqlite_url)
    assert done.returncode == 69
    assert advice in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_that_check_names_works_as_printed_from_any_folder(overnight, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    database = Database(f"sqlite:///{folder}/cats.db")
    config = scripts.config()
    config.attributes["database"] = database
    command.upgrade(config, "0001")
    database.close()
    refused = overnight("db", "check", "--database", "sqlite:///a folder/cats.db")
    assert refused.returncode == 69
    _, _, words = refused.stderr.strip().partition("type: overnight ")
    assert overnight(*shlex.split(words)).returncode == 0
    assert overnight("db", "check", "--database", f"sqlite:///{folder}/cats.db").returncode == 0


def test_check_of_a_missing_file_ends_with_2_and_the_path_tried(overnight, tmp_path):
    done = overnight("db", "check")
    assert done.returncode == 2
    assert str(tmp_path / "overnight.db") in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_ends_with_69_and_is_left_alone(overnight, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no database at all, but a good many words about cats and foxes\n" * 40)
    before = path.read_bytes()
    for verb in ("check", "upgrade"):
        done = overnight("db", verb, "--database", f"sqlite:///{path}")
        assert done.returncode == 69
        assert "not a database" in done.stderr
    assert path.read_bytes() == before


# Without the capabilities by which root may do everything.
_MEEK = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.geteuid() == 0 else []


@pytest.mark.skipif(bool(_MEEK) and not shutil.which("setpriv"), reason="root, who may do everything")
@pytest.mark.parametrize(
    ("file", "folder", "lacking"),
    [
        (0o000, 0o700, "no right to read the file"),
        (0o400, 0o700, "no right to write to the file"),
        (0o600, 0o500, "no right to make files in FOLDER, as SQLite does even to read"),
    ],
)
def test_a_right_that_is_missing_is_named_in_one_line(tmp_path, file, folder, lacking):
    home = tmp_path / "home"
    home.mkdir()
    path = home / "overnight.db"
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database)
    database.close()
    typed = [*_MEEK, sys.executable, "-m", "overnight", "load", "-", "--batch", "a", "--database"]
    path.chmod(file)
    home.chmod(folder)
    done = subprocess.run(
        [*typed, f"sqlite:///{path}"],
        input="image,prompt\nhttps://a.example/b.png,c\n", cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    home.chmod(0o700)
    remedy = "mend the rights or the disk, or name another with --database"
    told = lacking.replace("FOLDER", str(home))
    assert (done.returncode, done.stderr) == (69, f"overnight: database {path}: {told}; {remedy}\n")
