"""A certificate that is not in order ends every connection of ours before a byte of a request has left."""

import asyncio
import contextlib
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from jobs import errors
from jobs.database import Database
from jobs.settings import places
from tests.integration import certificates, evening, wires
from worker import readiness
from worker.api import client, wire
from worker.transfers import downloads

TOKEN = "tls-canary-token-77aa"
ACCEPTED = wires.reply(b'{"id": "abc", "status": "starting"}', "201 Created")
BAD = {
    "expired": "certificate has expired",
    "not_yet": "certificate is not yet valid",
    "for_another_host": "IP address mismatch",
    "self_signed": "self-signed certificate",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def _trusted(authority, monkeypatch):
    """Trust the authority of the tests and no other, as somebody with an authority of his own does."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    wire._trust.cache_clear()
    yield
    wire._trust.cache_clear()


class Counter:
    """A server that counts what reaches it once a connection stands."""

    def __init__(self):
        self.port = 0
        self.heard = b""

    async def converse(self, reader, writer, answer):
        with contextlib.suppress(OSError):  # the other side hangs up as it likes
            while piece := await reader.read(65536):
                self.heard += piece
                writer.write(answer)
                await writer.drain()


@asynccontextmanager
async def showing(context, answer=ACCEPTED, plain_first=None):
    """Serve TLS with a certificate; ``plain_first`` talks in the clear before that, as PostgreSQL does."""
    counter = Counter()

    conversations = []

    async def converse(reader, writer):
        try:
            if plain_first:
                await plain_first(reader, writer, context)
            await counter.converse(reader, writer, answer)
        finally:
            writer.transport.abort()

    def connected(reader, writer):
        conversations.append(asyncio.ensure_future(converse(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=None if plain_first else context)
    counter.port = server.sockets[0].getsockname()[1]
    try:
        yield counter
    finally:
        server.close()
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is told so at the loop's next turn


def api_at(port, host="127.0.0.1"):
    return client.PredictionClient(f"https://{host}:{port}/v1", SecretStr(TOKEN), deadline=5, connections=1)


def create(api):
    return api.create("owner/model:1", {"prompt": "a fox"}, 90)


@pytest.mark.usefixtures("_trusted")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_of_a_trusted_authority_is_talked_to(authority, host):
    async def conversation():
        async with showing(authority.good()) as server, api_at(server.port, host) as api:
            assert (await create(api)).id == "abc"
            assert TOKEN.encode() in server.heard

    asyncio.run(conversation())


@pytest.mark.usefixtures("_trusted")
@pytest.mark.parametrize("flaw", BAD)
def test_no_request_reaches_a_server_with_a_bad_certificate(authority, tmp_path, flaw):
    async def conversation():
        async with (
            showing(getattr(authority, flaw)()) as server,
            api_at(server.port) as api,
            contextlib.aclosing(downloads.Downloads(tmp_path, allow_private=True)) as down,
        ):
            with pytest.raises(errors.NotSent, match="certificate verify failed") as caught:
                await create(api)
            assert BAD[flaw] in str(caught.value)
            with pytest.raises(errors.Unanswered, match="certificate verify failed"):
                await api.list()
            with pytest.raises(errors.Undelivered, match="certificate verify failed"):
                await down.fetch(f"https://127.0.0.1:{server.port}/x.png", PurePosixPath("cats/tom"), 0)
        assert server.heard == b""

    asyncio.run(conversation())


def test_an_authority_that_nobody_told_us_of_is_not_trusted(authority):
    async def conversation():
        async with showing(authority.good()) as server, api_at(server.port) as api:
            with pytest.raises(errors.NotSent, match="certificate verify failed"):
                await create(api)
        assert server.heard == b""

    asyncio.run(conversation())


def test_a_run_at_a_server_with_a_bad_certificate_buys_and_fails_nothing(authority, tmp_path):
    async def conversation():
        async with showing(authority.self_signed()) as server:
            night = evening.Evening(tmp_path)
            url = f"https://127.0.0.1:{server.port}/v1"
            night.type("load", "night.csv", OVERNIGHT_API_URL=url)
            ended = await asyncio.to_thread(night.type, "run", "night", OVERNIGHT_API_URL=url)
        assert ended.returncode == 69
        assert "certificate verify failed: self-signed certificate" in ended.stderr.splitlines()[-1]
        assert server.heard == b""
        return night

    night = asyncio.run(conversation())
    assert night.states() == {"pending": 3}


# The broker: its client's own default is to take any certificate.


def broker_settings(url):
    return SimpleNamespace(broker_url=places.broker(url, None))


@pytest.mark.parametrize("flaw", BAD)
def test_no_password_reaches_a_broker_with_a_bad_certificate(authority, flaw):
    async def conversation():
        async with showing(getattr(authority, flaw)(), b"+OK\r\n") as server:
            url = f"rediss://:hush@127.0.0.1:{server.port}/0?ssl_ca_certs={authority.path}"
            with pytest.raises(errors.Unavailable, match="certificate verify failed") as caught:
                await asyncio.to_thread(readiness.reach_broker, broker_settings(url))
        assert server.heard == b""
        assert "hush" not in str(caught.value)

    asyncio.run(conversation())


def test_a_broker_without_a_word_about_certificates_is_still_checked(authority):
    async def conversation():
        async with showing(authority.good(), b"+OK\r\n") as server:
            with pytest.raises(errors.Unavailable, match="certificate verify failed"):
                await asyncio.to_thread(
                    readiness.reach_broker, broker_settings(f"rediss://:hush@127.0.0.1:{server.port}/0")
                )
        assert server.heard == b""

    asyncio.run(conversation())


def test_a_broker_of_an_authority_of_ones_own_is_talked_to(authority):
    async def conversation():
        async with showing(authority.good(), b"+OK\r\n") as server:
            url = f"rediss://:hush@127.0.0.1:{server.port}/0?ssl_ca_certs={authority.path}"
            await asyncio.to_thread(readiness.reach_broker, broker_settings(url))
        assert b"hush" in server.heard

    asyncio.run(conversation())


@pytest.mark.parametrize(
    "query",
    ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_OPTIONAL", "ssl_check_hostname=false"],
)
def test_nobody_can_switch_the_check_off(query):
    with pytest.raises(ValueError, match="certificate is always checked"):
        places.broker(f"rediss://queue.example/0?{query}&x=1", None)


def test_there_is_no_other_way_to_tls_than_the_one_that_checks():
    """Celery's own client takes up TLS for any scheme as soon as it is told how to check."""
    with pytest.raises(ValueError, match="write rediss://"):
        places.broker("redis://:hush@queue.example/0?ssl_cert_reqs=none", None)


@pytest.mark.parametrize(
    "query",
    ["", "?ssl_cert_reqs=", "?ssl_cert_reqs=required", "?ssl_cert_reqs=CERT_REQUIRED", "#ssl_cert_reqs=none"],
)
def test_the_check_is_written_into_every_url(query):
    assert (
        "ssl_cert_reqs="
        in places.broker(f"rediss://:p%40ss@queue.example:6380/1{query}", None).partition("#")[0]
    )


# The database: libpq checks what `sslmode` says.


async def refuse_tls(reader, writer, _):
    await reader.readexactly(8)
    writer.write(b"N")
    await writer.drain()


async def accept_tls(reader, writer, context):
    await reader.readexactly(8)
    writer.write(b"S")
    with contextlib.suppress(OSError):
        await writer.start_tls(context)


def ask_database(url):
    db = Database(places.database(url, None))
    try:
        with db.read():
            raise AssertionError("it must not open")
    finally:
        db.close()


@pytest.mark.parametrize("flaw", ["plain", *BAD, "good"])
def test_a_database_that_is_to_be_verified_gets_no_name_before_it_is(authority, flaw):
    async def conversation():
        context = None if flaw == "plain" else getattr(authority, flaw)()
        opening = refuse_tls if flaw == "plain" else accept_tls
        async with showing(context, b"", plain_first=opening) as server:
            where = f"postgresql://me:hush@127.0.0.1:{server.port}/night"
            asked = asyncio.to_thread(
                ask_database, f"{where}?sslmode=verify-full&sslrootcert={authority.path}&connect_timeout=2"
            )
            with pytest.raises(errors.Unavailable) as caught:
                await asked
        assert (b"me" in server.heard) is (flaw == "good")
        assert "hush" not in str(caught.value)

    asyncio.run(conversation())
