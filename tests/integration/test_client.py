import asyncio
import gzip
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from jobs import errors
from tests.integration import wires
from worker.api import client

TOKEN = "canary-token-6f1e"
ACCEPTED = json.dumps({"id": "abc", "status": "starting"}).encode()


@asynccontextmanager
async def calling(url, *, deadline=5.0, connections=4, webhook=None):
    async with client.PredictionClient(
        url + "/v1",
        SecretStr(TOKEN),
        deadline=deadline,
        connections=connections,
        webhook=webhook,
    ) as api:
        yield api


def create(api, **more):
    return api.create("owner/model:1", {"prompt": "a fox", "seed": 7}, 90, **more)


def run(answer, call, **options):
    """Serve one answer, make one call, and return what the server heard beside what came of the call."""

    async def conversation():
        async with wires.serve(answer) as served, calling(served.url, **options) as api:
            try:
                return served, await call(api)
            except errors.ApiError as error:
                return served, error

    return asyncio.run(conversation())


def test_a_create_says_what_it_wants_once_and_with_a_deadline():
    served, prediction = run(wires.always(wires.reply(ACCEPTED, "201 Created")), create)
    assert prediction.id == "abc"
    (heard,) = served.heard
    assert (heard.method, heard.target) == ("POST", "/v1/predictions")
    assert json.loads(heard.body) == {"version": "owner/model:1", "input": {"prompt": "a fox", "seed": 7}}
    assert heard.headers["authorization"] == f"Bearer {TOKEN}"
    assert heard.headers["cancel-after"] == "90s"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["accept-encoding"] == "identity"
    assert heard.headers["host"] == served.url.removeprefix("http://")
    assert "prefer" not in heard.headers


def test_a_create_asks_for_a_call_at_the_end_beside_its_input():
    hook = "https://me.example/ended?of=overnight"
    served, _ = run(wires.always(wires.reply(ACCEPTED, "201 Created")), create, webhook=hook)
    (heard,) = served.heard
    assert json.loads(heard.body) == {
        "version": "owner/model:1",
        "input": {"prompt": "a fox", "seed": 7},
        "webhook": hook,
        "webhook_events_filter": ["completed"],
    }


@asynccontextmanager
async def refusing():
    async with wires.listening(lambda *_: None) as port:
        pass
    yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def no_tls():
    async with wires.serve(wires.always(b"")) as served:
        yield served.url.replace("http://", "https://")


@asynccontextmanager
async def hanging_up():
    async with wires.listening(lambda _, writer: writer.close()) as port:
        yield f"https://127.0.0.1:{port}"


@asynccontextmanager
async def silent_handshake():
    async with wires.listening(lambda *_: None) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.mark.parametrize("place", [refusing, no_tls, hanging_up, silent_handshake])
def test_before_a_connection_stands_nothing_was_sent(place):
    async def conversation():
        async with place() as url, calling(url, deadline=0.5) as api:
            with pytest.raises(errors.NotSent):
                await create(api)
            with pytest.raises(errors.Unanswered):
                await api.get("abc")

    asyncio.run(conversation())


