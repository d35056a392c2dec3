"""`overnight doctor`: each thing that can be wrong with an installation is a line; looking changes nothing."""

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from jobs import errors
from jobs import settings as settings_module
from jobs.database import Database
from jobs.states import BatchState, State
from overnight.doctor import api, broker, database, disks, findings, mounts
from overnight.doctor.findings import Verdict
from overnight.run import lock
from tests import factory, programs

TOKEN = "doctor-canary-5b1d9e"
NOWHERE = "http://127.0.0.1:9/v1"


class Ward:
    """A folder with settings, in which the doctor is called."""

    def __init__(self, folder, **settings):
        self.folder = folder
        self.settings = {"OVERNIGHT_API_TOKEN": TOKEN, "OVERNIGHT_TIME_SCALE": "0.05"} | settings

    def call(self, *words, **settings):
        """Type `overnight doctor …`; a setting that is None is unset."""
        chosen = self.settings | {f"OVERNIGHT_{name.upper()}": text for name, text in settings.items()}
        environment = os.environ | {name: text for name, text in chosen.items() if text is not None}
        return programs.run("overnight", "doctor", *words, cwd=self.folder, env=environment)

    def finds(self, *words, **settings):
        """Return the exit code, and for each subject its verdicts and sentences."""
        ended = self.call("--json", *words, **settings)
        assert TOKEN not in ended.stdout + ended.stderr
        found = {}
        for one in json.loads(ended.stdout):
            found.setdefault(one["subject"], []).append((one["verdict"], one["words"]))
        return ended.returncode, found


@pytest.fixture
def ward(tmp_path):
    return Ward(tmp_path / "ward", OVERNIGHT_API_URL="sandbox")


@pytest.fixture(autouse=True)
def _folder(tmp_path):
    (tmp_path / "ward").mkdir()


def test_a_healthy_installation_is_a_page_without_a_wrong_line_and_stays_as_it_was(ward, start_sandbox):
    ended = ward.call(api_url=start_sandbox().url)
    assert ended.returncode == 0, ended.stdout
    assert {line.split()[0] for line in ended.stdout.splitlines()} == {"ok"}
    assert len(ended.stdout.splitlines()) < 20
    assert ended.stderr == "nothing is wrong\n"
    for sentence in ("there is one for 127.0.0.1", "answers as a predictions API", "agrees with the API's"):
        assert sentence in ended.stdout
    assert list(ward.folder.iterdir()) == []


def test_it_asks_the_api_without_buying_anything(ward, start_sandbox):
    sandbox = start_sandbox()
    assert ward.finds(api_url=sandbox.url)[0] == 0
    asked = sandbox.stats()["requests"]
    assert asked.get("create", 0) == 0
    assert sum(asked.values()) == 1


def test_every_mistake_in_the_settings_is_a_line_and_ends_with_2(ward):
    code, found = ward.finds(lease="soon", max_in_flight="-1", broker_ulr="x")
    assert code == 2
    assert [verdict for verdict, _ in found["settings"]] == ["wrong"] * 3
    said = " ".join(sentence for _, sentence in found["settings"])
    assert "OVERNIGHT_LEASE" in said
    assert "OVERNIGHT_MAX_IN_FLIGHT" in said
    assert "did you mean OVERNIGHT_BROKER_URL?" in said


def test_a_missing_token_is_wrong_and_the_api_is_not_asked(ward):
    code, found = ward.finds(api_token=None, api_url=NOWHERE)
    assert code == 2
    assert found["token"][0][0] == "wrong"
    assert "set OVERNIGHT_API_TOKEN" in found["token"][0][1]
    assert found["api"][0][0] == "warning"


def test_a_token_of_another_api_is_wrong(ward):
    code, found = ward.finds(api_token="r8_" + "x" * 37, api_url="https://api.example/v1")
    assert code == 2
    assert "a Replicate token (r8_…) is not sent to api.example" in found["token"][0][1]


def test_an_api_that_is_away_is_69_and_does_not_hide_the_rest(ward):
    code, found = ward.finds(api_url=NOWHERE)
    assert code == 69
    assert found["api"][0][0] == "wrong"
    assert {"database", "output", "room", "rights"} <= found.keys()


