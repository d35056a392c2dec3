"""How each call to the prediction API is made: URLs, headers, deadlines, and what may be sent only once.

Sends the API token, and only to the base URL: redirects are not followed, and URLs inside replies are never
called. `replies` says what a reply means.
"""

import asyncio
import base64
import html
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpcore
import httpx
from pydantic import SecretStr

from jobs import errors
from worker.api import bodies, dates, replies, wire

# An object echoes its input and may hold its outputs, both as data URIs; a page has a hundred objects.
_OBJECT_CAP = 64_000_000
PAGE_CAP = 160_000_000
# No prediction's id: any API answers such a question, if only that it does not know it.
MADE_UP = "overnight"
# A shorter token is made up, and might occur inside an id.
_SHORTEST_SECRET = 16


class PredictionClient:
    """The calls of a Replicate-compatible API, each within ``deadline`` seconds by the wall clock; uploads get longer.

    Creates have lines of their own, so that POSTs that hang cannot hold up look-ups and polls; so do uploads,
    which may take minutes. Belongs to one event loop. If ``webhook`` is given, the API is asked to call it at
    the end of every prediction bought.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretStr,
        *,
        deadline: float,
        connections: int,
        webhook: str | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._token = token
        # Sent beside the input, not in it: predictions are matched by their input alone.
        self._hinted = {"webhook": webhook, "webhook_events_filter": ["completed"]} if webhook else {}
        self._deadline = deadline
        self._creates = wire.Lines(connections)
        self._others = wire.Lines(connections)
        self._uploads = wire.Lines(connections)
        # Creates that the API would accept now, if its last answer to one said so.
        self.creates_left: int | None = None
        self.date: datetime | None = None  # the API's own time at its last answer to a read, if it gave one

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._creates.aclose()
        await self._others.aclose()
        await self._uploads.aclose()

    async def create(
        self,
        version: str,
        input: Mapping[str, Any],  # noqa: A002  the API's own word for it
        cancel_after: float,
        before_send: Callable[[], None] | None = None,
    ) -> replies.Prediction:
        """Buy one prediction: sent at most once, and never again by this layer.

        `before_send` is called when a line is free and the POST is about to leave; it may raise NotSent.
        Raises NotSent while nothing can have left, and Unconfirmed from then until a definite answer. This
        holds for a cancellation too, so that a slice that is cut short knows how each attempt stands.
        """
        sending = wire.Sending()
        request = self._request(
            "POST",
            "/predictions",
            {"Content-Type": "application/json", "Cancel-After": f"{max(5, round(cancel_after))}s"},
            _json({"version": version, "input": dict(input), **self._hinted}),
            {"trace": sending.trace},
        )
        try:
            reply = await self._post(request, before_send)
        except (errors.Unanswered, asyncio.CancelledError) as error:
            words = str(error) or "The send was cut short."
            raise (errors.Unconfirmed(words) if sending.begun else errors.NotSent(words)) from error
        return replies.created(reply.status, reply.headers, reply.body)

    async def get(self, id: str) -> replies.Prediction:  # noqa: A002  the API's own word for it
        """Ask for one prediction."""
        reply = await self._ask(self._request("GET", _path(id)))
        return _asked(id, replies.read(reply.status, reply.headers, reply.body))

    async def cancel(self, id: str) -> replies.Prediction:  # noqa: A002  the API's own word for it
        """Ask the API to end a prediction; asking twice is harmless."""
        reply = await self._ask(self._request("POST", f"{_path(id)}/cancel"))
        return _asked(id, replies.canceled(reply.status, reply.headers, reply.body))

    async def list(
        self, created_after: datetime | None = None, cursor: str | None = None, *, cap: int = PAGE_CAP
    ) -> replies.Page:
        """Ask for a page of the list: the first, or the one that a cursor names."""
        query = [cursor] if cursor else []
        if created_after and "created_after=" not in (cursor or ""):
            moment = created_after.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            query.append(f"created_after={quote(moment, safe='')}")
        path = "/predictions" + ("?" + "&".join(query) if query else "")
        reply = await self._ask(self._request("GET", path), cap)
        return replies.page(reply.status, reply.headers, reply.body)

    async def speaks(self) -> bool:
        """Whether there is an API at the URL: it would answer in JSON even about an unknown prediction.

        Raises Unanswered if nothing answers. A 5xx page counts as a yes, since a gateway may answer for the API.
        """
        reply = await self._ask(self._request("GET", _path(MADE_UP)))
        return reply.status >= 500 or bodies.parsed(reply.body) is not None

    async def upload(
        self, content: bytes, name: str, media_type: str, *, deadline: float
    ) -> replies.Uploaded:
        """Upload a file within ``deadline`` seconds; return its URL, and how long inputs may name it."""
        form = httpx.Request("POST", self._base, files={"content": (name, content, media_type)})
        headers = {"Content-Type": form.headers["content-type"]}
        request = self._request("POST", "/files", headers, form.read())
        async with self._uploads.one() as line:
            reply = self._without_token(
                await wire.exchange(line, request, deadline=deadline, cap=_OBJECT_CAP)
            )
        return replies.uploaded(reply.status, reply.headers, reply.body)

    async def _post(self, request: wire.Request, before_send: Callable[[], None] | None) -> wire.Reply:
        async with self._creates.one() as line:
            if before_send:
                before_send()
            reply = await wire.exchange(line, request, deadline=self._deadline, cap=_OBJECT_CAP)
        self.creates_left = replies.left(reply.headers)
        return self._without_token(reply)

    async def _ask(self, request: wire.Request, cap: int = _OBJECT_CAP) -> wire.Reply:
        async with self._others.one() as line:
            reply = await wire.exchange(line, request, deadline=self._deadline, cap=cap)
        self.date = dates.http(reply.headers.get("date"))
        return self._without_token(reply)

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        extensions: Mapping[str, Any] | None = None,
    ) -> wire.Request:
        always = {
            "Host": urlsplit(self._base).netloc,
            "Authorization": f"Bearer {self._token.get_secret_value()}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "overnight",
        }
        url = httpcore.URL(self._base + path)
        return wire.Request(method, url, {**always, **(headers or {})}, content, extensions)

    def _without_token(self, reply: wire.Reply) -> wire.Reply:
        """Remove the token from a body: some gateways repeat it in their errors, which are stored and printed."""
        body = reply.body
        # Not kept as an attribute, which a repr would show.
        for spelling in _spellings(self._token.get_secret_value()):
            body = body.replace(spelling, b"[token]")
        return wire.Reply(reply.status, reply.headers, body)


def _spellings(token: str) -> frozenset[bytes]:
    """Return the forms that a token may have in a body: plain, escaped for JSON or HTML, in a URL, in Base64."""
    if len(token) < _SHORTEST_SECRET:
        return frozenset()
    for_html = token.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&'"})
    quoted = json.dumps(token)[1:-1]
    spelt = {token, quoted, quoted.replace("/", "\\/"), for_html, html.escape(token), quote(token, safe="")}
    return frozenset(map(str.encode, spelt)) | {base64.b64encode(token.encode()).rstrip(b"=")}


def _path(prediction_id: str) -> str:
    return "/predictions/" + quote(prediction_id, safe="")


def _asked(prediction_id: str, prediction: replies.Prediction) -> replies.Prediction:
    """Check that the answer is about the right prediction: a cache might mix them up, and so the jobs' pictures."""
    if prediction.id != prediction_id:
        raise errors.Unanswered("The API answered with another prediction than the one asked for.")
    return prediction


def _json(value: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except ValueError as error:
        raise errors.Refused(f"The input cannot be written as JSON: {error}.") from error
