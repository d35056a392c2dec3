"""``GET /v1/predictions``: which predictions are on which page of the list, and in which order."""

import base64
import binascii
import bisect
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import answers, problems, wire
from sandbox.options import Options
from sandbox.plan import Plan
from sandbox.predictions import Prediction
from sandbox.records import Records
from sandbox.views import Views

_PAGE = 100
_LEFT_OUT = frozenset({"input", "output", "error", "logs", "metrics"})
# Where a prediction stands in the list: sorted by this moment, then by its id.
Place = tuple[float, str]


@dataclass(kw_only=True)
class Listing:
    """Lists an account's predictions, newest first; faults misplace or hide them by up to a lag."""

    options: Options
    plan: Plan
    records: Records
    views: Views
    _reads: Counter[str] = field(default_factory=Counter, init=False)
    # Drawing a place costs two hashes, and each page sorts by the places of all.
    _places: dict[str, Place] = field(default_factory=dict, init=False)
    _shuffled: float = field(default=0.0, init=False)

    async def list(self, request: Request, account: str) -> Response:
        start = _moment(request, "created_after", 0.0)
        end = _moment(request, "created_before", float("inf"))
        self._reads[account] += 1
        read = self._reads[account]
        if wire.was_kept(request) and self.plan.strikes("stale", "list", read):
            return wire.Reset()
        if self.plan.strikes("get_5xx", "list", read):
            return problems.page(503, "Service unavailable")
        before, after = _read_cursor(request.query_params.get("cursor"))
        shelf = self._shelf(account, start, end)
        first, last = self._page(shelf, before, after)
        page = shelf[first:last]
        now, host = time.time(), request.headers.get("host", "")
        answer = JSONResponse(
            {
                "next": self._link(request, "before", self._place(page[0])) if page and first else None,
                "previous": (
                    self._link(request, "after", self._place(shelf[last]))
                    if page and last < len(shelf)
                    else None
                ),
                "results": [
                    await self._entry(prediction, now, host)
                    for prediction in reversed(page)
                    if not self._lags(prediction, now)
                ],
            }
        )
        odd = self.plan.kind("get_odd", "list", read)
        return answers.misread(odd, answer, self.options.wait) if odd else answer

    async def _entry(self, prediction: Prediction, now: float, host: str) -> dict[str, Any]:
        shown = await self.views.show(prediction, now, host)
        if not self.plan.is_quiet() and self.plan.strikes("list_bare", prediction.subject):
            return {name: value for name, value in shown.items() if name not in _LEFT_OUT}
        return shown

    def _shelf(self, account: str, start: float, end: float) -> Sequence[Prediction]:
        """Return what was created in [start, end), in the reverse order of the list."""
        if (shuffled := self.plan.share("list_shuffle")) != self._shuffled:
            self._places, self._shuffled = {}, shuffled
        found = self.records.between(account, start, end)
        return sorted(found, key=self._place) if shuffled else found

    def _page(
        self, shelf: Sequence[Prediction], before: Place | None, after: Place | None
    ) -> tuple[int, int]:
        if after is not None:
            first = bisect.bisect_left(shelf, after, key=self._place)
            return first, min(first + _PAGE, len(shelf))
        last = len(shelf) if before is None else bisect.bisect_left(shelf, before, key=self._place)
        return max(0, last - _PAGE), last

    def _place(self, prediction: Prediction) -> Place:
        """Return where it stands: always the same, so that a client that reads all pages sees each prediction once."""
        if (place := self._places.get(prediction.id)) is None:
            place = self._places[prediction.id] = self._draw_place(prediction)
        return place

    def _draw_place(self, prediction: Prediction) -> Place:
        if not self.plan.strikes("list_shuffle", prediction.subject):
            return prediction.t, prediction.id
        return prediction.t + self.options.lag * self.plan.number("place", prediction.subject), prediction.id

    def _lags(self, prediction: Prediction, now: float) -> bool:
        return now < prediction.t + self.options.lag and self.plan.strikes("list_lag", prediction.subject)

    def _link(self, request: Request, direction: str, place: Place) -> str:
        """Return the URL of a neighbouring page, with the filters of this one."""
        cursor = base64.urlsafe_b64encode(f"{direction} {place[0]!r} {place[1]}".encode()).decode()
        kept = {name: text for name, text in request.query_params.items() if name != "cursor"}
        base = self.options.manners.elsewhere or f"http://{request.headers.get('host', '')}"
        return f"{base}/v1/predictions?{urlencode({**kept, 'cursor': cursor})}"


def _moment(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise problems.invalid([("format", name, "Must be a date-time in ISO 8601 format")]) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_cursor(cursor: str | None) -> tuple[Place | None, Place | None]:
    """Return (before this place, at or after this place); a cursor sets one of them."""
    if cursor is None:
        return None, None
    try:
        direction, moment, prediction_id = base64.urlsafe_b64decode(cursor).decode().split()
        place = float(moment), prediction_id
    except (binascii.Error, ValueError):
        raise problems.not_found("Invalid cursor") from None
    return (place, None) if direction == "before" else (None, place)
