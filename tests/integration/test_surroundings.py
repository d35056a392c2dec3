"""Bad surroundings: one clear line, an exit code, nothing lost, and the same command goes on once they are mended."""

import json
import resource
import sqlite3

import pytest

from tests.integration import evening, rehearsal
from tests.integration.evening import Evening, ended, one_line

FEW_BYTES = 40_000  # less than the tables take


@pytest.fixture
def night(tmp_path, start_sandbox):
    """Three jobs, and a sandbox that answers at once."""
    return Evening(tmp_path, start_sandbox())


# Token and API


def test_without_a_token_it_says_which_variable_to_set_and_makes_no_database(night):
    process = night.run_again(OVERNIGHT_API_TOKEN=None)
    assert process.returncode == 2
    assert one_line(process.stderr, "no token for 127.0.0.1: set OVERNIGHT_API_TOKEN", "--api sandbox")
    assert not night.has_database


def test_a_token_of_the_wrong_kind_is_sent_nowhere(night):
    process = night.run_again(
        OVERNIGHT_API_TOKEN="r8_" + "x" * 37, OVERNIGHT_API_URL="https://api.example/v1"
    )
    assert process.returncode == 2
    assert one_line(process.stderr, "a Replicate token (r8_…) is not sent to api.example")
    assert not night.has_database


def test_an_api_that_is_not_there_ends_a_new_night_before_it_has_a_database(night):
    process = night.run_again(OVERNIGHT_API_URL=evening.NOWHERE)
    assert process.returncode == 69
    last = process.stderr.splitlines()[-1]
    assert last.startswith(f"overnight: {evening.NOWHERE} is not to be had: The connection failed")
    assert not night.output.exists()
    assert not night.has_database


def test_an_api_that_is_not_there_any_more_leaves_a_loaded_batch_as_it_was(night):
    """A batch that is loaded and has something left to buy needs it."""
    night.type("load", "night.csv")
    night.sandbox.stop()
    process = night.type("run", "night")
    assert process.returncode == 69
    assert one_line(process.stderr, "is not to be had")
    assert night.batch().state == "ready"


def test_a_token_that_the_api_refuses_ends_a_new_night_before_it_has_a_database(night):
    night.sandbox.faults(**{"401_after": 0})
    process = night.run_again()
    assert process.returncode == 2
    assert "refuses the token: The API answered 401" in process.stderr.splitlines()[-1]
    assert not night.output.exists()
    assert not night.has_database


def test_a_token_revoked_in_the_night_halts_the_batch_until_it_is_good_again(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(latency=0.5), jobs=12, creates_per_minute=300)
    night.sandbox.faults(**{"401_after": 5})
    process = night.run_again()
    assert process.returncode == 75, process.stderr
    assert "paused, blocked: token: The API answered 401" in process.stdout
    assert "to go on, type: overnight run night" in process.stdout
    night.sandbox.heal()
    assert night.run_again().returncode == 0
    assert night.states() == {"succeeded": 12}


def test_without_credit_it_probes_and_goes_on_when_there_is_some(tmp_path, start_sandbox):
    # It tells of no quota, so that not all are under way at once.
    night = Evening(tmp_path, start_sandbox(creates_per_minute=0), jobs=12)
    night.sandbox.faults(**{"402_after": 5})
    with night.running() as child:
        night.until_bought(5)
        rehearsal.eventually(lambda: night.batch().pause_reason == "blocked")
        night.sandbox.heal()
        code, _, words = ended(child)
    assert code == 0, words
    assert "blocked: credit: " in words
    assert night.check().clean
    assert night.bought() == 12


def test_a_night_that_ends_without_credit_promises_no_next_try(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(creates_per_minute=0), jobs=12)
    night.sandbox.faults(**{"402_after": 5})
    with night.running("run", "night.csv", "--json") as child:
        night.until_bought(5)
        rehearsal.eventually(lambda: night.batch().pause_reason == "blocked")
        evening.interrupt(child)
        code, out, words = ended(child)
    limit = json.loads(out)["limit"]
    assert (code, limit["kind"]) == (130, "blocked"), words
    assert limit["text"].startswith("blocked: credit: ")
    assert limit["text"].endswith(": overnight run night")


# Disk and folders


def test_an_output_folder_that_cannot_be_made_is_told_before_anything_is_bought(night):
    (night.folder / "file").touch()
    process = night.run_again(OVERNIGHT_OUTPUT=str(night.folder / "file" / "outputs"))
    assert process.returncode == 69
    assert "cannot be made: Not a directory; mend it, or set OVERNIGHT_OUTPUT" in process.stderr
    assert night.bought() == 0
    checked = night.type("check", "night.csv", OVERNIGHT_OUTPUT=str(night.folder / "file" / "outputs"))
    assert checked.returncode == 69
    assert one_line(checked.stderr, f"cannot be made: {night.folder / 'file'} takes no files")


