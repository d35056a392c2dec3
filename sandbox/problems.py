"""How the API words its refusals; what it refuses is decided in the routes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

# Status and code of what a gateway of the one-api family refuses by itself, without asking the model's host.
_ONE_API = {
    401: (401, "invalid_api_key"),
    402: (403, "insufficient_user_quota"),
    429: (429, "rate_limit_exceeded"),
}
_SPENT = "insufficient_quota"
_LOW_CREDIT = "While your credit is low, you have {} requests per minute with a burst of 1 request. "


class Problem(Exception):
    """A request that is refused: raised anywhere under a route, answered by its guard."""

    def __init__(self, status: int, detail: str, *, title: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {"detail": detail, "status": status, **members}
        if title is not None:
            self.body["title"] = title

    def response(self) -> Response:
        return JSONResponse(
            self.body, self.status, media_type="application/problem+json", headers=self.headers
        )

    def one_api_response(self) -> Response:
        """Word it as gateways of the one-api family do: no headers, and 403 for an account that cannot pay."""
        status, code = _ONE_API.get(self.status, (self.status, None))
        error = {
            "message": str(self),
            "type": "new_api_error" if code else "invalid_request_error",
            "param": "",
            "code": code,
        }
        return JSONResponse({"error": error}, status)


class TurnedAway(Problem):
    """A request that never reaches the API: the proxy in front of it answers, with a page."""

    def response(self) -> HTMLResponse:
        return page(self.status, str(self))

    one_api_response = response


class Spent(Problem):
    """An account without quota, refused by a gateway of the one-api family: by its code, not by its status."""

    def response(self) -> Response:
        error = {"message": str(self), "type": _SPENT, "param": "", "code": _SPENT}
        return JSONResponse({"error": error}, self.status)

    one_api_response = response


def unauthenticated() -> Problem:
    """Refuse a token."""
    return Problem(401, "You did not pass a valid authentication token", title="Unauthenticated")


def insufficient_credit() -> Problem:
    """Refuse an account that cannot pay."""
    return Problem(402, "This account has no credit left to run this model.", title="Insufficient credit")


def insufficient_quota() -> Problem:
    """Refuse an account whose quota at a gateway is used up."""
    return Spent(429, "You exceeded your current quota, please check your plan and billing details.")


def throttled(
    wait: float, headers: Mapping[str, str], *, unit: float = 1.0, reduced_to: float | None = None
) -> Problem:
    """Say how long to wait in all three places where clients look: header, field and text.

    The wait is a whole multiple of ``unit`` seconds, which are fewer where time passes faster. The text alone tells
    why: that low credit has ``reduced_to`` so many requests a minute.
    """
    seconds = shortest(unit * max(1, math.ceil(wait / unit)))
    why = "" if reduced_to is None else _LOW_CREDIT.format(shortest(reduced_to))
    problem = Problem(
        429, f"Request was throttled. {why}Your rate limit resets in ~{seconds}s.", retry_after=seconds
    )
    problem.headers = {**headers, "retry-after": str(seconds)}
    return problem


def shortest(seconds: float) -> float:
    """Return a number that is written without a fraction if it has none.

    >>> shortest(5.0), shortest(0.25)
    (5, 0.25)
    """
    return int(seconds) if float(seconds).is_integer() else round(seconds, 3)


def not_found(what: str = "The requested resource could not be found.") -> Problem:
    """Refuse a path or an id that leads to nothing."""
    return Problem(404, what, title="Not found")


def not_offered(status: int) -> Problem:
    """Refuse a call that this API does not have, or grants to nobody."""
    return Problem(status, "This operation is not available.")


def too_large(what: str) -> Problem:
    """Refuse a file for its size."""
    return Problem(413, what, title="Content too large")


def invalid(fields: Sequence[tuple[str, str, str]]) -> Problem:
    """Refuse a body; each field is (kind of mistake, dotted path, what is wrong)."""
    return Problem(
        422,
        "".join(
            f"- {field}: {description}\n" if field else f"- {description}\n"
            for _, field, description in fields
        ),
        title="Input validation failed",
        invalid_fields=[{"type": kind, "field": field, "description": text} for kind, field, text in fields],
    )


def invalid_version() -> Problem:
    """Refuse a version that is malformed or nobody's."""
    return Problem(
        422,
        "The specified version does not exist, or this token may not run it.",
        title="Invalid version or not permitted",
    )


def page(status: int, heading: str) -> HTMLResponse:
    """Return an HTML page, as the proxies in front of an API send where JSON is expected."""
    return HTMLResponse(
        f"<html><head><title>{heading}</title></head><body><h1>{heading}</h1></body></html>", status
    )
