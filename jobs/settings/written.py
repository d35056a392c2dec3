"""How people write single values: whole numbers, rates, durations, prices. Pure.

A ValueError from here is the end of a sentence that begins with the setting's name.
"""

import math
import re
from datetime import datetime
from decimal import Decimal, InvalidOperation

_UNITS = {"h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_WHOLE = re.compile(r"0*[1-9]\d{0,8}", re.ASCII)


def duration(text: str) -> float:
    """Return the seconds that a text means. A number without a unit is seconds, but not behind hours or minutes.

    >>> duration("90"), duration("5m"), duration("1h30m"), duration("0.5s")
    (90.0, 300.0, 5400.0, 0.5)
    """
    spelt = text.strip().lower()
    found = _DURATION.fullmatch(f"{spelt}s" if _NUMBER.fullmatch(spelt) else spelt)
    if found is None or not any(found.groups()):
        raise ValueError(f'"{text}" is no duration; write 60s, 5m or 1h')
    seconds = sum(float(part) * unit for part, unit in zip(found.groups("0"), _UNITS.values(), strict=True))
    if seconds == 0:
        raise ValueError(f'"{text}" is no time at all; write 60s, 5m or 1h')
    return seconds


def as_duration(seconds: float) -> str:
    """Write whole seconds as `duration` reads them.

    >>> as_duration(5400), as_duration(20), as_duration(0.2)
    ('1h30m', '20s', '0s')
    """
    left, parts = round(seconds), []
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


def until(moment: datetime, now: datetime) -> str:
    """Write how long it is until a moment, to the next second; 0s if that is past."""
    return as_duration(max(0, math.ceil((moment - now).total_seconds())))


def rounded(seconds: float) -> str:
    """Write a duration without false precision.

    >>> rounded(10_007), rounded(42)
    ('2h47m', '42s')
    """
    return as_duration(seconds if seconds < 600 else round(seconds / 60) * 60)


def whole(text: str) -> int:
    """Return a whole number of at least 1."""
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f'"{text}" is no whole number from 1 to 999999999')
    return int(text)


def rate(text: str) -> int | None:
    """Return a number per minute; None means no limit.

    >>> rate("600"), rate("unlimited")
    (600, None)
    """
    if text.strip().lower() == "unlimited":
        return None
    try:
        return whole(text)
    except ValueError:
        raise ValueError(f'"{text}" is no rate; write how many a minute, or unlimited') from None


def price(text: str) -> Decimal:
    """Return an amount of money."""
    amount = _number(text)
    if amount is None or amount < 0:
        raise ValueError(f'"{text}" is no price; write the cost of one job with a point, as in 0.0093')
    return amount


def factor(text: str) -> float:
    """Return the factor for all times."""
    number = _number(text)
    if number is None or not 0 < number <= 1000:
        raise ValueError(f'"{text}" is no factor; write 1, or 0.05 to rehearse')
    return float(number)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
