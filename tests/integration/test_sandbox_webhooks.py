"""The sandbox as a caller: whom it calls at a prediction's end, how it signs, and what goes wrong with that."""

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from sandbox import signing
from sandbox.options import Options
from tests.integration.rehearsal import data_uri, eventually

VERSION = "b2" * 32
SECRET = "whsec_" + base64.b64encode(b"a key for this test").decode()


class Called:
    """A server that keeps what it is called with; it answers with the statuses in turn, and then with 204."""

    def __init__(self, *statuses):
        self.calls = []
        left = list(statuses)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):  # noqa: N805  `self` is the server's
                body = handler.rfile.read(int(handler.headers["content-length"]))
                self.calls.append(SimpleNamespace(path=handler.path, headers=handler.headers, body=body))
                handler.send_response(left.pop(0) if left else 204)
                handler.end_headers()

            def log_message(handler, *_):  # noqa: N805  as above
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ended?of=overnight"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def until(self, count):
        eventually(lambda: len(self.calls) >= count)
        return self.calls

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def answering():
    started = []

    def start(*statuses):
        started.append(Called(*statuses))
        return started[-1]

    yield start
    for called in started:
        called.close()


def create(client, url, seed=1, **more):
    document = {"version": VERSION, "input": {"image": data_uri(), "seed": seed}, "webhook": url}
    answer = client.post("/predictions", json=document | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def is_right(call, secret=SECRET):
    """Whether a call is signed as the scheme says."""
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
    replaced, current = call.headers["webhook-signature"].split(" ")
    assert replaced.startswith("v1,")
    assert replaced != current
    return current == "v1," + base64.b64encode(digest).decode()


def test_the_end_is_told_signed_and_with_the_whole_prediction(start_sandbox, answering):
    called, sandbox = answering(), start_sandbox(webhook_secret=SECRET)
    with sandbox.client() as client:
        made = create(client, called.url, webhook_events_filter=["completed"])
        (call,) = called.until(1)
        assert json.loads(call.body) == client.get(f"/predictions/{made}").json()
    assert json.loads(call.body)["status"] == "succeeded"
    assert call.path == "/ended?of=overnight"
    assert is_right(call)
    assert abs(time.time() - int(call.headers["webhook-timestamp"])) < 30
    assert sandbox.stats()["webhooks"] == {"204": 1}


def test_a_cancel_is_an_end(start_sandbox, answering):
    called = answering()
    with start_sandbox(latency=500).client() as client:
        made = create(client, called.url)
        client.post(f"/predictions/{made}/cancel")
        (call,) = called.until(1)
    assert json.loads(call.body)["status"] == "canceled"


def test_a_call_that_is_not_taken_is_made_again_under_the_same_id(start_sandbox, answering):
    called, sandbox = answering(503, 500), start_sandbox(webhook_secret=SECRET)
    with sandbox.client() as client:
        create(client, called.url)
        calls = called.until(3)
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert all(is_right(call) for call in calls)
    eventually(lambda: sandbox.stats()["webhooks"] == {"503": 1, "500": 1, "204": 1})


@pytest.mark.parametrize(
    ("fault", "count"),
    [("webhook_twice", 2), ("webhook_forged", 2), ("webhook_stale", 2)],
)
def test_a_fault_adds_a_call(start_sandbox, answering, fault, count):
    called = answering()
    with start_sandbox(faults={fault: 1}, webhook_secret=SECRET).client() as client:
        create(client, called.url)
        calls = called.until(count)
    first, last = calls
    age = time.time() - int(first.headers["webhook-timestamp"])
    assert is_right(first) == (fault != "webhook_forged")
    assert (age > 500) == (fault == "webhook_stale")
    assert is_right(last)
    assert first.headers["webhook-id"] == last.headers["webhook-id"]
    assert first.body == last.body


@pytest.mark.parametrize(
    ("url", "more", "faults"),
    [
        (None, {}, {"webhook_drop": 1}),
        (None, {"webhook_events_filter": ["start"]}, {}),
        ("https://127.0.0.1/ended", {}, {}),
    ],
    ids=["dropped", "another event", "by https"],
)
def test_nobody_else_is_called(start_sandbox, answering, url, more, faults):
    called, sandbox = answering(), start_sandbox(faults=faults)
    with sandbox.client() as client:
        create(client, url or called.url, **more)
        sandbox.heal()
        create(client, called.url, seed=2)
        (call,) = called.until(1)
    assert json.loads(call.body)["input"]["seed"] == 2
    assert sandbox.stats()["webhooks"] == {"204": 1}


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_a_secret_that_is_none_is_one_sentence(tmp_path, secret):
    with pytest.raises(ValueError, match=r"webhook_secret is no secret: use whsec_ and Base64\."):
        Options(state=tmp_path, webhook_secret=secret)


def test_the_made_up_secret_is_one():
    assert signing.key(signing.MADE_UP) == b"made up for rehearsals"