LOST = {
    "closed before an answer": wires.always(b""),
    "closed within the head": wires.always(b"HTTP/1.1 201 Crea"),
    "reset after the request": wires.reset,
    "no answer at all": wires.hang,
    "a head that drips": wires.drip(b"HTTP/1.1 201 Created\r\nX-Slow: "),
    "a body that drips": wires.drip(
        b'HTTP/1.1 201 Created\r\nContent-Length: 999\r\n\r\n{"id": "abc", "x": "'
    ),
    "half a body": wires.always(wires.reply(ACCEPTED[:12], "201 Created")),
    "a body shorter than declared": wires.always(
        b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n" + ACCEPTED[:20]
    ),
    "an empty body": wires.always(wires.reply(b"", "201 Created")),
    "a page of a proxy": wires.always(wires.reply(b"<html>OK</html>", "200 OK")),
    "another protocol": wires.always(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "a broken length": wires.always(b"HTTP/1.1 201 Created\r\nContent-Length: x\r\n\r\n" + ACCEPTED),
    "a head without end": wires.always(b"HTTP/1.1 201 Created\r\nX-Long: " + b"x" * 300_000),
    "a bad gateway": wires.always(wires.reply(b"<html>", "502 Bad Gateway")),
    "a compressed body": wires.always(
        wires.reply(gzip.compress(ACCEPTED), "201 Created", "Content-Encoding: gzip")
    ),
}


ENDLESS = {"no answer at all", "a head that drips", "a body that drips"}


def patience(fault):
    """Return a deadline in seconds: what ends by itself has long enough to, however busy the machine."""
    return 2 if fault in ENDLESS else 20


@pytest.mark.parametrize("fault", LOST)
def test_once_the_post_has_left_only_an_answer_is_certain(fault):
    served, error = run(LOST[fault], create, deadline=patience(fault))
    assert type(error) is errors.Unconfirmed
    assert len(served.heard) == 1
    assert TOKEN not in str(error)


@pytest.mark.parametrize("fault", LOST)
def test_a_read_that_comes_to_nothing_is_unanswered(fault):
    served, error = run(LOST[fault], lambda api: api.get("abc"), deadline=patience(fault))
    assert type(error) is errors.Unanswered
    assert len(served.heard) == 1


def test_a_refusal_whose_body_never_ends_is_a_refusal():
    head = b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 999\r\n\r\n"
    _, error = run(wires.drip(head), create, deadline=2)
    assert type(error) is errors.Refused


def test_an_answer_that_comes_before_the_request_has_been_read_counts():
    async def conversation():
        async def refuse(reader, writer):
            await reader.read(100)
            writer.write(wires.reply(b"<html>", "413 Payload Too Large", "Connection: close"))
            await writer.drain()
            writer.write_eof()
            while await reader.read(100_000):
                pass

        tasks = []
        async with (
            wires.listening(lambda *pair: tasks.append(asyncio.ensure_future(refuse(*pair)))) as port,
            calling(f"http://127.0.0.1:{port}") as api,
        ):
            with pytest.raises(errors.Refused):
                await api.create("owner/model:1", {"image": "x" * 8_000_000}, 90)
        await asyncio.gather(*tasks)

    asyncio.run(conversation())


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"]
)
def test_a_redirect_is_not_followed_and_the_token_stays(status):
    async def conversation():
        async with wires.serve(wires.always(wires.reply(ACCEPTED))) as elsewhere:
            answer = wires.always(wires.reply(b"", status, f"Location: {elsewhere.url}/v1/predictions"))
            async with wires.serve(answer) as served, calling(served.url) as api:
                with pytest.raises(errors.Blocked):
                    await create(api)
                with pytest.raises(errors.Unanswered):
                    await api.get("abc")
        assert elsewhere.connections == 0

    asyncio.run(conversation())


def test_a_compressed_body_is_not_inflated():
    bomb = gzip.compress(b'{"id": "abc", "error": "' + b"x" * 20_000_000 + b'"}')
    _, error = run(
        wires.always(wires.reply(bomb, "200 OK", "Content-Encoding: gzip")), lambda api: api.get("abc")
    )
    assert type(error) is errors.Unanswered


def test_a_body_beyond_its_cap_is_not_kept(monkeypatch):
    monkeypatch.setattr(client, "_OBJECT_CAP", 100_000)

    async def pour(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" " * 50_000)
            await writer.drain()

    _, error = run(pour, lambda api: api.get("abc"))
    assert type(error) is errors.Unanswered


