"""The answers to API calls that a fault has struck."""

import json
import math
import time
from email.utils import formatdate
from typing import Any

from starlette.responses import JSONResponse, Response

from sandbox import problems, wire

_ABSURD = 86400


def refusal(fault: str, kind: str | None, wait: float) -> Response:
    """Return the answer to a create that was not accepted, or raise it; ``fault`` is one of ``faults.BEFORE``.

    ``wait`` is the number of seconds that a throttled client must wait.
    """
    match fault:
        case "refuse":
            return wire.Drop()
        case "429":
            raise problems.throttled(wait, {}, unit=wait)
        case "429_odd":
            return _throttled_oddly(kind or "none", wait)
        case "html200":
            return problems.page(200, "Welcome")
        case "late_exec":
            return problems.page(504, "Gateway time-out")
        case _:
            return problems.page(502, "Bad gateway")


def told(fault: str, kind: str | None, wait: float) -> float:
    """Return for how many seconds a refusal tells the client to wait; 0 if it says nothing, or nothing sensible."""
    match fault, kind:
        case ("429", _) | ("429_odd", "seconds" | "field" | "text"):
            return problems.shortest(wait)
        case "429_odd", "date":
            return _date(wait) - time.time()
        case _:
            return 0.0


def _date(wait: float) -> int:
    """Return the first whole second, since 1970, that is no sooner than the wait: a date has no others."""
    return math.ceil(time.time() + wait)


def _throttled_oddly(kind: str, wait: float) -> Response:
    """Return a 429 that says how long to wait in one place only, wrongly, or not at all."""
    seconds = problems.shortest(wait)
    header: str | None = None
    body: dict[str, Any] = {"detail": "Request was throttled.", "status": 429}
    match kind:
        case "seconds":
            header = str(seconds)
        case "date":
            header = formatdate(_date(wait), usegmt=True)
        case "field":
            body["retry_after"] = seconds
        case "text":
            body["detail"] = f"Request was throttled. Expected available in {seconds} seconds."
        case "absurd":
            header = str(_ABSURD)
        case "negative":
            header = f"-{seconds}"
    return JSONResponse(body, 429, headers={"retry-after": header} if header else None)


def away(kind: str) -> Response:
    """Return the answer to any call during an outage."""
    match kind:
        case "refuse":
            return wire.Drop()
        case "hang":
            return wire.Silence()
        case _:
            return problems.page(503, "Service unavailable")


def misread(kind: str, answer: Response, wait: float) -> Response:
    """Return what becomes of the answer to a read, or raise what comes instead."""
    match kind:
        case "html":
            return problems.page(200, "Welcome")
        case "cut":
            return Response(answer.body[: len(answer.body) // 2], media_type="application/json")
        case "429":
            raise problems.throttled(wait, {}, unit=wait)
        case _:
            return wire.Drop()


def uncertain(kind: str) -> Response:
    """Return the answer to a cancel that was carried out."""
    return wire.Drop() if kind == "drop" else problems.page(502, "Bad gateway")


def spoilt(fault: str, described: dict[str, Any]) -> Response:
    """Return the answer to a create that was accepted; ``fault`` is one of ``faults.AFTER``."""
    match fault:
        case "exec_and_timeout":
            return wire.Silence()
        case "exec_and_drop":
            return wire.Drop()
        case "exec_and_reset":
            return wire.Reset()
        case "bad_json":
            whole = json.dumps(described)
            return Response(whole[: len(whole) // 2], 201, media_type="application/json")
        case "no_id":
            return JSONResponse({k: v for k, v in described.items() if k not in {"id", "urls"}}, 201)
        case _:
            return problems.page(502, "Bad gateway")
