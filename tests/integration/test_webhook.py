"""`overnight webhook` as a real process: who is let in, and what a night is like with calls that go wrong."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from jobs import tables
from jobs.states import State
from tests import factory, programs, rows
from tests.faults import nights

KEY = bytes(range(24))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SANDBOXS = "whsec_bWFkZSB1cCBmb3IgcmVoZWFyc2Fscw=="
MEGABYTE = 1_000_000


class Receiver:
    """One running `overnight webhook`; `url` is where it takes calls, `words` the file with its log."""

    def __init__(self, folder: Path, database_url, api=factory.API, secret=SECRET, **settings):
        self.words = folder / "webhook.txt"
        environment = {
            "OVERNIGHT_API_URL": api,
            "OVERNIGHT_DATABASE_URL": database_url,
            "OVERNIGHT_WEBHOOK_SECRET": secret,
        } | {f"OVERNIGHT_{name.upper()}": value for name, value in settings.items()}
        with self.words.open("ab") as words:
            self.process = programs.Program(
                *("overnight", "webhook", "--port=0"),
                cwd=folder,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
            )
        self.url = self.process.stdout.readline().removeprefix("webhooks are taken at ").strip()
        assert self.url, self.words.read_text()

    def call(self, body, headers, path="ended"):
        return httpx.post(self.url + path, content=body, headers=headers, trust_env=False).status_code

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        return status


def signed(body, webhook_id="msg_1", moment=None, key=KEY):
    timestamp = str(int(time.time() if moment is None else moment))
    content = f"{webhook_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def tells_of(prediction_id):
    return json.dumps({"id": prediction_id, "status": "succeeded", "logs": "canary-log"}).encode()


@pytest.fixture(scope="module")
def shared(tmp_path_factory, sqlite_template):
    """A receiver that takes calls of all tests that wait for no job."""
    folder = tmp_path_factory.mktemp("receiver")
    shutil.copyfile(sqlite_template, folder / "overnight.db")
    receiver = Receiver(folder, f"sqlite:///{folder}/overnight.db")
    yield receiver
    receiver.end(signal.SIGKILL)


@pytest.fixture
def receiver(tmp_path, database):
    started = Receiver(tmp_path, database.url.render_as_string(hide_password=False))
    yield started
    started.end(signal.SIGKILL)


@pytest.fixture
def job(database):
    factory.make_account(database)
    made = factory.make_job(database, factory.make_batch(database), state=State.RUNNING)
    with database.write() as tx:
        tx.execute(sa.update(tables.jobs).values(due_at=sa.text(_TOMORROW[tx.dialect.name])))
    return made


_TOMORROW = {"sqlite": "datetime('now', '+1 day')", "postgresql": "now() + interval '1 day'"}


def is_due(database, job):
    return rows.job(database, job.id).due_at <= rows.now(database)


def body_of(database, job):
    return tells_of(rows.attempt(database, job.attempt_id).prediction_id)


def test_a_call_of_the_api_makes_the_job_due_and_the_same_call_again_does_not(receiver, database, job):
    body = body_of(database, job)
    headers = signed(body)
    assert receiver.call(body, headers) == 204
    assert is_due(database, job)
    with database.write() as tx:
        tx.execute(sa.update(tables.jobs).values(due_at=sa.text(_TOMORROW[tx.dialect.name])))
    assert receiver.call(body, headers) == 204
    assert not is_due(database, job)


def test_calls_are_taken_for_every_api_at_which_there_is_an_account(tmp_path, database):
    elsewhere = "https://elsewhere.example/v1"
    jobs = []
    for api in (factory.API, elsewhere):
        factory.make_account(database, api=api)
        jobs.append(factory.make_job(database, factory.make_batch(database, api=api), state=State.RUNNING))
    with database.write() as tx:
        tx.execute(sa.update(tables.jobs).values(due_at=sa.text(_TOMORROW[tx.dialect.name])))
    named = {
        "accounts": "main,spare",
        "api_token_main": "one",
        "api_token_spare": "two",
        "api_url_spare": elsewhere,
    }
    receiver = Receiver(tmp_path, database.url.render_as_string(hide_password=False), **named)
    try:
        for number, job in enumerate(jobs):
            body = body_of(database, job)
            assert receiver.call(body, signed(body, f"msg_{number}")) == 204
    finally:
        receiver.end(signal.SIGKILL)
    assert [is_due(database, job) for job in jobs] == [True, True]


def test_a_call_that_nobody_signed_changes_nothing(receiver, database, job):
    body = body_of(database, job)
    assert receiver.call(body, signed(body, key=b"x" * 24)) == 401
    assert receiver.call(body, signed(body, moment=time.time() - 301)) == 401
    assert not is_due(database, job)


@pytest.mark.parametrize("path", ["", "ended", "a/b/c?of=overnight"])
def test_any_path_will_do(shared, path):
    body = tells_of("a-strangers")
    assert shared.call(body, signed(body, f"msg_{len(path)}"), path) == 204


BODY = tells_of("p1")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    {
        "signed": (BODY, lambda: signed(BODY), 204),
        "a byte changed": (BODY.replace(b"p1", b"p2"), lambda: signed(BODY), 401),
        "old": (BODY, lambda: signed(BODY, moment=time.time() - 301), 401),
        "of the future": (BODY, lambda: signed(BODY, moment=time.time() + 302), 401),
        "a wrong secret": (BODY, lambda: signed(BODY, key=b"x" * 24), 401),
        "an empty secret": (BODY, lambda: signed(BODY, key=b""), 401),
        "no headers": (BODY, dict, 401),
        "no JSON": (b"p1", lambda: signed(b"p1"), 400),
        "no object": (b'["p1"]', lambda: signed(b'["p1"]'), 400),
        "no id": (b"{}", lambda: signed(b"{}"), 400),
        "an id that is no text": (b'{"id": 17}', lambda: signed(b'{"id": 17}'), 400),
        "an id of two lines": (b'{"id": "a\\nb"}', lambda: signed(b'{"id": "a\\nb"}'), 400),
        "an id of half a letter": (b'{"id": "\\ud800"}', lambda: signed(b'{"id": "\\ud800"}'), 400),
        "an endless id": (tells_of("p" * 201), lambda: signed(tells_of("p" * 201)), 400),
        "deep": (b"[" * 100_000, lambda: signed(b"[" * 100_000), 400),
        "no UTF-8": (b'{"id": "\xff"}', lambda: signed(b'{"id": "\xff"}'), 400),
        "empty": (b"", lambda: signed(b""), 400),
        "as large as may be": (BODY.ljust(MEGABYTE), lambda: signed(BODY.ljust(MEGABYTE)), 204),
        "too large": (BODY.ljust(MEGABYTE + 1), lambda: signed(BODY.ljust(MEGABYTE + 1)), 413),
    }.values(),
)
def test_each_call_is_answered_as_it_deserves(shared, body, headers, status):
    assert shared.call(body, headers()) == status


def test_whoever_does_not_post_is_not_let_in(shared):
    assert httpx.get(shared.url, trust_env=False).status_code == 405


def test_no_log_line_says_what_a_stranger_wrote_and_a_flood_is_a_few_lines(tmp_path, sqlite_url):
    receiver = Receiver(tmp_path, sqlite_url)
    body = tells_of("canary-prediction")
    for number in range(50):
        receiver.call(body, signed(body, f"canary-id-{number}", key=b"x" * 24))
    receiver.call(body, signed(body))
    assert receiver.end() == 0
    words = receiver.words.read_text()
    assert "webhook-rejected" in words
    assert len(words.splitlines()) < 5
    assert "canary" not in words
    assert SECRET.removeprefix("whsec_") not in words + (tmp_path / "overnight.db").read_bytes().decode(
        "latin-1"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_though_a_caller_is_slow(tmp_path, sqlite_url, number):
    receiver = Receiver(tmp_path, sqlite_url)
    host, port = receiver.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nhost: us\r\ncontent-length: 10\r\n\r\n{")
        assert receiver.end(number) == 0


def test_while_the_database_is_away_the_api_is_asked_to_call_again(
    tmp_path, postgres_database, postgres_admin
):
    url = postgres_database.url.render_as_string(hide_password=False)
    name = postgres_database.url.database
    postgres_database.close()
    receiver = Receiver(tmp_path, url)
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(receiver.end, signal.SIGKILL)
        postgres_admin.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        at_the_end.callback(postgres_admin.exec_driver_sql, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        postgres_admin.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        assert receiver.call(BODY, signed(BODY)) == 503
        assert receiver.call(BODY, signed(BODY)) == 503
        postgres_admin.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert receiver.call(BODY, signed(BODY)) == 204
    with postgres_database.read() as tx:
        assert tx.execute(sa.select(tables.hints.c.webhook_id)).scalar_one() == "msg_1"


def test_many_calls_at_once_are_all_answered(shared):
    bodies = [tells_of(f"many-{number}") for number in range(100)]
    answers = []

    def call(number):
        answers.append(shared.call(bodies[number], signed(bodies[number], f"many_{number}")))

    callers = [threading.Thread(target=call, args=(number,)) for number in range(100)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert answers == [204] * 100


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (None, "set OVERNIGHT_WEBHOOK_SECRET=whsec_…"),
        ("", "set OVERNIGHT_WEBHOOK_SECRET=whsec_…"),
        ("canary", "OVERNIGHT_WEBHOOK_SECRET: a webhook secret begins with whsec_"),
        ("whsec_", "OVERNIGHT_WEBHOOK_SECRET: what follows whsec_ is too short"),
        ("whsec_canary!!", "OVERNIGHT_WEBHOOK_SECRET: what follows whsec_ is no Base64"),
    ],
)
def test_without_a_secret_that_is_one_nothing_is_listened_to(desk, secret, words):
    ended = desk.type(
        "webhook", "--port=0", **({"OVERNIGHT_WEBHOOK_SECRET": secret} if secret is not None else {})
    )
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "canary" not in ended.stderr
    assert not ended.stdout


def test_started_before_the_first_run_it_makes_the_database(tmp_path):
    path = tmp_path / "night.db"
    started = Receiver(tmp_path, f"sqlite:///{path}")
    body = json.dumps({"id": "p1", "status": "succeeded"}).encode()
    try:
        assert started.call(body, signed(body)) == 204
    finally:
        started.end()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_port_that_is_taken_is_told_in_one_line(desk, shared):
    port = shared.url.rstrip("/").rpartition(":")[2]
    ended = desk.type("webhook", f"--port={port}", OVERNIGHT_WEBHOOK_SECRET=SECRET)
    assert ended.returncode == 69
    where = f"127.0.0.1:{port}: Address already in use; choose another --host or --port"
    assert ended.stderr == f"overnight: webhook: {where}\n"


def test_a_night_of_calls_that_are_lost_doubled_and_forged_ends_as_one_without(tmp_path, start_sandbox):
    ends = []
    for name, webhooks in (("with", True), ("without", False)):
        (tmp_path / name).mkdir()
        sandbox = start_sandbox(
            latency=1,
            creates_per_minute=0,
            reads_per_minute=0,
            output_size=64,
            faults={
                "webhook_drop": 0.3,
                "webhook_twice": 0.3,
                "webhook_forged": 0.2,
                "webhook_stale": 0.2,
            },
        )
        ends.append(_lived(nights.Night(tmp_path / name, sandbox, 60, max_in_flight=30), webhooks=webhooks))
    with_webhooks, without = ends
    assert with_webhooks == without


def _lived(night, *, webhooks):
    """Live a night and return what became of each job; nothing may be lost, or bought twice."""
    night.remember()
    receiver = None
    if webhooks:
        receiver = Receiver(
            night.folder,
            night.environment["OVERNIGHT_DATABASE_URL"],
            night.sandbox.url,
            SANDBOXS,
            time_scale="0.05",
        )
        night.environment["OVERNIGHT_WEBHOOK_URL"] = receiver.url
    try:
        assert night.run() == 0, night.words()
    finally:
        night.close()
        if receiver:
            receiver.end()
    report = night.check()
    assert report.clean, str(report)
    calls = night.sandbox.stats()["webhooks"]
    assert (calls.get("204", 0) > 30 and calls.get("401", 0) > 5) if webhooks else not calls
    with night.database() as db:
        return {job.key: (job.state, job.error_class, job.attempts) for job in rows.rows(db, tables.jobs)}
