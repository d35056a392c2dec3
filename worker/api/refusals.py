"""What an unsuccessful reply means for the job and the account, and how long to wait. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobs import errors
from worker.api import bodies, dates, diagnosis

LONGEST_WAIT = 900.0
SHORTEST_WAIT = 0.1
USUAL_WAIT = 5.0

_SPENT = re.compile(r"insufficient(?!_?(?:perm|priv|scope))|not_enough|pre_consume|billing|arrears")
# The last two: gateways of the one-api family answer in Chinese, whatever the caller's language.
_CREDIT = re.compile(r"\b(?:credit|balance|billing|payment)|quota|余额|额度", re.IGNORECASE)
_JOBS_OWN = re.compile(r"\b(?:model|version|nsfw|content policy|moderation|sensitive)\b", re.IGNORECASE)
_NO_SUCH_MODEL = re.compile(r"\b(?:model|version)", re.IGNORECASE)
_WAIT = re.compile(
    r"\b(?:resets|available|again|retry|wait)\b[^\d\n]{0,20}(\d{1,9}(?:\.\d{1,9})?)\s?(ms|milli|s|m)",
    re.IGNORECASE,
)
_PASSING = frozenset({408, 409, 425})  # the same call may be answered in a moment
_UNITS = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0}


def of_create(status: int, headers: Mapping[str, str], reply: Any, now: datetime) -> errors.ApiError:
    """Return what a create's reply without a prediction means.

    Only a certain refusal is reported as one: a gateway that answers 408, 409 or 5xx may have forwarded the
    request before, so that it is charged.
    """
    words = _sentence(status, reply)
    if not 300 <= status < 500 or status in {408, 409}:
        return errors.Unconfirmed(words)
    if account := of_account(status, headers, reply, now):
        return account
    if status < 400 or status == 405 or (status == 404 and not _NO_SUCH_MODEL.search(words)):
        return errors.Blocked(f"This URL is no predictions API. {words}", errors.BlockReason.NOT_AN_API)
    return errors.Refused(words, diagnosis.refusal_class(words))


def of_read(status: int, headers: Mapping[str, str], reply: Any, now: datetime) -> errors.ApiError:
    """Return what an unsuccessful reply to a read means."""
    return of_account(status, headers, reply, now) or errors.Unanswered(_sentence(status, reply))


def of_prediction(
    status: int, headers: Mapping[str, str], reply: Any, now: datetime
) -> errors.Throttled | errors.Blocked | errors.Refused | errors.Unanswered:
    """Return what an unsuccessful reply about one prediction means.

    A 4xx with words may last: gateways answer so about a prediction that they have forgotten.
    """
    if account := of_account(status, headers, reply, now):
        return account
    words = _sentence(status, reply)
    lasts = 400 <= status < 500 and status not in _PASSING and bodies.message(reply)
    return errors.Refused(words) if lasts else errors.Unanswered(words)


def of_account(
    status: int, headers: Mapping[str, str], reply: Any, now: datetime
) -> errors.Throttled | errors.Blocked | None:
    """Return what stops the whole account; None if the reply says nothing about it."""
    if not 400 <= status < 500:
        return None
    words = _sentence(status, reply)
    if reason := _block_reason(status, bodies.code(reply), words):
        return errors.Blocked(words, reason)
    return errors.Throttled(words, wait_told(headers, reply, now)) if status == 429 else None


def wait_told(headers: Mapping[str, str], reply: Any, now: datetime) -> float:
    """Return for how many seconds nothing may leave: the longest wait that header, field or text ask for.

    It is capped, because a probe after a quarter of an hour costs nothing. Without one that is readable and
    not in the past, it is the usual five seconds.

    >>> from datetime import UTC
    >>> wait_told({}, {"detail": "Request was throttled. Expected available in 1 second."}, datetime.now(UTC))
    1.0
    """
    told = [
        _seconds(headers.get("retry-after"), headers.get("date"), now),
        _number(bodies.fields(reply).get("retry_after")),
        _in_text(bodies.message(reply)),
    ]
    longest = max((wait for wait in told if wait is not None and wait >= 0), default=USUAL_WAIT)
    return min(max(longest, SHORTEST_WAIT), LONGEST_WAIT)


def _block_reason(status: int, code: str, words: str) -> errors.BlockReason | None:
    """Return why the account is refused, by status or by code, since gateways use both.

    A 429 may mention low credit although it only throttles: there, only the code decides.
    """
    if status == 401 or "invalid_api_key" in code:
        return errors.BlockReason.TOKEN
    if status == 402 or _SPENT.search(code) or (status == 403 and _CREDIT.search(words)):
        return errors.BlockReason.CREDIT
    return errors.BlockReason.TOKEN if status == 403 and not _JOBS_OWN.search(words) else None


def _sentence(status: int, reply: Any) -> str:
    words = bodies.message(reply)
    return f"The API answered {status}: {words}" if words else f"The API answered {status} without a reason."


def _seconds(header: str | None, date: str | None, now: datetime) -> float | None:
    """Return a header's wait in seconds; a date is compared with the API's own clock if given, as ours may be wrong."""
    if header is None:
        return None
    if (seconds := _number(header)) is not None:
        return seconds
    until = dates.http(header)
    return None if until is None else (until - (dates.http(date) or now)).total_seconds()


def _number(value: Any) -> float | None:
    """Return a finite number; None for any other value."""
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    return number if number is not None and abs(number) < float("inf") else None


def _in_text(words: str) -> float | None:
    found = _WAIT.search(words)
    return float(found[1]) * _UNITS[found[2].lower()] if found else None
