"""Outputs that redirect, swell or drip, as a client without any care meets them, and as our own worker does."""

import asyncio
import io
import itertools
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import PurePosixPath

import httpx
import pytest
from PIL import Image

from jobs import errors
from tests.integration.rehearsal import data_uri, fetch
from worker.transfers import downloads

VERSION = "b2" * 32


def output(sandbox, seed=1):
    """The URL of a finished prediction's picture."""
    document = {"version": VERSION, "input": {"image": data_uri(), "seed": seed}}
    with sandbox.client() as client:
        made = client.post("/predictions", json=document).json()["id"]
        (url,) = client.get(f"/predictions/{made}").json()["output"]
        return url


def collect(url, folder, **options):
    """Fetch an output as the worker does."""

    async def fetch_once():
        async with aclosing(downloads.Downloads(folder, allow_private=True, **options)) as fetching:
            return await fetching.fetch(url, PurePosixPath("picture"), 0)

    return asyncio.run(fetch_once())


def location(sandbox):
    answer = fetch(output(sandbox))
    assert answer.status_code == 302
    return httpx.URL(answer.headers["location"])


def test_a_redirect_leads_to_the_output_and_not_on(start_sandbox, tmp_path):
    sandbox = start_sandbox(faults={"redirect:once": 1})
    there = location(sandbox)
    assert fetch(there).content.startswith(b"\x89PNG")
    assert collect(output(sandbox), tmp_path).width == 64


def test_a_redirect_leads_round_in_circles(start_sandbox, tmp_path):
    sandbox = start_sandbox(faults={"redirect:loop": 1})
    url = output(sandbox)
    loop = fetch(url).headers["location"]
    sandbox.faults(**{"redirect:loop": 0.001})
    assert {fetch(loop).headers["location"] for _ in range(5)} == {loop}, (
        "whatever the next reads are drawn for"
    )
    sandbox.faults(**{"redirect:loop": 1})
    with pytest.raises(errors.Undelivered, match="more than 3 times"):
        collect(url, tmp_path)


def test_a_redirect_leads_to_another_host_over_http(start_sandbox, tmp_path):
    sandbox = start_sandbox(faults={"redirect:http": 1})
    there = location(sandbox)
    assert (there.scheme, there.host) == ("http", "127.0.0.2")
    with pytest.raises(errors.Undelivered):
        collect(output(sandbox), tmp_path)


def test_a_redirect_leads_to_where_clouds_keep_their_secrets(start_sandbox):
    assert location(start_sandbox(faults={"redirect:metadata": 1})).host == "169.254.169.254"


def test_a_redirect_without_a_kind_is_drawn_the_same_for_one_seed(start_sandbox):
    def drawn(seed):
        sandbox = start_sandbox(faults={"redirect": 1}, seed=seed, creates_per_minute=0)
        return [httpx.URL(fetch(output(sandbox, job)).headers["location"]).host for job in range(8)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_pixel_bomb_is_a_whole_picture_that_no_one_should_look_at(start_sandbox, tmp_path):
    url = output(start_sandbox(faults={"bomb:pixels": 1}))
    content = fetch(url).content
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(content))
    with pytest.raises(errors.NotAnImage):
        collect(url, tmp_path)


def test_while_a_pixel_bomb_is_made_others_are_answered(start_sandbox):
    sandbox = start_sandbox(faults={"bomb:pixels": 1})
    url = output(sandbox)
    with ThreadPoolExecutor(1) as pool:
        bomb = pool.submit(fetch, url)
        answered = 0
        while not bomb.done():
            sandbox.stats()
            answered += 1
    assert answered > 5


def test_an_endless_body_begins_as_a_picture_and_does_not_end(start_sandbox, tmp_path):
    url = output(start_sandbox(faults={"bomb:endless": 1}))
    with httpx.stream("GET", url, trust_env=False) as answer:
        assert "content-length" not in answer.headers
        pieces = list(itertools.islice(answer.iter_bytes(65536), 100))
    assert pieces[0].startswith(b"\x89PNG")
    assert sum(map(len, pieces)) > 5_000_000
    with pytest.raises(errors.NotAnImage, match="larger than 2000000 bytes"):
        collect(url, tmp_path, max_bytes=2_000_000)


@pytest.mark.parametrize(("kind", "begun"), [("head", False), ("body", True)])
def test_an_output_drips_from_its_head_or_from_its_body_on(start_sandbox, tmp_path, kind, begun):
    sandbox = start_sandbox()
    url = output(sandbox)
    sandbox.faults(**{f"drip:{kind}": 1})
    assert has_head(url) is begun
    with pytest.raises(errors.Undelivered):
        collect(url, tmp_path, deadline=1)


def has_head(url):
    """Whether status and headers come at once, and not byte by byte."""
    where = httpx.URL(url)
    with socket.create_connection((where.host, where.port), 30) as line:
        line.sendall(b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (where.raw_path, where.netloc))
        return b"\r\n\r\n" in line.recv(65536)


def test_an_answer_drips_and_what_it_is_about_was_accepted(start_sandbox):
    sandbox = start_sandbox(faults={"drip:body": 1})
    document = {"version": VERSION, "input": {"image": data_uri()}}
    with sandbox.client() as client:
        with client.stream("POST", "/predictions", json=document) as answer:
            assert drips(answer)
        (bought,) = sandbox.ledger()
        assert bought["fault"] == "drip"
        with client.stream("GET", f"/predictions/{bought['id']}") as answer:
            assert drips(answer)
        sandbox.heal()
        assert client.get(f"/predictions/{bought['id']}").json()["status"] == "succeeded"


def drips(answer):
    return 1 <= len(next(answer.iter_raw())) < int(answer.headers["content-length"]) / 10


def test_an_output_can_be_sent_slowly_and_comes_whole(start_sandbox):
    sandbox = start_sandbox(output_seconds=0.5)
    url = output(sandbox)
    with httpx.stream("GET", url) as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 1
    assert b"".join(pieces).startswith(b"\x89PNG")
    assert sum(map(len, pieces)) == int(answer.headers["content-length"])
