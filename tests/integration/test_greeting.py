"""What an API, or what is taken for one, may answer before anything is bought."""

import asyncio
import json

import pytest

from jobs import errors, settings
from tests.integration import wires
from worker.api import greeting

PAGE = b"<!doctype html><title>Welcome</title>"
LIST = json.dumps({"results": [], "next": None, "previous": None}).encode()
UNKNOWN = json.dumps({"detail": "not found"}).encode()


def greeted(monkeypatch, *answers, path="/v1"):
    """Greet a server that gives these answers in turn, the last one for ever; return how often it was asked."""
    asked = []

    async def answer(heard, writer):
        asked.append(heard)
        writer.write(answers[min(len(asked), len(answers)) - 1])

    monkeypatch.setenv("OVERNIGHT_API_TOKEN", "token-of-a-test")
    monkeypatch.setenv("OVERNIGHT_TIME_SCALE", "0.05")

    async def greet():
        async with wires.serve(answer) as served:
            configured = settings.load(api=f"{served.url}{path}")
            [account] = configured.require_credentials()
            await asyncio.to_thread(greeting.greet, configured, account)

    asyncio.run(greet())
    return [heard.method for heard in asked]


def said(body, status):
    return wires.reply(body, status)


@pytest.mark.parametrize(
    "answers",
    [
        [said(LIST, "200 OK")],
        [said(UNKNOWN, "429 Too Many Requests")],
        [said(UNKNOWN, "402 Payment Required")],
        [said(PAGE, "404 Not Found"), said(UNKNOWN, "404 Not Found")],
        [said(PAGE, "502 Bad Gateway"), said(PAGE, "502 Bad Gateway"), said(LIST, "200 OK")],
    ],
    ids=["a list", "too busy", "no credit", "no list", "one failure"],
)
def test_an_api_is_taken_for_one_whatever_it_says_and_nothing_is_bought(monkeypatch, answers):
    assert set(greeted(monkeypatch, *answers)) == {"GET"}


@pytest.mark.parametrize(
    "status", ["404 Not Found", "200 OK", "301 Moved Permanently", "405 Method Not Allowed"]
)
def test_a_web_site_is_no_api(monkeypatch, status):
    with pytest.raises(errors.Mistake, match=r"is no predictions API: .*; mend OVERNIGHT_API_URL"):
        greeted(monkeypatch, said(PAGE, status))


@pytest.mark.parametrize(("path", "hinted"), [("", True), ("/", True), ("/v1", False), ("/api", False)])
def test_a_url_without_a_path_is_told_how_such_urls_end(monkeypatch, path, hinted):
    with pytest.raises(errors.Mistake, match="is no predictions API") as caught:
        greeted(monkeypatch, said(PAGE, "404 Not Found"), path=path)
    assert ("most such URLs end in /v1" in str(caught.value)) is hinted


def test_a_token_that_is_refused_is_told_without_it(monkeypatch):
    with pytest.raises(errors.Mistake, match="refuses the token: The API answered 401") as caught:
        greeted(monkeypatch, said(UNKNOWN, "401 Unauthorized"))
    assert "token-of-a-test" not in str(caught.value)


def test_an_api_that_only_fails_is_not_to_be_had(monkeypatch):
    with pytest.raises(
        errors.Unavailable, match=r"is not to be had: The API answered 503[^.]*; try again later"
    ):
        greeted(monkeypatch, said(PAGE, "503 Service Unavailable"))