def test_a_token_that_the_api_refuses_is_2(ward, start_sandbox):
    sandbox = start_sandbox()
    sandbox.faults(**{"401_after": 0})
    code, found = ward.finds(api_url=sandbox.url)
    assert code == 2
    assert "refuses the token" in found["api"][0][1]


def test_a_database_that_is_not_there_is_not_made_and_needs_a_folder(ward):
    code, found = ward.finds()
    assert (code, found["database"][0][0]) == (0, "ok")
    code, found = ward.finds(database_url="sqlite:///nowhere/overnight.db")
    assert code == 2
    assert "there is no folder" in found["database"][0][1]
    assert list(ward.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("revision", "sentence"), [("0000", "type: overnight db upgrade"), ("9999", "made by a newer overnight")]
)
def test_a_database_of_another_revision_is_69(ward, sqlite_template, revision, sentence):
    path = ward.folder / "overnight.db"
    shutil.copyfile(sqlite_template, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    code, found = ward.finds(database_url=f"sqlite:///{path}")
    assert code == 69
    assert sentence in found["database"][0][1]


def test_each_setting_is_told_with_the_place_where_it_was_written(ward):
    (ward.folder / ".env").write_text("OVERNIGHT_LEASE=70s\nOVERNIGHT_PRICE=0.01\nOVERNIGHT_OUTPUT=a\n")
    _, found = ward.finds("--api", "sandbox", "--output", "b", price="0.02", time_scale=None, api_token=None)
    assert found["settings"] == [("ok", "set: --api, --output, OVERNIGHT_LEASE in .env, OVERNIGHT_PRICE")]
    _, found = ward.finds("--database", "sqlite:///b.db", time_scale=None, api_token=None)
    [(_, told)] = found["settings"]
    assert told.startswith("set: OVERNIGHT_API_URL, --database, OVERNIGHT_OUTPUT in .env, OVERNIGHT_LEASE in")


def test_a_damaged_database_is_69(ward, sqlite_template):
    path = ward.folder / "overnight.db"
    shutil.copyfile(sqlite_template, path)
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs_due'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    code, found = ward.finds(database_url=f"sqlite:///{path}")
    assert code == 69
    assert any("damaged" in sentence or "malformed" in sentence for _, sentence in found["database"])


def test_what_a_dead_run_left_under_way_is_a_warning_with_the_command_that_takes_it_over(ward, sqlite_url):
    with closing(Database(sqlite_url)) as db:
        batch = factory.make_batch(db, name="cats", state=BatchState.OPEN)
        factory.make_job(db, batch, state=State.UNCONFIRMED)
        factory.make_job(db, batch, state=State.COLLECTING)
    _, found = ward.finds("--database", sqlite_url, "--api", factory.API)
    ((verdict, sentence),) = found["work"]
    assert verdict == "warning"
    assert "left 2 jobs of cats under way; to take over: overnight run cats --api https" in sentence

    with lock.Lock(Path(sqlite_url.removeprefix("sqlite:///"))) as held:
        assert held.take("cats")
        _, found = ward.finds("--database", sqlite_url)
    assert found["work"] == [("ok", f"process {os.getpid()} works on batch cats")]


def test_a_look_at_the_lock_neither_makes_nor_takes_it(tmp_path):
    path = tmp_path / "overnight.db"
    assert lock.holder(path) is None
    assert list(tmp_path.iterdir()) == [tmp_path / "ward"]
    with lock.Lock(path) as held:
        assert lock.holder(path) is None
        assert held.take("cats")


def test_of_a_lock_that_cannot_be_read_nobody_says_that_it_is_free(tmp_path, monkeypatch):
    path = tmp_path / "overnight.db"
    assert lock.is_free(path)
    with lock.Lock(path) as held:
        assert lock.is_free(path)
        assert held.take("cats")
        assert not lock.is_free(path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever is root may read anything
    assert not lock.is_free(path)


def test_an_output_folder_that_takes_no_files_is_69(ward):
    code, found = ward.finds(output="/proc")  # whoever is root may write anywhere but here
    assert code == 69
    assert "cannot be written to" in found["output"][0][1]


def test_a_folder_that_can_take_no_new_ones_is_69_though_nothing_is_made_there(tmp_path, monkeypatch):
    there = settings_module.load(f"sqlite:///{tmp_path}/night.db", str(tmp_path / "a" / "b"), NOWHERE)
    assert next(disks.look(there)).verdict is Verdict.OK
    assert [one.verdict for one in database.look(there)] == [Verdict.OK]
    monkeypatch.setattr(
        os, "access", lambda path, _mode: path != tmp_path
    )  # whoever is root may write anywhere
    (output, *_) = disks.look(there)
    assert (output.verdict, output.exit_code) == (Verdict.WRONG, 69)
    assert output.words.startswith(f"output folder {tmp_path}/a/b cannot be made: {tmp_path} takes no files")
    with pytest.raises(errors.Unavailable, match="no right to make files in"):
        list(database.look(there))


def test_webhooks_that_lead_nowhere_are_a_warning(ward, sqlite_url):
    with closing(Database(sqlite_url)) as db:
        factory.make_account(db)
        job = factory.make_job(db, factory.make_batch(db))
        for _ in range(10):
            factory.make_attempt(db, job, "succeeded", produced_at=datetime.now(UTC))
    _, found = ward.finds(database_url=sqlite_url, webhook_url="https://hooks.example/cats")
    [(verdict, words)] = found["webhooks"]
    assert (verdict, "none has come yet" in words) == ("warning", True)


def test_images_that_are_not_there_any_more_are_a_warning(ward, sqlite_url):
    (ward.folder / "outputs").mkdir()
    with closing(Database(sqlite_url)) as db:
        factory.make_job(db, factory.make_batch(db), state=State.SUCCEEDED)
    _, found = ward.finds(database_url=sqlite_url, output=str(ward.folder / "outputs"))
    (_, (verdict, sentence)) = found["output"]
    assert verdict == "warning"
    assert sentence.startswith("1 of the 1 images stored last are not in ")
    assert (
        "unless you moved them away, mount the disk that has them, or see what to type by overnight status"
        in sentence
    )


def test_an_output_folder_that_had_images_and_is_gone_is_69(ward, sqlite_url):
    with closing(Database(sqlite_url)) as db:
        factory.make_job(db, factory.make_batch(db), state=State.SUCCEEDED)
    code, found = ward.finds(database_url=sqlite_url)
    assert code == 69
    assert "images were stored in it before" in found["output"][0][1]


def test_a_distributed_installation_is_looked_at_on_both_servers(ward, postgres_url, redis_url):
    (ward.folder / "outputs").mkdir()
    settings = {"database_url": postgres_url, "broker_url": redis_url, "api_token": None}
    code, found = ward.finds("--api", NOWHERE, **settings)
    assert code == 0, found
    assert found["token"] == [("warning", "there is none here; each worker needs one: OVERNIGHT_API_TOKEN")]
    assert found["clock"] == [("ok", "agrees with the database's")]
    assert found["work"] == [("ok", "nothing that is due stands still")]
    ((verdict, sentence),) = found["broker"]
    assert verdict == "ok"
    assert sentence.startswith(f"{redis_url} answers: Redis ")


@pytest.fixture
def onlooker(postgres_url, postgres_admin):
    """Make a role without rights; return the database's URL with it, and a function that executes what is typed."""

    def type_(*statements):
        with closing(Database(postgres_url)) as db, db.write() as tx:
            for statement in statements:
                tx.exec_driver_sql(statement)

    postgres_admin.exec_driver_sql("CREATE ROLE onlooker LOGIN")
    url = sa.make_url(postgres_url).set(username="onlooker").render_as_string(hide_password=False)
    yield url, type_
    type_("DROP OWNED BY onlooker")
    postgres_admin.exec_driver_sql("DROP ROLE onlooker")


_ON = {kind: f"ON ALL {kind.upper()} IN SCHEMA public" for kind in ("tables", "sequences")}


@pytest.mark.parametrize(
    ("granted", "lacking"),
    [
        ("SELECT {tables}; USAGE {sequences}", "INSERT into table accounts"),
        ("SELECT, INSERT, UPDATE {tables}; USAGE {sequences}", "DELETE from table hints"),
        ("SELECT, INSERT, UPDATE, DELETE {tables}", "use sequence public.accounts_id_seq"),
    ],
)
def test_a_role_without_a_right_that_a_run_needs_is_69_until_that_is_granted(
    granted, lacking, ward, onlooker, redis_url
):
    (ward.folder / "outputs").mkdir()
    url, type_ = onlooker
    type_(*(f"GRANT {right.format_map(_ON)} TO onlooker" for right in granted.split("; ")))
    settings = {"database_url": url, "broker_url": redis_url, "api_token": None}
    code, found = ward.finds("--api", NOWHERE, **settings)
    assert code == 69
    [(verdict, words)] = found["database"]
    assert verdict == "wrong"
    assert f": role onlooker may not {lacking}; " in words
    type_(*words.partition(" type: ")[2].split("; "))
    code, found = ward.finds("--api", NOWHERE, **settings)
    assert (code, found["database"][0][0]) == (0, "ok")


def test_rows_that_came_without_their_sequences_are_69_until_these_are_set(ward, postgres_url, redis_url):
    (ward.folder / "outputs").mkdir()
    settings = {"database_url": postgres_url, "broker_url": redis_url, "api_token": None}
    with closing(Database(postgres_url)) as db:
        batch = factory.make_batch(db, api=NOWHERE)
        factory.make_job(db, batch, state=State.SUCCEEDED)
        factory.make_job(db, batch, state=State.SUCCEEDED)

        def type_(*statements):
            with db.write() as tx:
                for statement in statements:
                    tx.exec_driver_sql(statement)

        type_("SELECT setval('attempts_id_seq', 1)", "ALTER SEQUENCE outputs_id_seq RESTART")
        code, found = ward.finds("--api", NOWHERE, **settings)
        assert code == 69
        [(verdict, words)] = found["database"]
        assert verdict == "wrong"
        to_type = words.partition(" type: ")[2].split("; ")
        assert len(to_type) == 2
        type_(*to_type)
    code, found = ward.finds("--api", NOWHERE, **settings)
    assert (code, found["database"][0][0]) == (0, "ok")


def test_work_that_stands_still_is_69(ward, postgres_url, redis_url):
    (ward.folder / "outputs").mkdir()
    with closing(Database(postgres_url)) as db:
        batch = factory.make_batch(db, name="cats", state=BatchState.OPEN, api=NOWHERE)
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        factory.make_account(db, api=NOWHERE, refilled_at=long_ago, seen_at=long_ago)
        factory.make_job(db, batch, due_at=long_ago)
    code, found = ward.finds(
        "--api", NOWHERE, database_url=postgres_url, broker_url=redis_url, api_token=None
    )
    assert code == 69
    assert found["work"][0][1].startswith("cats: nobody has worked on it since ")
    assert "start `overnight scheduler` and `overnight worker`" in found["work"][0][1]


def test_work_that_nobody_ever_came_for_is_69(ward, postgres_url, redis_url):
    (ward.folder / "outputs").mkdir()
    with closing(Database(postgres_url)) as db:
        long_ago = datetime.now(UTC) - timedelta(minutes=10)
        batch = factory.make_batch(db, name="cats", state=BatchState.OPEN, api=NOWHERE, opened_at=long_ago)
        factory.make_job(db, batch, due_at=long_ago)
    settings = {"database_url": postgres_url, "broker_url": redis_url, "api_token": None}
    code, found = ward.finds("--api", NOWHERE, **settings)
    assert code == 69
    assert found["work"][0][1].endswith(
        ": no worker has ever run; start `overnight worker` and `overnight scheduler`"
    )


def test_workers_with_different_accounts_are_a_warning(ward, postgres_url, redis_url):
    (ward.folder / "outputs").mkdir()
    with closing(Database(postgres_url)) as db:
        batch = factory.make_batch(db, name="cats", state=BatchState.OPEN, api=NOWHERE)
        factory.make_job(db, batch, due_at=datetime.now(UTC) + timedelta(hours=1))
        a_moment_ago = datetime.now(UTC) - timedelta(seconds=50)
        factory.make_account(db, api=NOWHERE, name="api.example-stranger", seen_at=a_moment_ago)
        factory.make_account(db, api=NOWHERE)
    settings = {"database_url": postgres_url, "broker_url": redis_url, "api_token": None}
    code, found = ward.finds("--api", NOWHERE, **settings)
    assert code == 0, found
    [(verdict, sentence)] = found["work"]
    assert verdict == "warning"
    assert "and api.example-stranger" in sentence
    assert "give all of them the same accounts, and start them anew" in sentence


def test_images_that_a_worker_has_stored_elsewhere_are_a_warning(ward, postgres_url, redis_url):
    (ward.folder / "outputs" / "made").mkdir(parents=True)
    with closing(Database(postgres_url)) as db:
        job = factory.make_job(db, factory.make_batch(db), state=State.RUNNING)
        attempt = factory.make_attempt(db, job, phase="succeeded")
        here, _ = (factory.make_output(db, attempt, index=index) for index in range(2))
        factory.make_output(db, attempt, index=2, collected=False)
    (ward.folder / "outputs" / here.path).touch()
    settings = {"database_url": postgres_url, "broker_url": redis_url}
    code, found = ward.finds("--api", NOWHERE, **settings, output=str(ward.folder / "outputs"))
    assert code == 69, "nobody answers at this API"
    (_, (verdict, sentence)) = found["output"]
    assert verdict == "warning"
    assert sentence.startswith("1 of the 2 images stored last are not in ")


def test_a_broker_that_throws_messages_away_is_a_warning(ward, postgres_url, redis_url):
    (ward.folder / "outputs").mkdir()
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            _, found = ward.finds("--api", NOWHERE, database_url=postgres_url, broker_url=redis_url)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    (_, (verdict, sentence)) = found["broker"]
    assert verdict == "warning"
    assert "maxmemory-policy allkeys-lru" in sentence


@pytest.mark.parametrize("ours", [True, False])
def test_a_broker_that_workers_of_another_database_use_too_is_a_warning(ward, postgres_url, redis_url, ours):
    (ward.folder / "outputs").mkdir()
    with closing(Database(postgres_url)) as db:
        first = factory.make_batch(db).uuid
        factory.make_batch(db)
    with redis.Redis.from_url(redis_url) as client:
        client.set("overnight:database", first if ours else "another")
    _, found = ward.finds("--api", NOWHERE, database_url=postgres_url, broker_url=redis_url)
    _, *told = found["broker"]
    assert [verdict for verdict, _ in told] == ([] if ours else ["warning"])
    assert ours or "serves another overnight database too" in told[0][1]


def test_servers_that_are_away_are_69_and_told_without_their_passwords(ward):
    (ward.folder / "outputs").mkdir()
    code, found = ward.finds(
        "--api",
        NOWHERE,
        database_url="postgresql://me:hush@127.0.0.1:9/night",
        broker_url="redis://:hush@127.0.0.1:9/0",
    )
    assert code == 69
    assert found["database"][0][0] == found["broker"][0][0] == "wrong"
    assert "hush" not in str(found)


def test_a_server_without_a_broker_is_2(ward, postgres_url):
    code, found = ward.finds("--api", NOWHERE, database_url=postgres_url)
    assert code == 2
    assert "needs workers: set OVERNIGHT_BROKER_URL" in found["broker"][0][1]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://queue.example:6379/0", "queue.example is used without a password"),
        ("rediss://queue.example:6379/0", "queue.example is used without a password"),
        ("redis://:hush@10.0.0.7:6379/0", "its password travels to 10.0.0.7 unencrypted"),
    ],
)
def test_a_broker_elsewhere_that_anybody_can_use_or_overhear_is_a_warning(url, sentence):
    (finding,) = broker.exposure(url)
    assert finding.verdict is Verdict.WARNING
    assert sentence in finding.words
    assert "hush" not in finding.words


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1/0", "redis://localhost:6379", "redis://[::1]:6379/0", "redis+socket:///run/redis.sock",
     "rediss://:hush@queue.example:6379/0"],
)  # fmt: skip
def test_a_broker_on_this_machine_or_behind_tls_and_password_is_none(url):
    assert list(broker.exposure(url)) == []


