"""Which requests the API understands. Pure; raises only ``problems.Problem``."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from sandbox import problems, schema, urls

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s?)?", re.ASCII)
_MINIMUM_DEADLINE = 5.0
_LONGEST_WAIT = 60.0
_TOO_LONG_DATA_URI = 1_000_000

# An image may be a megabyte of base64; the mask keeps it out of every message.
_CREATE = jsonschema_rs.validator_for(schema.CREATE, mask="the value")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a valid create asks for."""

    version: str
    input: dict[str, Any]
    webhook: str | None  # to be called at its end


def read_create(body: bytes) -> Asked:
    """Read a create's body as the API does: 400 if it is not JSON, 422 if it does not fit the schema."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise problems.Problem(400, "The request body is no JSON document.", title="Bad request") from None
    if mistakes := [_describe(error) for error in _CREATE.iter_errors(document)]:
        raise problems.invalid(mistakes)
    version = document["version"].removeprefix(f"{schema.OWNER}/{schema.NAME}:")
    if not schema.VERSION.fullmatch(version):
        raise problems.invalid_version()
    image = document["input"]["image"]
    if not image.startswith("data:") and urls.split(image) is None:
        raise problems.invalid([("format", "input.image", "Does not match format 'uri'")])
    webhook = document.get("webhook")
    if webhook is not None and not _is_callable(webhook):
        raise problems.invalid(
            [("format", "webhook", "Must be an HTTPS URL, or an HTTP URL of this machine")]
        )
    wanted = "completed" in document.get("webhook_events_filter", ["completed"])
    return Asked(version, document["input"], webhook if wanted else None)


def _is_callable(webhook: str) -> bool:
    url = urls.split(webhook)
    return url is not None and (urls.is_here(url) or (url.scheme == "https" and bool(url.hostname)))


def _describe(error: jsonschema_rs.ValidationError) -> tuple[str, str, str]:
    kind = error.kind
    description = error.message
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        description = f"{kind.property} is required"
    return type(kind).__name__.lower(), ".".join(str(part) for part in error.instance_path), description


def read_data_uri(uri: str) -> bytes:
    """Return the bytes of a base64 data URI; 422 if it is not one, a 413 page if it is too long."""
    if len(uri) >= _TOO_LONG_DATA_URI:
        raise problems.TurnedAway(413, "Request entity too large")
    head, comma, payload = uri.partition(",")
    try:
        if comma and head.endswith(";base64"):
            return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise problems.invalid([("format", "input.image", "Does not match format 'uri'")])


def read_deadline(header: str | None) -> float | None:
    """Return the seconds of a ``Cancel-After`` header; 422 when it is malformed or too short.

    >>> read_deadline("1h30m"), read_deadline("90"), read_deadline(None)
    (5400.0, 90.0, None)
    """
    if header is None:
        return None
    match = _DURATION.fullmatch(header.strip())
    parts = match.groups() if match else ()
    seconds = sum(int(part or 0) * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if seconds < _MINIMUM_DEADLINE:
        raise problems.invalid(
            [("format", "Cancel-After", "Must be a duration of at least 5 seconds, such as 90s")]
        )
    return float(seconds)


def read_wait(prefer: str) -> float:
    """Return how many seconds a ``Prefer`` header asks to hold back the answer.

    >>> read_wait("wait=5"), read_wait("wait"), read_wait("respond-async")
    (5.0, 60.0, 0.0)
    """
    for preference in prefer.split(","):
        name, _, seconds = preference.strip().partition("=")
        if name == "wait" and (not seconds or seconds.isdecimal()):
            return min(float(seconds or _LONGEST_WAIT), _LONGEST_WAIT)
    return 0.0
