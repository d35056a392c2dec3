"""Reads the body of an API's reply safely: JSON, the words for a person, and the error code.

Bodies are untrusted: nothing here raises, whatever the bytes, and messages come out short and fit for one log
line. `refusals` says which error a reply amounts to.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jobs import texts

MESSAGE_LIMIT = 500

_WORDS = ("title", "detail", "message", "msg", "error")
_MOST_WORDS = 5  # a validation error may list every field of the model


def parsed(body: bytes) -> Any:
    """Return the JSON value; None if it is unreadable, too deep, or has absurdly long numbers."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def fields(value: Any) -> Mapping[str, Any]:
    """Return a JSON object's fields; any other value has none."""
    return value if isinstance(value, dict) else {}


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    r"""Return a text as one short line: white space folded, control characters escaped, the middle cut out.

    The end is kept because that is where a traceback names its cause.

    >>> one_line("CUDA out of\n  memory \x1b[31m")
    'CUDA out of memory \\x1b[31m'
    """
    if len(text) > limit:
        tail = limit // 3
        text = f"{text[: limit - tail - 3]} … {text[-tail:]}"
    return texts.printable(" ".join(text.split()))[:limit]


def storable(text: str) -> str:
    """Return a text that every database accepts: no NUL, no lone surrogate."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "")


def message(value: Any) -> str:
    r"""Return an error object's words for a person; empty if there are none.

    >>> message({"title": "Input validation failed", "detail": "- input: prompt is required\n"})
    'Input validation failed: - input: prompt is required'
    >>> message({"error": {"message": "no channel", "code": "x"}})
    'no channel'
    """
    return one_line(": ".join(dict.fromkeys(_said(value))))


def code(value: Any) -> str:
    """Return an error object's machine-readable words, in lower case, joined by spaces.

    >>> code({"error": {"message": "…", "type": "new_api_error", "code": "insufficient_user_quota"}})
    'insufficient_user_quota new_api_error'
    """
    reply = fields(value)
    error = fields(reply.get("error"))
    found = (reply.get("code"), error.get("code"), error.get("type"))
    return " ".join(one_line(word, 100).lower() for word in found if isinstance(word, str))


def _said(value: Any) -> Iterator[str]:
    reply = fields(value)
    for name in _WORDS:
        yield from _texts(reply.get(name))


def _texts(value: Any) -> Iterator[str]:
    for item in value[:_MOST_WORDS] if isinstance(value, list) else [value]:
        found = fields(item).get("message", fields(item).get("msg", item))
        if isinstance(found, str) and found.strip():
            yield found.strip()
