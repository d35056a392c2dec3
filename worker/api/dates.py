"""Parses the API's dates. Pure; the result is in UTC, or None if it cannot be read."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

# Beyond these a date is the zero of a clock or a language, and means "not set". Taken for a moment, it would make the
# list seem to go back to it.
_MEANT = range(2000, 2200)


def iso(value: Any) -> datetime | None:
    """Read a date from a body, ISO 8601; without a zone it is UTC.

    >>> iso("2026-11-23T03:00:00.5Z"), iso("tomorrow"), iso("0001-01-01T00:00:00Z")
    (datetime.datetime(2026, 11, 23, 3, 0, 0, 500000, tzinfo=datetime.timezone.utc), None, None)
    """
    try:
        moment = _utc(datetime.fromisoformat(value))
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.year in _MEANT else None


def http(text: str | None) -> datetime | None:
    """Read a date from a header, RFC 9110; in whole seconds.

    >>> http("Mon, 23 Nov 2026 03:00:00 GMT"), http(None)
    (datetime.datetime(2026, 11, 23, 3, 0, tzinfo=datetime.timezone.utc), None)
    """
    try:
        return _utc(parsedate_to_datetime(text or ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
