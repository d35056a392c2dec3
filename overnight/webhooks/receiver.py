"""How calls are answered. Anybody may call, so nothing is believed before the signature has been verified.

Even then only the prediction's id is read from the payload. Nothing of the payload is logged.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog
from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from jobs import errors, signatures
from jobs.hints import Hint
from worker.api import bodies, replies

log = structlog.get_logger(__name__)

_MOST_BODY = 1_000_000  # bytes
_PATIENCE = 10.0  # seconds that a caller may take to send the body
_TELL_EVERY = 60.0  # seconds between two log lines of one kind: anybody could cause a million

Keep = Callable[[Hint], Awaitable[None]]


class _Rejected(Exception):
    """A call that is refused, with the status and a sentence of ours."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Receiver:
    """Takes webhooks signed with one secret, and gives each to ``keep``, which returns once it is written.

    2xx says that the API need not call again, even if there was nothing to do; 4xx, that calling again is in vain;
    503, that it is not.
    """

    def __init__(self, secret: SecretStr, keep: Keep) -> None:
        self._secret = secret
        self._keep = keep
        self._told_at: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def app(self) -> Router:
        """Return the ASGI application; any path will do, since a proxy in front of us may change it."""
        return Router([Route("/{path:path}", self._receive, methods=["POST"])])

    async def _receive(self, request: Request) -> Response:
        try:
            await self._keep(await self._hint(request))
        except _Rejected as rejected:
            self._tell("webhook-rejected", str(rejected))
            return Response(status_code=rejected.status)
        except errors.Unavailable as error:
            self._tell("webhook-not-kept", str(error))
            return Response(status_code=503)
        return Response(status_code=204)

    async def _hint(self, request: Request) -> Hint:
        body = await _body(request)
        try:
            webhook_id = signatures.verify(self._secret, request.headers, body, time.time())
        except signatures.Refused as refused:
            raise _Rejected(401, str(refused)) from None
        prediction_id = bodies.fields(bodies.parsed(body)).get("id")
        if not replies.is_id(prediction_id):
            raise _Rejected(400, "it is signed, and tells of no prediction")
        return Hint(webhook_id, prediction_id)

    def _tell(self, event: str, reason: str) -> None:
        self._untold[event] += 1
        if time.monotonic() - self._told_at.get(event, -math.inf) >= _TELL_EVERY:
            log.warning(event, reason=reason, calls=self._untold.pop(event))
            self._told_at[event] = time.monotonic()


async def _body(request: Request) -> bytes:
    """Return the body as it was sent, since that was signed; reject it as soon as it is too large or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST_BODY:
                    raise _Rejected(413, f"it is larger than {_MOST_BODY} bytes")
    except (TimeoutError, ClientDisconnect):
        raise _Rejected(408, "it was not sent to its end") from None
    return bytes(body)
