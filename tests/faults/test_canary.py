"""The API token is in the header that carries it and nowhere else, whatever goes wrong and however verbose the logs."""

import base64
import itertools
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

import httpx
import pytest
import redis
import sqlalchemy as sa

from tests.faults import nights
from tests.integration import evening, rehearsal

# It has characters that JSON, URLs, HTML and shells each escape in their own way.
TOKEN = "canary/8d4f+1c5e=b0e7&<fox>%41-zz"
JOBS = 20

# Logs every line of every library, and of ours.
LOUD = """
import logging
from jobs import logs
route = logs._route
logs._TALKATIVE = ()
def loud(*given):
    route(*given)
    logging.getLogger().setLevel(logging.DEBUG)
logs._route = loud
"""


def spellings(token):
    """Return the token's disguises; in Base64 there are three, depending on what precedes it."""
    raw = token.encode()
    shifted = [base64.b64encode(b"x" * n + raw)[4 * bool(n) : -4] for n in range(3)]
    escaped = json.dumps(token)[1:-1]
    plain = [token, escaped, escaped.replace("/", "\\/"), quote(token), quote(token, safe=""), raw.hex()]
    return {text.encode() for text in plain} | {one.rstrip(b"=") for one in shifted}


def leaks(evidence):
    """Return where the token was found, and in which spelling."""
    return [
        (name, spelling)
        for name, content in evidence.items()
        for spelling in spellings(TOKEN)
        if spelling in content
    ]


class Server(ThreadingHTTPServer):
    """Closes every connection and joins every thread at its end, whatever its clients keep open."""

    daemon_threads = False

    def __init__(self, answering):
        super().__init__(("127.0.0.1", 0), answering)
        self._open = set()

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self):
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        super().server_close()