def test_a_cancelled_create_says_whether_it_may_have_left():
    async def conversation():
        async with wires.serve(wires.hang) as served, calling(served.url, connections=1) as api:
            sent, waiting = asyncio.create_task(create(api)), asyncio.create_task(create(api))
            await served.arrived.wait()
            waiting.cancel()
            sent.cancel()
            outcomes = await asyncio.gather(sent, waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [errors.Unconfirmed, errors.NotSent]
        assert len(served.heard) == 1

    asyncio.run(conversation())


def test_waiting_for_a_line_costs_no_deadline_and_ends_with_the_hook():
    moments = []

    async def slow(*conversation):
        moments.append("answered")
        await asyncio.sleep(0.5)
        await wires.always(wires.reply(ACCEPTED))(*conversation)

    async def conversation():
        async with wires.serve(slow) as served, calling(served.url, connections=1, deadline=2) as api:
            # One line, five creates of 0.5 s each: the last waits longer than its whole deadline.
            creates = [create(api, before_send=lambda: moments.append("leaving")) for _ in range(5)]
            found = await asyncio.gather(*creates)
        assert len(found) == 5

    asyncio.run(conversation())
    assert moments == ["leaving", "answered"] * 5


def test_the_hook_can_stop_a_create():
    def too_late():
        raise errors.NotSent("the lease is over")

    served, error = run(wires.hang, lambda api: create(api, before_send=too_late))
    assert (type(error), str(error)) == (errors.NotSent, "the lease is over")
    assert served.connections == 0


def test_creates_that_hang_do_not_hold_reads_up():
    async def answer(heard, writer):
        await (wires.hang() if heard.method == "POST" else wires.always(wires.reply(ACCEPTED))(heard, writer))

    async def conversation():
        async with wires.serve(answer) as served, calling(served.url, connections=1) as api:
            posting = asyncio.create_task(create(api))
            await served.arrived.wait()
            assert (await api.get("abc")).id == "abc"
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)

    asyncio.run(conversation())


def test_a_connection_is_used_again_and_a_closed_one_is_noticed():
    async def conversation():
        async with wires.serve(wires.always(wires.reply(ACCEPTED)), keep_alive=True) as served:
            async with calling(served.url) as api:
                for _ in range(5):
                    await create(api)
            assert (len(served.heard), served.connections) == (5, 1)
        # This server closes after each answer without having said so.
        async with wires.serve(wires.always(wires.reply(ACCEPTED))) as served, calling(served.url) as api:
            for _ in range(5):
                await create(api)
                await served.ended()
            assert served.connections == 5

    asyncio.run(conversation())


def test_a_kept_connection_that_is_reset_as_the_next_call_arrives_leaves_that_in_doubt():
    tasks = []

    async def once(reader, writer):
        await wires.hear(reader)
        writer.write(wires.reply(ACCEPTED))
        if await reader.read(
            1
        ):  # of a POST too long for the wire to hold, so that its writing meets the reset
            await wires.reset(None, writer)

    async def conversation():
        async with (
            wires.listening(lambda *pair: tasks.append(asyncio.ensure_future(once(*pair)))) as port,
            calling(f"http://127.0.0.1:{port}") as api,
        ):
            await create(api)
            with pytest.raises(errors.Unconfirmed):
                await api.create("owner/model:1", {"image": "x" * 8_000_000}, 90)
            await api.get("abc")
            with pytest.raises(errors.Unanswered):
                await api.get("abc")
            await api.get("abc")
        assert len(tasks) == 3
        await asyncio.gather(*tasks)

    asyncio.run(conversation())


def test_a_line_whose_call_was_cut_short_serves_the_next():
    async def answer(heard, writer):
        await (
            wires.hang()
            if heard.target.endswith("slow")
            else wires.always(wires.reply(ACCEPTED))(heard, writer)
        )

    async def conversation():
        async with (
            wires.serve(answer, keep_alive=True) as served,
            calling(served.url, connections=1) as api,
        ):
            await api.get("abc")
            served.arrived.clear()
            slow = asyncio.create_task(api.get("slow"))
            await served.arrived.wait()
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)
            assert (await api.get("abc")).id == "abc"
            assert served.connections == 2

    asyncio.run(conversation())


