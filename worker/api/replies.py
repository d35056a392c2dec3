"""Turns status, headers and body of an answer into a prediction, a page or one of our errors.

Pure: sends nothing, waits for nothing. Every field but the id is optional, and no reply, however wrong,
raises anything but our own errors. `refusals` says what an error reply means.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from jobs import errors, marker
from worker.api import bodies, dates, refusals

_CREATED = frozenset({200, 201, 202})
_FINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
_NO_SUCH_CALL = frozenset({404, 405, 501})
_NO_CANCEL = frozenset({403, 405, 501})  # a 404 may be about the prediction
_FILE_REFUSED = frozenset({400, 413, 415, 422})
_URLS = ("https://", "http://", "data:")
_COUNT = re.compile(r"[0-9]{1,9}")
_LONGEST_ID = 200
_LONGEST_CURSOR = 4000


@dataclass(frozen=True, slots=True)
class Prediction:
    """The API's object, in the API's words.

    ``output`` holds URLs or data URIs; an entry of the list keeps only the beginning of these. ``input`` comes without
    data URIs, since a walk of the list would keep megabytes of them; an image is replaced by its digest.
    """

    id: str
    status: str
    output: tuple[str, ...]
    error: str | None
    input: Mapping[str, Any]
    created_at: datetime | None
    completed_at: datetime | None
    predict_time: float | None
    data_removed: bool

    @property
    def final(self) -> bool:
        """Whether the API will not change it any more; an unknown status is not final."""
        return self.status in _FINAL


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list, newest first, and the query for the next one.

    ``date`` is the API's own time at its answer, in whole seconds; None if it gives none.
    """

    predictions: tuple[Prediction, ...]
    cursor: str | None
    date: datetime | None = None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An uploaded file: the URL by which inputs may name it, and for how many seconds; None if the API does not say."""

    url: str
    lives: float | None


def created(status: int, headers: Mapping[str, str], body: bytes) -> Prediction:
    """Read the answer to the paid POST; raises Refused, Blocked, Throttled or Unconfirmed."""
    reply = bodies.parsed(body)
    if status not in _CREATED:
        raise refusals.of_create(status, headers, reply, datetime.now(UTC))
    prediction = _prediction(reply)
    if prediction is None:
        raise errors.Unconfirmed(f"The API answered {status} without a prediction's id.")
    return prediction


def left(headers: Mapping[str, str]) -> int | None:
    """Return how many more requests the API says it would accept now; None if it does not say.

    >>> left({"ratelimit-remaining": "7"}), left({"ratelimit-remaining": "many"}), left({})
    (7, None, None)
    """
    told = headers.get("ratelimit-remaining", "")
    return int(told) if _COUNT.fullmatch(told) else None


def read(status: int, headers: Mapping[str, str], body: bytes) -> Prediction:
    """Read the answer about one prediction; raises Missing, Refused, Blocked, Throttled or Unanswered.

    Refused: the API answers, but not about this prediction. Gateways do so about one that they have forgotten.
    """
    reply = bodies.parsed(body)
    if status in {404, 410}:
        raise errors.Missing("The API does not know this prediction.")
    if status not in _CREATED:
        raise refusals.of_prediction(status, headers, reply, datetime.now(UTC))
    prediction = _prediction(reply)
    if prediction is None:
        raise errors.Unanswered("The API's answer is no prediction.")
    return prediction


def canceled(status: int, headers: Mapping[str, str], body: bytes) -> Prediction:
    """Read the answer to a cancel; raises Missing, Unsupported, Refused, Blocked, Throttled or Unanswered.

    A 403 here says nothing about the account, whatever the body says: if the account is refused altogether,
    its purchases and look-ups show it.
    """
    if status in _NO_CANCEL:
        raise errors.Unsupported(f"This API does not cancel: it answered {status}.")
    try:
        return read(status, headers, body)
    except errors.Unanswered as error:
        if 400 <= status < 500 and status != 408:
            raise errors.Refused(str(error)) from error
        raise


def page(status: int, headers: Mapping[str, str], body: bytes) -> Page:
    """Read one page of the list; raises Unsupported, Blocked, Throttled or Unanswered.

    A page counts only if all of it is readable: a prediction that was overlooked would be paid for twice.
    """
    reply = _collection(status, headers, body)
    results = reply.get("results")
    if not isinstance(results, list):
        raise errors.Unanswered("The API's answer is no list of predictions.")
    predictions = tuple(_listed(found) for found in map(_prediction, results) if found)
    if len(predictions) < len(results):
        raise errors.Unanswered("The API's list has an entry without a readable id.")
    return Page(predictions, _cursor(reply.get("next")), dates.http(headers.get("date")))


def _listed(prediction: Prediction) -> Prediction:
    """Return an entry without the images in it: a walk keeps a thousand entries, and each image is megabytes."""
    if not any(map(is_inline, prediction.output)):
        return prediction
    return replace(prediction, output=tuple("data:" if is_inline(url) else url for url in prediction.output))


def is_inline(url: str) -> bool:
    """Whether an output is the image itself, as a data URI."""
    return url[:5].lower() == "data:"


def uploaded(status: int, headers: Mapping[str, str], body: bytes) -> Uploaded:
    """Read the answer about a file just uploaded; raises Unsupported, Refused, Blocked, Throttled or Unanswered."""
    try:
        reply = _collection(status, headers, body)
    except errors.Unanswered as error:
        if status in _FILE_REFUSED:
            raise errors.Refused(f"The API does not take the image. {error}") from error
        raise
    url = bodies.fields(reply.get("urls")).get("get")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise errors.Unanswered("The API's answer has no URL for the uploaded file.")
    return Uploaded(bodies.storable(url), _lives(reply, headers))


def _lives(reply: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    """Return how long a new file lives, by the API's clock alone: ours may be wrong."""
    expires = dates.iso(reply.get("expires_at"))
    made = dates.iso(reply.get("created_at")) or dates.http(headers.get("date"))
    return (expires - made).total_seconds() if expires and made else None


