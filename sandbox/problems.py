"""How the API words what it refuses; where it refuses is the routes' question."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse


class Problem(Exception):
    """A request that is refused: raised anywhere under a route, answered by its guard."""

    def __init__(self, status: int, detail: str, *, title: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {"detail": detail, "status": status, **members}
        if title is not None:
            self.body["title"] = title

    def response(self) -> JSONResponse:
        return JSONResponse(
            self.body, self.status, media_type="application/problem+json", headers=self.headers
        )


def unauthenticated() -> Problem:
    """Refuse a token."""
    return Problem(401, "You did not pass a valid authentication token", title="Unauthenticated")


def insufficient_credit() -> Problem:
    """Refuse an account that cannot pay."""
    return Problem(402, "This account has no credit left to run this model.", title="Insufficient credit")


def throttled(wait: float, headers: Mapping[str, str]) -> Problem:
    """Say for how long to wait in all three places where clients look: header, field and text."""
    seconds = max(1, math.ceil(wait))
    problem = Problem(
        429, f"Request was throttled. Your rate limit resets in ~{seconds}s.", retry_after=seconds
    )
    problem.headers = {**headers, "retry-after": str(seconds)}
    return problem


def not_found(what: str = "The requested resource could not be found.") -> Problem:
    """Refuse a path or an id that leads to nothing."""
    return Problem(404, what, title="Not found")


def too_large(what: str) -> Problem:
    """Refuse a body for its size."""
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