def test_ids_are_quoted_into_the_path():
    async def conversation():
        answer = wires.always(wires.reply(json.dumps({"id": "a/../b?c#d e"}).encode()))
        async with wires.serve(answer) as served, calling(served.url) as api:
            await api.get("a/../b?c#d e")
            await api.cancel("a/../b?c#d e")
        quoted = "/v1/predictions/a%2F..%2Fb%3Fc%23d%20e"
        assert [(heard.method, heard.target) for heard in served.heard] == [
            ("GET", quoted),
            ("POST", quoted + "/cancel"),
        ]

    asyncio.run(conversation())


@pytest.mark.parametrize("call", ["get", "cancel"])
def test_an_answer_about_another_prediction_does_not_count(call):
    _, error = run(wires.always(wires.reply(ACCEPTED)), lambda api: getattr(api, call)("xyz"))
    assert type(error) is errors.Unanswered


def test_the_list_is_asked_by_time_and_then_by_cursor_from_our_own_base():
    following = "https://evil.example/v1/predictions?cursor=cD0y"
    answer = wires.always(wires.reply(json.dumps({"next": following, "results": [{"id": "a"}]}).encode()))
    after = datetime(2026, 11, 23, 21, 50, tzinfo=UTC)

    async def conversation():
        async with wires.serve(answer) as served, calling(served.url) as api:
            first = await api.list()
            await api.list(after)
            await api.list(after, first.cursor)
            await api.list(cursor="cursor=x&created_after=2026")
        created_after = "created_after=2026-11-23T21%3A50%3A00.000000Z"
        assert [heard.target for heard in served.heard] == [
            "/v1/predictions",
            f"/v1/predictions?{created_after}",
            f"/v1/predictions?cursor=cD0y&{created_after}",
            "/v1/predictions?cursor=x&created_after=2026",
        ]

    asyncio.run(conversation())


def test_an_upload_is_a_form_with_one_part():
    url = "https://api.example/v1/files/f"
    answer = wires.always(wires.reply(json.dumps({"urls": {"get": url}}).encode(), "201 Created"))
    served, found = run(answer, lambda api: api.upload(b"\x89PNG\0\r\n", "fox.png", "image/png", deadline=5))
    assert found.url == url
    (heard,) = served.heard
    assert (heard.method, heard.target) == ("POST", "/v1/files")
    assert heard.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert (
        b'name="content"; filename="fox.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\0\r\n\r\n'
        in heard.body
    )


def test_a_token_that_the_api_repeats_is_masked():
    content = json.dumps({"detail": f"Invalid token {TOKEN}"}).encode()
    _, error = run(wires.always(wires.reply(content, "401 Unauthorized")), create)
    assert str(error) == "The API answered 401: Invalid token [token]"


def test_a_made_up_token_does_not_spoil_an_id():
    async def conversation():
        async with wires.serve(wires.always(wires.reply(ACCEPTED))) as served:
            token = SecretStr("b")
            async with client.PredictionClient(served.url, token, deadline=5, connections=1) as api:
                assert (await create(api)).id == "abc"

    asyncio.run(conversation())


def test_the_token_shows_in_no_repr():
    async def conversation():
        async with calling("https://api.example") as api:
            seen = f"{api!r} {vars(api)!r} {api._request('GET', '/predictions')!r}"
        assert TOKEN not in seen

    asyncio.run(conversation())


def test_an_input_that_is_no_json_is_refused_before_anything_is_sent():
    served, error = run(wires.hang, lambda api: api.create("v", {"prompt_strength": float("nan")}, 90))
    assert type(error) is errors.Refused
    assert served.connections == 0


def test_proxies_from_the_environment_are_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    served, prediction = run(wires.always(wires.reply(ACCEPTED)), create)
    assert prediction.id == "abc"
    assert len(served.heard) == 1
