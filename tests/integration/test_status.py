"""`overnight status` as a person types it."""

import json
import os
import pty
import signal
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from jobs import events, tables
from jobs.batches import PauseReason
from jobs.database import Database
from jobs.settings import places
from jobs.states import BatchState, State
from overnight.run import lock
from tests import factory, programs
from tests.integration import rehearsal

GIVEN = {"OVERNIGHT_API_URL": factory.API}


@pytest.fixture
def status(tmp_path):
    """Run the command in a folder of its own, with no setting but those on its line, and no token."""

    def run(*typed, **variables):
        return programs.run("overnight", "status", *typed, cwd=tmp_path, env=os.environ | GIVEN | variables)

    return run


@pytest.fixture
def watching(tmp_path):
    """Start `status -w` with its error stream going to a file or a terminal of the test's."""
    started = []

    def start(*typed, stderr):
        child = programs.Program(
            *("overnight", "status", "-w", *typed),
            cwd=tmp_path,
            env=os.environ | GIVEN | {"TERM": "xterm", "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def read_until(terminal, text):
    """Return what comes out of a terminal up to some text, or to its end when that is None."""
    seen = b""
    while text is None or text not in seen:
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # how Linux says that nobody has the other end open any more
            assert text is None, seen
            return seen
    return seen


def finish(database):
    """End every job, as if its prediction had succeeded long ago."""
    with database.write() as tx:
        tx.execute(
            sa.update(tables.jobs)
            .where(tables.jobs.c.state == State.PENDING)
            .values(state=State.SUCCEEDED, due_at=None, finished_at=datetime.now(UTC))
        )


def test_workers_with_different_accounts_are_named(status, postgres_url):
    with closing(Database(postgres_url)) as db:
        factory.make_job(db, factory.make_batch(db, name="cats", state=BatchState.OPEN))
        a_moment_ago = datetime.now(UTC) - timedelta(seconds=50)
        factory.make_account(db, name="api.example-stranger", seen_at=a_moment_ago)
        factory.make_account(db)
    settings = {"OVERNIGHT_DATABASE_URL": postgres_url, "OVERNIGHT_BROKER_URL": "redis://127.0.0.1:1/0"}
    told = [line for line in status("cats", **settings).stdout.splitlines() if line.startswith("workers")]
    assert "and api.example-stranger" in told[1]


def test_when_a_worker_last_told_that_it_lives_is_said(status, postgres_database):
    batch = factory.make_batch(postgres_database, name="cats", state=BatchState.OPEN)
    factory.make_job(postgres_database, batch)
    account = factory.make_account(postgres_database)
    url = postgres_database.url.render_as_string(hide_password=False)
    settings = {"OVERNIGHT_DATABASE_URL": url, "OVERNIGHT_BROKER_URL": "redis://127.0.0.1:1/0"}

    def told(minutes):
        with postgres_database.write() as tx:
            seen = {"seen_at": datetime.now(UTC) - timedelta(minutes=minutes)}
            tx.execute(sa.update(tables.accounts).where(tables.accounts.c.id == account.id).values(seen))
        return [status(*name, **settings).stdout for name in (["cats"], [])]

    (alive, every), (dead, every_dead) = told(2), told(4)
    assert "workers  last heard of 2m" in alive
    assert "now      quota 600/min\n" in alive
    assert "workers  last heard of 4m" in dead
    assert "now      no worker has been heard of since " in dead
    assert "no worker has been heard of since " in every_dead
    assert "no worker" not in every


def test_webhooks_that_lead_nowhere_are_told_where_some_are_asked_for(status, sqlite_database):
    factory.make_account(sqlite_database)
    job = factory.make_job(sqlite_database, factory.make_batch(sqlite_database, name="cats"))
    for _ in range(10):
        factory.make_attempt(sqlite_database, job, "succeeded", produced_at=datetime.now(UTC))
    told = status("cats", OVERNIGHT_WEBHOOK_URL="https://hooks.example/cats").stdout
    assert "webhooks none has come yet, and predictions have ended: " in told
    assert "webhooks none" not in status("cats").stdout


def test_nobody_is_said_to_try_again_what_is_refused_while_nobody_works(status, sqlite_database):
    refused = {"pause_reason": PauseReason.BLOCKED, "pause_detail": "credit: top up"}
    batch = factory.make_batch(sqlite_database, name="cats", state=BatchState.PAUSED, **refused)
    factory.make_job(sqlite_database, batch)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    factory.make_account(sqlite_database, breaker="blocked", breaker_reason="credit: top up", probe_at=soon)
    assert "now      blocked: credit: top up: overnight run cats\n" in status("cats").stdout
    with lock.Lock(sqlite_database.path) as held:
        assert held.take("cats")
        assert "now      blocked: credit: top up, next try in " in status("cats").stdout


def test_a_database_that_does_not_exist_ends_with_2_and_its_absolute_path(status, tmp_path):
    ended = status()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert str(tmp_path / "overnight.db") in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("sqlite_url")
def test_a_database_without_a_batch_says_what_to_type(status):
    ended = status()
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "overnight run MANIFEST" in ended.stderr
    assert json.loads(status("--json").stdout) == []


def test_every_batch_has_a_line(status, sqlite_database):
    cats = factory.make_batch(sqlite_database, name="cats")
    dogs = factory.make_batch(sqlite_database, name="dogs", state=BatchState.PAUSED)
    for state in (State.PENDING, State.RUNNING, State.COLLECTING, State.FAILED):
        factory.make_job(sqlite_database, cats, state=state)
    for state in (State.SUCCEEDED, State.CANCELLED):
        factory.make_job(sqlite_database, dogs, state=state)
    with lock.Lock(sqlite_database.path) as held:
        assert held.take("cats")
        ended = status()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.split() for line in ended.stdout.splitlines()[1:]] == [
        ["cats", "open", "4", "0", "1", "0", "2", "1"],
        ["dogs", "finished", "2", "1", "0", "1", "0", "0"],
    ]


def test_of_every_batch_it_is_said_what_it_waits_for(status, sqlite_database):
    blocked = {"state": BatchState.PAUSED, "pause_reason": "blocked", "pause_detail": "no credit"}
    batches = {"cats": {}, "dogs": {"state": BatchState.PAUSED}, "foxes": blocked, "owls": {}}
    for name, columns in batches.items():
        batch = factory.make_batch(sqlite_database, name=name, **columns)
        factory.make_job(sqlite_database, batch, state=State.SUCCEEDED if name == "owls" else State.PENDING)
    told = [
        "nobody works on it: overnight run cats",
        "paused by hand: overnight resume dogs",
        "blocked: no credit: overnight run foxes",
    ]
    head, *rows = status().stdout.splitlines()
    assert [line[head.index("now") :] for line in rows] == [*told, ""]
    limits = [row["limit"] for row in json.loads(status("--json").stdout)]
    assert [limit["text"] for limit in limits] == [*told, "finished"]
    with lock.Lock(sqlite_database.path) as held:
        assert held.take("cats")
        assert json.loads(status("--json").stdout)[0]["limit"] is None


def test_a_cancelled_batch_is_not_called_finished(status, sqlite_database):
    batch = factory.make_batch(sqlite_database, name="cats", state=BatchState.CANCELLED)
    factory.make_job(sqlite_database, batch, state=State.FAILED, error_class="nsfw")
    assert status().stdout.splitlines()[1].split()[:2] == ["cats", "cancelled"]
    told = status("cats").stdout
    assert "now      cancelled\n" in told
    assert "overnight retry" not in told
    assert json.loads(status("cats", "--json").stdout)["failures"] == [
        {"class": "nsfw", "count": 1, "command": None}
    ]
    assert status("-w", "cats").stderr.endswith("; cancelled\n")


def test_one_batch_is_told_in_detail(status, sqlite_database, tmp_path):
    batch = factory.make_batch(sqlite_database, name="cats", folder="cats", manifest_path="/home/me/cats.csv")
    factory.make_account(sqlite_database)
    for state in (State.PENDING, State.SUCCEEDED, State.FAILED):
        factory.make_job(sqlite_database, batch, state=state)
    with sqlite_database.write() as tx:
        events.record(tx, datetime.now(UTC), batch.id, events.EventKind.STARTED, "by\x1b[2J hand")
    ended = status("cats")
    assert (ended.returncode, ended.stderr) == (0, "")
    told = ended.stdout.splitlines()
    assert told[:2] == [
        "cats: 3 jobs: 1 pending, 1 succeeded, 1 failed",
        "now      nobody works on it: overnight run cats",
    ]
    assert any(line.endswith("overnight jobs cats --class model-error") for line in told)
    assert f"images   {tmp_path / 'outputs' / 'cats'} (1 file, 0.0 MB; 1 not there)" in told
    assert "manifest /home/me/cats.csv" in told
    assert f"database {sqlite_database.path}" in told
    assert told[-1].endswith("  started: by\\x1b[2J hand")


def test_nothing_is_being_looked_up_while_nobody_works(status, sqlite_database):
    batch = factory.make_batch(sqlite_database, name="cats")
    factory.make_job(sqlite_database, batch, state=State.UNCONFIRMED)
    assert "now      nobody works on it: overnight run cats\n" in status("cats").stdout


def test_it_works_on_both_databases(status, database, database_url):
    batch = factory.make_batch(database, name="cats")
    factory.make_job(database, batch, state=State.SUCCEEDED)
    assert status("cats", OVERNIGHT_DATABASE_URL=database_url).returncode == 0
    rows = json.loads(status("--json", OVERNIGHT_DATABASE_URL=database_url).stdout)
    assert [(row["batch"], row["finished"], row["counts"]["succeeded"]) for row in rows] == [
        ("cats", True, 1)
    ]


def test_json_has_all_about_one_batch(status, sqlite_database):
    batch = factory.make_batch(sqlite_database, name="cats", folder="cats")
    account = factory.make_account(sqlite_database)
    factory.make_job(sqlite_database, batch, state=State.FAILED, error_class="nsfw")
    factory.make_job(sqlite_database, batch)
    ended = status("cats", "--json", "--output", "elsewhere")
    found = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (found["batch"], found["state"], found["total"], found["ended"]) == ("cats", "open", 2, 1)
    again = "overnight run cats --output elsewhere"
    assert found["limit"] == {"kind": "workers", "text": f"nobody works on it: {again}"}
    assert found["account"]["name"] == account.name
    assert found["folder"].endswith("/elsewhere/cats")
    assert found["failures"] == [
        {
            "class": "nsfw",
            "count": 1,
            "command": "overnight retry cats --class nsfw --new-seed --output elsewhere",
        }
    ]


def test_a_command_that_is_printed_carries_what_was_typed(status, sqlite_database, tmp_path):
    moved = tmp_path / "my cats.db"
    factory.make_batch(sqlite_database, name="cats", state=BatchState.PAUSED)
    factory.make_job(
        sqlite_database, factory.make_batch(sqlite_database, name="dogs", state=BatchState.READY)
    )
    sqlite_database.close()
    sqlite_database.path.rename(moved)
    told = status("dogs", "--database", "sqlite:///my cats.db").stdout
    assert "overnight run dogs --database 'sqlite:///my cats.db'\n" in told


def test_a_password_that_was_typed_is_printed_nowhere(status, postgres_url):
    server = sa.make_url(postgres_url).set(password="hush").update_query_dict({"sslpassword": "hush"})
    ended = status("--database", server.render_as_string(hide_password=False))
    assert ended.returncode == 0
    told = ended.stdout + ended.stderr
    assert f"overnight run MANIFEST --database '{places.shown(str(server))}'" in told
    assert "hush" not in told
    assert "?" not in told


def test_where_only_the_sandbox_has_a_database_the_way_to_it_is_told(status, tmp_path):
    (tmp_path / "overnight-sandbox.db").touch()
    told = status("cats")
    assert told.returncode == 2
    assert told.stderr.endswith("what the sandbox has made is in overnight-sandbox.db: add --api sandbox\n")
    elsewhere = status("cats", OVERNIGHT_DATABASE_URL="sqlite:///elsewhere/night.db")
    assert elsewhere.stderr.endswith(": add --api sandbox\n"), "there too it would open this one"


def test_no_way_is_told_to_a_file_that_the_sandbox_would_not_open(status, tmp_path):
    (tmp_path / "night-sandbox.db").touch()
    database = "sqlite:///night.db"
    assert "sandbox" not in status("cats", OVERNIGHT_DATABASE_URL=database).stderr
    (tmp_path / "overnight-sandbox.db").touch()
    assert "sandbox" not in status("cats", "--database", database).stderr


def test_an_open_batch_that_nobody_works_on_says_who_would(status, sqlite_database):
    batch = factory.make_batch(sqlite_database, name="cats")
    long_ago = datetime.now(UTC) - timedelta(hours=9)
    factory.make_account(sqlite_database, refilled_at=long_ago)
    factory.make_job(sqlite_database, batch, state=State.RUNNING, due_at=long_ago)
    assert ": overnight run cats\n" in status("cats").stdout


def test_while_somebody_works_what_limits_is_told(status, sqlite_database):
    factory.make_account(sqlite_database)
    factory.make_job(sqlite_database, factory.make_batch(sqlite_database, name="cats"))
    with lock.Lock(sqlite_database.path) as held:
        assert held.take("cats")
        assert "now      quota 600/min\n" in status("cats").stdout
    assert "now      nobody works on it: overnight run cats\n" in status("cats").stdout


def test_on_a_server_nobody_is_missed_before_work_has_stayed_due(status, postgres_database):
    factory.make_account(postgres_database)
    factory.make_job(postgres_database, factory.make_batch(postgres_database, name="cats"))
    url = postgres_database.url.render_as_string(hide_password=False)
    assert "now      quota 600/min\n" in status("cats", OVERNIGHT_DATABASE_URL=url).stdout


def test_an_unknown_batch_ends_with_2_and_names_the_nearest(status, sqlite_database):
    factory.make_batch(sqlite_database, name="cats")
    ended = status("cast")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "cats" in ended.stderr


@pytest.mark.usefixtures("sqlite_url")
def test_watch_and_json_do_not_go_together(status):
    assert status("--watch", "--json").returncode == 2


def test_it_answers_while_somebody_writes(status, sqlite_database):
    batch = factory.make_batch(sqlite_database, name="cats", state=BatchState.LOADING)
    factory.make_job(sqlite_database, batch)
    with sqlite_database.write() as tx:
        tx.execute(sa.update(tables.jobs).values(priority=1))
        ended = status("cats")
    assert ended.returncode == 0
    assert "being loaded, 1 job so far" in ended.stdout


@pytest.mark.parametrize(("state", "code"), [(State.SUCCEEDED, 0), (State.FAILED, 1)])
def test_watching_a_finished_batch_ends_with_its_summary_and_its_code(status, sqlite_database, state, code):
    factory.make_job(sqlite_database, factory.make_batch(sqlite_database, name="cats"), state=state)
    ended = status("-w", "cats")
    assert ended.returncode == code
    assert ended.stdout.startswith(f"cats: 1 job: 1 {state}\n")
    assert ended.stderr.endswith("; finished\n")


def test_watching_without_a_name_needs_one_batch_that_is_not_finished(status, sqlite_database):
    for name in ("cats", "dogs"):
        factory.make_job(sqlite_database, factory.make_batch(sqlite_database, name=name))
    ended = status("-w")
    assert ended.returncode == 2
    assert "not finished: cats, dogs" in ended.stderr


def test_watching_goes_on_until_the_last_job_has_ended(watching, sqlite_database, tmp_path):
    factory.make_job(sqlite_database, factory.make_batch(sqlite_database, name="cats"))
    seen = tmp_path / "seen.txt"
    with seen.open("w") as stderr:
        child = watching(stderr=stderr)
        rehearsal.eventually(lambda: "0 of 1 ended" in seen.read_text())
        assert child.poll() is None
        finish(sqlite_database)
        out, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    assert out.startswith("cats: 1 job: 1 succeeded\n")
    assert seen.read_text().endswith("; finished\n")


def test_ctrl_c_ends_the_look_with_130_and_nothing_else(watching, sqlite_database, tmp_path):
    factory.make_job(sqlite_database, factory.make_batch(sqlite_database, name="cats"))
    seen = tmp_path / "seen.txt"
    with seen.open("w") as stderr:
        child = watching("cats", stderr=stderr)
        rehearsal.eventually(lambda: "0 of 1 ended" in seen.read_text())
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=30)
    assert (child.returncode, out) == (130, "")
    assert seen.read_text().endswith("overnight: interrupted\n")


def test_in_a_terminal_a_bar_is_drawn_on_the_error_stream(watching, sqlite_database):
    factory.make_job(sqlite_database, factory.make_batch(sqlite_database, name="cats"))
    terminal, theirs = pty.openpty()
    child = watching("cats", stderr=theirs)
    os.close(theirs)
    read_until(terminal, b"now: nobody works on it")
    finish(sqlite_database)
    drawn = read_until(terminal, None)
    os.close(terminal)
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    assert out.startswith("cats: 1 job: 1 succeeded\n")
    assert b"100%" in drawn
    assert drawn.endswith(b"\x1b[?25h")  # the cursor is back


def test_a_terminal_that_is_gone_does_not_end_the_look(watching, sqlite_database):
    factory.make_job(sqlite_database, factory.make_batch(sqlite_database, name="cats"))
    terminal, theirs = pty.openpty()
    child = watching("cats", stderr=theirs)
    os.close(theirs)
    read_until(terminal, b"now: ")
    os.close(terminal)
    finish(sqlite_database)
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    assert out.startswith("cats: 1 job: 1 succeeded\n")