def test_an_output_folder_that_is_a_file_is_told_before_anything_is_bought(night):
    night.output.touch()
    process = night.run_again()
    assert process.returncode == 69
    told = f"output folder {night.output} is a file and no folder; name another"
    assert told in process.stderr.splitlines()[-1]
    assert night.bought() == 0
    checked = night.type("check", "night.csv")
    assert checked.returncode == 69
    assert told in checked.stderr.splitlines()[-1]


def test_an_output_folder_that_is_gone_is_not_made_anew(night):
    """It may be a disk that is not mounted; images of two nights in two places help nobody."""
    night.run_again()
    night.output.rename(night.folder / "elsewhere")
    night.type("retry", "night", "--state", "succeeded", "--new-seed")
    process = night.run_again()
    assert process.returncode == 69
    assert "mount its disk, as images were stored in it before, or make it" in process.stderr.splitlines()[-1]
    assert night.bought() == 3


def test_outputs_that_cannot_be_stored_pause_the_batch_and_nothing_is_lost(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox())
    night.output.mkdir()
    in_the_way = night.output / "night"
    in_the_way.touch()
    process = night.run_again()
    assert process.returncode == 75, process.stderr
    assert "paused, storage: The output folder" in process.stdout
    assert set(night.states()) <= {"collecting", "pending"}
    in_the_way.unlink()
    assert night.run_again().returncode == 0
    assert night.check().clean
    assert night.bought() == 3


def test_a_database_on_a_full_disk_is_told_before_anything_is_bought(night):
    child = limited(night, FEW_BYTES)
    assert child.returncode == 69
    assert f"overnight: database {night.folder / 'night.db'}" in child.stderr
    assert night.bought() == 0


def limited(night, most):
    """Run with files that cannot grow: what a full disk looks like to one process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        return night.run_again()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_database_whose_disk_fills_up_in_the_night_is_waited_for(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(), jobs=40, creates_per_minute=300)
    with night.running() as child:
        night.until_bought(2)
        _, most = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (1, most))
        rehearsal.eventually(lambda: "; trying again" in child.stderr.readline(), 60)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (most, most))
        code, _, words = ended(child)
    assert code == 0, words
    assert night.check().clean
    assert night.bought() == 40


# Database and broker


def test_a_database_in_a_folder_that_is_not_there_is_a_mistake(night):
    process = night.run_again(OVERNIGHT_DATABASE_URL=f"sqlite:///{night.folder}/nowhere/night.db")
    assert process.returncode == 2
    assert "there is no folder" in process.stderr.splitlines()[-1]
    assert night.bought() == 0


def test_a_file_that_is_no_database_is_not_written_over(night):
    diary = night.folder / "night.db"
    diary.write_text("Dear diary, " * 1000)
    process = night.run_again()
    assert process.returncode == 69
    assert one_line(
        process.stderr, "file is not a database; name another with --database, or move the file away"
    )
    assert diary.read_text() == "Dear diary, " * 1000


@pytest.mark.parametrize(
    ("revision", "words"),
    [("0000", "type: overnight db upgrade --database"), ("9999", "was made by a newer overnight")],
)
def test_a_database_of_another_revision_is_not_worked_on_and_it_says_what_to_do(night, revision, words):
    night.type("load", "night.csv")
    with sqlite3.connect(night.folder / "night.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    connection.close()
    process = night.run_again()
    assert process.returncode == 69
    assert one_line(process.stderr, words)


def test_a_database_server_that_is_away_is_named_without_its_password(night):
    nowhere = "postgresql://me:secret@127.0.0.1:9/night"
    process = night.run_again(OVERNIGHT_DATABASE_URL=nowhere, OVERNIGHT_BROKER_URL="redis://127.0.0.1:9/0")
    assert process.returncode == 69
    assert one_line(process.stderr, "database postgresql+psycopg://me:***@127.0.0.1:9/night")


def test_a_broker_that_is_away_is_named(night, postgres_url):
    process = night.run_again(
        OVERNIGHT_DATABASE_URL=postgres_url, OVERNIGHT_BROKER_URL="redis://127.0.0.1:9/0"
    )
    assert process.returncode == 69
    assert "broker redis://127.0.0.1:9/0" in process.stderr.splitlines()[-1]


def test_a_server_without_a_broker_is_refused_for_want_of_workers(night, postgres_url):
    process = night.run_again(OVERNIGHT_DATABASE_URL=postgres_url)
    assert process.returncode == 2
    assert "needs workers: set OVERNIGHT_BROKER_URL" in process.stderr.splitlines()[-1]
    assert night.bought() == 0