def test_what_every_user_can_read_is_a_warning(ward, sqlite_template):
    path = ward.folder / "overnight.db"
    shutil.copyfile(sqlite_template, path)
    token_file, dotenv = ward.folder / "token", ward.folder / ".env"
    token_file.write_text(f"{TOKEN}\n")
    dotenv.write_text(f"OVERNIGHT_API_TOKEN_FILE={token_file}\nPOSTGRES_PASSWORD=hush\n")
    for secret in (path, token_file, dotenv):
        secret.chmod(0o644)
    settings = {"api_token": None, "database_url": f"sqlite:///{path}"}

    code, found = ward.finds(**settings)

    assert code == 0
    assert [verdict for verdict, _ in found["rights"]] == ["warning"] * 3
    for (_, sentence), secret in zip(found["rights"], (token_file, dotenv, path), strict=True):
        subprocess.run(sentence.partition("; type: ")[2].split(), check=True)
        assert secret.stat().st_mode & 0o077 == 0
    assert [verdict for verdict, _ in ward.finds(**settings)[1]["rights"]] == ["ok"]


def test_a_time_scale_for_rehearsals_is_a_warning_at_a_real_api(ward):
    _, found = ward.finds(api_url="https://127.0.0.2.example/v1", api_token=None)
    assert [verdict for verdict, _ in found["settings"]] == ["ok", "warning"]
    assert "OVERNIGHT_TIME_SCALE is 0.05" in found["settings"][1][1]
    _, found = ward.finds(time_scale=None)
    assert [verdict for verdict, _ in found["settings"]] == ["ok"]


