"""Whoever can write to the broker: no message runs code, ends a worker, or moves a row that is not due."""

import base64
import contextlib
import json
import os
import pickle
import random
import signal
import subprocess
from uuid import uuid4

import pytest
import redis
import sqlalchemy as sa

from jobs import tables
from jobs.database import Database
from jobs.lanes import Lane
from jobs.states import FINAL, BatchState, State
from scheduler import duties
from tests import factory, programs
from tests.integration import rehearsal, stepped

GARBAGE = 200
QUEUES = [f"overnight:{lane}" for lane in Lane]


class Gang:
    """A worker at a broker that strangers write to."""

    def __init__(self, folder, sandbox, database_url, broker_url):
        self.canary = folder / "canary"
        self.words = folder / "words.txt"
        self.url = database_url
        self.broker = redis.Redis.from_url(broker_url)
        (folder / "outputs").mkdir()
        environment = {
            "OVERNIGHT_API_TOKEN": sandbox.token,
            "OVERNIGHT_API_URL": sandbox.url,
            "OVERNIGHT_DATABASE_URL": database_url,
            "OVERNIGHT_BROKER_URL": broker_url,
            "OVERNIGHT_OUTPUT": str(folder / "outputs"),
            "OVERNIGHT_TIME_SCALE": "0.05",
        }
        with self.words.open("wb") as words:
            self.worker = programs.Program(
                *("overnight", "worker", "--concurrency=1"),
                cwd=folder,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        rehearsal.eventually(lambda: self.rows(tables.accounts))

    def rows(self, table):
        with contextlib.closing(Database(self.url)) as db, db.read() as tx:
            return tx.execute(sa.select(table).order_by(table.c.id)).all()

    def push(self, *messages, queue=f"overnight:{Lane.SUBMIT}"):
        for message in messages:
            self.broker.lpush(queue, message)

    def digest(self):
        """Wait until everything that was pushed is taken, and a task after it was heard of."""
        last = f"last-{uuid4().hex}"
        for lane in Lane:
            self.push(message(f"{last}-{lane}"), queue=f"overnight:{lane}")
        rehearsal.eventually(
            lambda: self.words.read_text(errors="replace").count(f"type '{last}") == len(Lane), 60
        )
        assert self.worker.poll() is None

    def close(self):
        self.broker.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()


@pytest.fixture
def gang(tmp_path, start_sandbox, postgres_url, redis_url):
    made = Gang(tmp_path, start_sandbox(), postgres_url, redis_url)
    yield made
    made.close()


def message(task, *args, body=None, kind="application/json", encoding="utf-8", embed=None, **headers):
    """Return a message as Celery writes it, or as somebody who wants something from it does."""
    content = json.dumps([args, {}, embed or {}]).encode() if body is None else body
    return json.dumps(
        {
            "body": base64.b64encode(content).decode(),
            "content-encoding": encoding,
            "content-type": kind,
            "headers": {"lang": "py", "task": task, "id": str(uuid4()), "root_id": None, "parent_id": None}
            | headers,
            "properties": {
                "correlation_id": str(uuid4()),
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "submit"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    )


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_broker_that_takes_no_writes_for_a_while_is_waited_for(gang):
    """As while another takes over from it: a replica only reads."""
    gang.broker.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        rehearsal.eventually(lambda: "ReadOnlyError" in gang.words.read_text(errors="replace"))
    finally:
        gang.broker.execute_command("REPLICAOF", "NO", "ONE")
    gang.digest()
    assert "message-dropped" not in gang.words.read_text(errors="replace"), "there was none"


def test_garbage_in_every_queue_leaves_the_worker_at_work(gang):
    drawn = random.Random(11)
    for n in range(GARBAGE):
        gang.push(drawn.randbytes(drawn.randint(0, 300)), queue=QUEUES[n % len(QUEUES)])
    gang.push(*ODD)
    gang.digest()


ODD = [
    "", "null", "[]", "{}", "1", '"text"', "[" * 5000, '{"body": 1}', '{"properties": {}}',
    '{"body": "", "properties": {"delivery_tag": "x"}}',
    '{"body": "", "headers": {}, "properties": {"delivery_tag": "x", "delivery_info": {}}}',
    '{"body": "AAAA", "properties": {"delivery_tag": "x", "delivery_info": {}, "body_encoding": "rot13"}}',
]  # fmt: skip


def foreign(path):
    """Return messages in formats that build objects while they are read."""
    bomb = pickle.dumps([[Bomb(path)], {}, {}], 0)
    yaml = f"!!python/object/apply:os.system ['touch {path}']".encode()
    for task in (Lane.SUBMIT, "celery.backend_cleanup", "os.system"):
        for kind, encoding in (("application/x-python-serialize", "binary"), ("pickle", "binary")):
            yield message(task, body=bomb, kind=kind, encoding=encoding)
        yield message(task, body=yaml, kind="application/x-yaml")
        yield message(task, body=b"\x93\x90\x80\x80", kind="application/x-msgpack", encoding="binary")
        yield message(task, body=yaml)
        yield message(task, body=bomb)


def crafted(path):
    """Return JSON that once made Celery build an exception of any name, and tasks that would run other ones."""
    command = f"touch {path}"
    failure = {"exc_type": "system", "exc_message": [command], "exc_module": "os"}
    call = {"task": "os.system", "args": [command], "kwargs": {}, "options": {}, "subtask_type": None}
    yield message(
        Lane.SUBMIT, [], embed={"errbacks": [call], "callbacks": [call], "chain": [call], "chord": call}
    )
    yield message(Lane.SUBMIT, [failure])
    yield message("celery.map", call, [command])
    yield message("celery.chunks", call, [[command]], 1)
    yield message("celery.chord_unlock", "group", call)
    yield message("os.system", command)
    yield message("subprocess.run", command)
    yield message("__import__", "os")
    yield message(Lane.SUBMIT, [], shadow="../../etc/passwd", argsrepr="\x1b[2J", origin="\r\nforged")
    yield message(Lane.SUBMIT, [], timelimit=["x", {}], eta="yesterday", expires="never", retries="many")


def test_no_message_is_run_as_code(gang):
    results = {"status": "FAILURE", "result": {"exc_type": "system", "exc_message": [f"touch {gang.canary}"]}}
    gang.broker.set("overnight:celery-task-meta-x", json.dumps(results))
    gang.push(*foreign(gang.canary), *crafted(gang.canary))
    gang.push(*foreign(gang.canary), queue=f"overnight:{Lane.COLLECT}")
    gang.digest()
    assert not gang.canary.exists()
    assert "\x1b" not in gang.words.read_text()


def test_nobody_can_end_a_worker_through_the_broker(gang):
    order = {"method": "shutdown", "arguments": {}, "destination": None, "pattern": None, "matcher": None}
    envelope = json.loads(message("x", body=json.dumps(order).encode()))
    for channel in ("/0.celery.pidbox", "overnight:/0.celery.pidbox", "/0.overnight:celery.pidbox"):
        assert gang.broker.publish(channel, json.dumps(envelope)) == 0, "nobody listens"
    assert gang.broker.pubsub_channels() == []
    gang.digest()


def test_no_message_says_how_long_its_task_may_take(tmp_path, start_sandbox, postgres_url, redis_url):
    """A child that is killed while it buys leaves a purchase that may have been made, and may be made again."""
    gang = Gang(tmp_path, start_sandbox(create_seconds=0.5), postgres_url, redis_url)
    try:
        with contextlib.closing(Database(gang.url)) as db:
            [account] = gang.rows(tables.accounts)
            batch = factory.make_batch(db, api=account.api)
            job = factory.make_job(db, batch, state=State.QUEUED, version=stepped.VERSION)
        gang.push(message(Lane.SUBMIT, [job.id], account.id, timelimit=[0.2, 0.2]))
        rehearsal.eventually(
            lambda: [one.state for one in gang.rows(tables.jobs)] not in (["queued"], ["submitting"])
        )
        assert [one.state for one in gang.rows(tables.jobs)] == ["running"]
        assert "limit" not in gang.words.read_text()
    finally:
        gang.close()


SENSELESS = [
    [], ["no list"], [["x", None, {}]], [[10**30]], [[-1, 0]], [[1.5]], [[[1]]], [{"id": 1}], [None], [[1], [2]],
    [True], [["1; DROP TABLE jobs"]], [list(range(100_000))],
]  # fmt: skip


def test_a_forged_message_changes_no_row_that_was_not_due_to_it(gang):
    """Another API's, a resting batch's, final or not handed out: what is so is read from the table."""
    with contextlib.closing(Database(gang.url)) as db:
        [account] = gang.rows(tables.accounts)
        ours = account.api
        other = factory.make_batch(db, api="https://other.example/v1")
        paused = factory.make_batch(db, api=ours, state=BatchState.PAUSED)
        working = factory.make_batch(db, api=ours)
        for batch in (other, paused, working):
            for state in (*FINAL, State.PENDING):
                factory.make_job(db, batch, state=state)
        for batch in (other, paused):
            factory.make_job(db, batch, state=State.QUEUED)
        for state in (State.SUBMITTING, State.UNCONFIRMED, State.RUNNING, State.COLLECTING):
            factory.make_job(db, other, state=state)
    before = [gang.rows(table) for table in (tables.jobs, tables.attempts, tables.outputs, tables.batches)]
    everybody = [job.id for job in before[0]]

    for lane in Lane:
        gang.push(*(message(lane, *args) for args in SENSELESS), queue=f"overnight:{lane}")
        for ids in (*(ids for ids, *_ in filter(None, SENSELESS)), *[everybody] * 3):
            of_account = duties.Message(lane, ids, account.id)
            gang.push(message(lane, *of_account.args), queue=f"overnight:{lane}")
    gang.digest()

    after = [gang.rows(table) for table in (tables.jobs, tables.attempts, tables.outputs, tables.batches)]
    assert after == before