def _collection(status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    if status in _NO_SUCH_CALL:
        raise errors.Unsupported(f"This API has no such call: it answered {status}.")
    reply = bodies.parsed(body)
    if status not in _CREATED:
        refusal = refusals.of_read(status, headers, reply, datetime.now(UTC))
        # Gateways answer 403 to calls that they do not offer; a bad token is refused at creates, too.
        if (
            status == 403
            and isinstance(refusal, errors.Blocked)
            and refusal.reason is errors.BlockReason.TOKEN
        ):
            raise errors.Unsupported("This API forbids the call to this token.") from refusal
        raise refusal
    return bodies.fields(reply)


def _prediction(value: Any) -> Prediction | None:
    reply = bodies.fields(value)
    identity, status = reply.get("id"), reply.get("status")
    if not is_id(identity):
        return None
    return Prediction(
        id=identity,
        status=bodies.one_line(status, 50) if isinstance(status, str) else "",
        output=_output(reply.get("output")),
        error=_error(reply.get("error")),
        input=_without_data_uris(bodies.fields(reply.get("input"))),
        created_at=dates.iso(reply.get("created_at")),
        completed_at=dates.iso(reply.get("completed_at")),
        predict_time=_seconds(bodies.fields(reply.get("metrics")).get("predict_time")),
        data_removed=reply.get("data_removed") is True,
    )


def is_id(value: Any) -> TypeGuard[str]:
    """Whether an id fits into a URL's path and a table: one short printable line, and no dot segment."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_ID
        and value.isprintable()
        and value not in {".", ".."}
    )


def _output(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    found = (one for item in items for one in ([item] if isinstance(item, str) else _nested(item)))
    return tuple(bodies.storable(one) for one in found if one)


def _nested(value: Any) -> Iterator[str]:
    """Yield the URLs inside an object or a list of lists, in order: a model may name its images, or group them."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str) and item[:8].lower().startswith(_URLS):
            yield item
        elif isinstance(item, list | dict):
            left += reversed(list(item.values()) if isinstance(item, dict) else item)


def _error(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return bodies.message({"error": value}) or "an error without words"


def _without_data_uris(sent: Mapping[str, Any]) -> Mapping[str, Any]:
    long = {k: v for k, v in sent.items() if isinstance(v, str) and v.startswith("data:")}
    image = {"image": marker.image_digest(long["image"])} if "image" in long else {}
    return {k: v for k, v in sent.items() if k not in long} | image


def _seconds(value: Any) -> float | None:
    # The comparison also rejects NaN, infinity and integers too large for a float.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    return None


def _cursor(following: Any) -> str | None:
    """Return the query of the next page's URL; its host comes from the API and is never trusted."""
    if following is None or following == "":
        return None
    try:
        query = urlsplit(following).query if isinstance(following, str) else ""
    except ValueError:
        query = ""
    # A false end of the list would hide predictions from the walk.
    if (
        not query.isascii()
        or not query.isprintable()
        or " " in query
        or not 0 < len(query) <= _LONGEST_CURSOR
    ):
        raise errors.Unanswered("The API's list has a next page that cannot be asked for.")
    return query