@pytest.mark.parametrize(
    ("seconds", "verdict", "sentence"),
    [
        (0, Verdict.OK, "agrees"),
        (5, Verdict.OK, "agrees"),
        (-5, Verdict.OK, "agrees"),
        (6, Verdict.WARNING, "6 s ahead of the API's"),
        (-3600, Verdict.WARNING, "3600 s behind the API's"),
    ],
)
def test_clocks_that_differ_by_more_than_5_s_are_a_warning(seconds, verdict, sentence):
    theirs = datetime(2026, 11, 23, 3, tzinfo=UTC)
    finding = api.clock(theirs + timedelta(seconds=seconds), theirs, "the API's")
    assert finding.verdict is verdict
    assert sentence in finding.words


def test_little_room_is_a_warning_and_none_is_wrong():
    assert disks.judged("output", 20_000_000_000).verdict is Verdict.OK
    assert disks.judged("output", 200_000_000).verdict is Verdict.WARNING
    with pytest.raises(errors.Unavailable, match="the disk of the output is full; make room"):
        disks.judged("output", 0)


TABLE = r"""/dev/sda1 / ext4 rw 0 0
proc /proc proc rw 0 0
nas:/export /home nfs4 rw 0 0
/dev/sdb1 /home/local xfs rw 0 0
//server/share /mnt/my\040share cifs rw 0 0
tmpfs /over tmpfs rw 0 0
me@host:/ /over fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/overnight.db", "ext4"),
        ("/homes/overnight.db", "ext4"),
        ("/home/me/overnight.db", "nfs4"),
        ("/home/local/overnight.db", "xfs"),
        ("/mnt/my share/overnight.db", "cifs"),
        ("/over/overnight.db", "fuse.sshfs"),
    ],
)
def test_the_deepest_and_latest_mount_says_which_disk_it_is(path, kind):
    assert mounts.kind(Path(path), TABLE) == kind


def test_a_database_on_a_network_disk_is_refused(tmp_path, monkeypatch):
    table = tmp_path / "mounts"
    table.write_text(TABLE)
    monkeypatch.setattr(database, "_MOUNTS", table)
    database._refuse_network_disk(Path("/home/local/overnight.db"))
    with pytest.raises(errors.Mistake, match=r"is on a network disk \(nfs4\)"):
        database._refuse_network_disk(Path("/home/me/overnight.db"))


def test_what_a_person_must_change_goes_before_what_may_come_back():
    away = list(findings.wrong("api", errors.Unavailable("away")))
    mistake = list(findings.wrong("settings", errors.Mistakes(["a", "b"])))
    assert findings.exit_code([]) == 0
    assert findings.exit_code([findings.warning("rights", "open")]) == 0
    assert findings.exit_code(away) == 69
    assert findings.exit_code([*away, *mistake]) == 2
    assert findings.summary([*away, *mistake]) == "3 wrong"


def test_the_tables_that_the_database_needs_are_never_made(ward, empty_postgres_url, redis_url):
    (ward.folder / "outputs").mkdir()
    settings = {"database_url": empty_postgres_url, "broker_url": redis_url, "api_token": None}
    code, found = ward.finds("--api", NOWHERE, **settings)
    assert code == 69
    assert "has no tables yet" in found["database"][0][1]
    engine = sa.create_engine(empty_postgres_url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
