"""``GET /v1/predictions``, ``GET /v1/predictions/{id}`` and ``POST /v1/predictions/{id}/cancel``."""

import base64
import binascii
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import faults, predictions, problems
from sandbox.census import Census
from sandbox.predictions import Prediction
from sandbox.records import Records

_PAGE = 100


class Reading:
    """Shows predictions as they are now, and cancels them."""

    def __init__(self, lifetime: float, *, plan: faults.Plan, records: Records, census: Census) -> None:
        self._lifetime = lifetime
        self._plan = plan
        self._records = records
        self._census = census
        self._reads: Counter[str] = Counter()

    async def get(self, request: Request, account: str) -> Response:
        prediction = self._find(request, account)
        if self._falters(prediction.subject):
            return problems.page(503, "Service unavailable")
        return JSONResponse(self._describe(prediction, request))

    async def list(self, request: Request, account: str) -> Response:
        start = _moment(request, "created_after", 0.0)
        end = _moment(request, "created_before", float("inf"))
        if self._falters("list"):
            return problems.page(503, "Service unavailable")
        before, after = _read_cursor(request.query_params.get("cursor"))
        mine, low, high = self._records.between(account, start, end)
        _, first, last = self._records.between(account, after or start, before or end)
        if after is not None:
            last = min(first + _PAGE, high)
        first = max(first, last - _PAGE, low)
        page = mine[first:last]
        return JSONResponse(
            {
                "next": _link(request, "before", page[0].t) if page and first > low else None,
                "previous": _link(request, "after", mine[last].t) if page and last < high else None,
                "results": [self._describe(prediction, request) for prediction in reversed(page)],
            }
        )

    async def cancel(self, request: Request, account: str) -> Response:
        prediction = self._find(request, account)
        now = time.time()
        if predictions.stage(prediction, now).completed_at is None:
            await self._records.cancel(prediction, now)
            self._census.ended(prediction.id)
        return JSONResponse(self._describe(prediction, request))

    def _find(self, request: Request, account: str) -> Prediction:
        prediction = self._records.find(request.path_params["id"], account)
        if prediction is None:
            raise problems.not_found()
        return prediction

    def _falters(self, subject: str) -> bool:
        self._reads[subject] += 1
        return self._plan.strikes("get_5xx", subject, self._reads[subject])

    def _describe(self, prediction: Prediction, request: Request) -> dict[str, Any]:
        base = f"http://{request.headers.get('host', '')}"
        return predictions.describe(prediction, time.time(), base=base, lifetime=self._lifetime)


def _moment(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise problems.invalid([("format", name, "Must be a date-time in ISO 8601 format")]) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _link(request: Request, direction: str, moment: float) -> str:
    """Return the URL of a neighbouring page, with the filters of this one."""
    cursor = base64.urlsafe_b64encode(f"{direction} {moment!r}".encode()).decode()
    kept = {name: text for name, text in request.query_params.items() if name != "cursor"}
    host = request.headers.get("host", "")
    return f"http://{host}/v1/predictions?{urlencode({**kept, 'cursor': cursor})}"


def _read_cursor(cursor: str | None) -> tuple[float | None, float | None]:
    """Return (created before, created at or after), of which a cursor sets one."""
    if cursor is None:
        return None, None
    try:
        direction, moment = base64.urlsafe_b64decode(cursor).decode().split()
        return (float(moment), None) if direction == "before" else (None, float(moment))
    except (binascii.Error, ValueError):
        raise problems.not_found("Invalid cursor") from None