class Gateway:
    """Stands before a sandbox and repeats the token: in refusals, in failed reads, in a failed prediction.

    ``told`` counts how often it did.
    """

    token = TOKEN

    def __init__(self, sandbox):
        self._sandbox = httpx.Client(base_url=sandbox.url.removesuffix("/v1"), trust_env=False, timeout=30)
        self._numbers = itertools.count(1)
        self.told = 0
        self._server = Server(self._answering())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._threads = ThreadPoolExecutor(1)
        self._threads.submit(self._server.serve_forever, 0.05)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._threads.shutdown()
        self._sandbox.close()

    def _answering(gateway):  # noqa: N805  inside the class below `self` is another one
        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(b"")

            def do_POST(self):
                self.answer(self.rfile.read(int(self.headers.get("content-length", 0))))

            def answer(self, body):
                status, content = gateway.reply(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        return Answering

    def reply(self, method, path, headers, body):
        """Pass a request on; to some, answer with their authorization instead."""
        number = next(self._numbers)
        if method == "POST" and path.endswith("/predictions") and number % 3 == 0:
            return self._refusal(422 if number % 2 else 502, headers)
        if method == "GET" and number % 4 == 0:
            return self._refusal(500, headers)
        kept = {
            name: text for name, text in headers.items() if name.lower() not in {"host", "content-length"}
        }
        answer = self._sandbox.request(method, path, headers=kept, content=body)
        if method == "GET" and number % 11 == 0 and b'"succeeded"' in answer.content and "list" not in path:
            return self._failed(answer, headers)
        return answer.status_code, answer.content

    def _refusal(self, status, headers):
        return status, self._echo({"title": "upstream said no", "detail": _said(headers)})

    def _failed(self, answer, headers):
        found = answer.json()
        if "id" not in found:
            return answer.status_code, answer.content
        return 200, self._echo(found | {"status": "failed", "output": None, "error": _said(headers)})

    def _echo(self, value):
        self.told += 1
        return json.dumps(value).replace("/", "\\/" if self.told % 2 else "/").encode()


def _said(headers):
    """Return the authorization as careless servers word it."""
    told = next(text for name, text in headers.items() if name.lower() == "authorization")
    token = told.removeprefix("Bearer ")
    return (
        f"{told} was refused; ?token={quote(token, safe='')} key={base64.b64encode(token.encode()).decode()}"
    )


@pytest.fixture
def gateway(start_sandbox):
    made = Gateway(start_sandbox(output_size=64, creates_per_minute=0, reads_per_minute=0))
    yield made
    made.close()


def make_loud(night):
    (night.folder / "loud").mkdir()
    (night.folder / "loud" / "sitecustomize.py").write_text(LOUD)
    night.environment["PYTHONPATH"] = os.pathsep.join([str(night.folder / "loud"), str(rehearsal.ROOT)])


def files(night):
    """Return every file that the night has left, with database and logs, but without those of the sandbox."""
    return {
        str(path): path.read_bytes()
        for path in night.folder.rglob("*")
        if path.is_file() and not path.relative_to(night.folder).parts[0].startswith("sandbox-")
    }


ASKED = """
status --json | status night | status night --json | jobs | show night/k00000 | show night/k00000 --json
export | export --format jsonl | doctor --json | show night/none
"""


def ask_everything(night):
    """Run each command that prints something; its output goes to the night's log."""
    for line in ASKED.strip().replace(" | ", "\n").splitlines():
        child = night.start(*line.split())
        assert child.wait(timeout=60) in {0, 1, 2, 69}, night.words()


@contextmanager
def watched(commands):
    """Meanwhile collect the command lines of all processes, as any user of the machine can."""
    done = threading.Event()

    def gather():
        while not done.wait(0.1):
            commands.update(evening.processes())

    with ThreadPoolExecutor(1) as threads:
        looking = threads.submit(gather)
        try:
            yield
        finally:
            done.set()
            looking.result()


def test_the_search_sees_every_spelling():
    raw = TOKEN.encode()
    disguises = [
        raw,
        base64.b64encode(raw),
        base64.b64encode(b"Bearer " + raw),
        quote(TOKEN, safe="").encode(),
    ]
    disguises += [
        base64.b64encode(b"me:" + raw + b"!"),
        json.dumps({"a": TOKEN}).encode(),
        raw.hex().encode(),
    ]
    for content in disguises:
        assert leaks({"here": b"before " + content + b" after"}), content
    assert leaks({"here": b"Bearer [token]"}) == []


def test_an_embedded_night_of_faults_tells_the_token_to_nobody(tmp_path, gateway):
    night = nights.Night(tmp_path, gateway, jobs=JOBS, creates_per_minute=2400)
    make_loud(night)
    commands = set()
    with watched(commands):
        assert night.run() in {0, 1}, night.words()
    assert gateway.told > 5, "it was repeated to us"
    ask_everything(night)

    evidence = files(night)
    assert any(b'"level": "debug"' in content for content in evidence.values()), "the logs were loud"
    assert any("failed" in line for line in night.log.read_text().splitlines()), (
        "some jobs failed with its words"
    )
    assert any(b"overnight" in line for line in commands)
    assert leaks(evidence | {"arguments": b"\n".join(commands)}) == []


class Tap:
    """Records every command that a broker receives."""

    def __init__(self, url):
        parts = urlsplit(url)
        self._line = socket.create_connection((parts.hostname, parts.port))
        self._line.sendall(b"MONITOR\r\n")
        self._threads = ThreadPoolExecutor(1)
        self._heard = self._threads.submit(lambda: b"".join(iter(lambda: self._line.recv(65536), b"")))

    def heard(self):
        self._line.shutdown(socket.SHUT_RDWR)
        with self._threads, self._line:
            return self._heard.result(timeout=10)


def test_a_distributed_night_of_faults_tells_the_token_to_nobody(install, gateway, postgres_url, redis_url):
    night = install(
        gateway,
        JOBS,
        database_url=postgres_url,
        broker_url=redis_url,
        creates_per_minute=2400,
        max_attempts=3,
    )
    make_loud(night)
    tap, commands = Tap(redis_url), set()
    with watched(commands):
        night.worker()
        night.scheduler()
        assert night.start("run", str(night.manifest)).wait(timeout=150) in {0, 1}, night.words()
    assert gateway.told > 5, "it was repeated to us"
    ask_everything(night)

    sent = tap.heard()
    assert b"submit" in sent
    evidence = files(night) | tables(postgres_url) | keys(redis_url)
    assert any(b'"level": "debug"' in content for content in evidence.values()), "the logs were loud"
    assert leaks(evidence | {"broker": sent, "arguments": b"\n".join(commands)}) == []


def tables(url):
    """Return the rows of every table as text."""
    with closing(sa.create_engine(url, poolclass=sa.NullPool).connect()) as connection:
        names = sa.inspect(connection).get_table_names()
        assert {"jobs", "attempts", "events"} <= set(names)
        return {name: "\n".join(connection.scalars(_rows(name))).encode() for name in names}


def _rows(name):
    table = sa.table(name)
    return sa.select(sa.cast(sa.literal_column(name), sa.Text)).select_from(table)


def keys(url):
    """Return what every key of a broker holds."""
    reads = {
        b"list": lambda c, k: c.lrange(k, 0, -1),
        b"set": lambda c, k: c.smembers(k),
        b"hash": lambda c, k: c.hgetall(k),
    }
    with redis.Redis.from_url(url) as client:
        return {
            key.decode(): repr(reads.get(client.type(key), lambda c, k: c.get(k))(client, key)).encode()
            for key in client.scan_iter()
        }
