"""When to buy a job again after its prediction failed. Pure: no clock, no database."""

import random
from datetime import datetime, timedelta

from jobs import failures

_FIRST = 5.0  # seconds
_MOST = 300.0


def when(
    error_class: str, attempt: int, now: datetime, rng: random.Random, *, most_attempts: int, scale: float = 1
) -> datetime | None:
    """Return when to buy again after accepted prediction number ``attempt``, or None: the job has failed.

    The backoff doubles, with up to half as jitter either way: a thousand jobs broken by one fault must not
    return at once.

    >>> from datetime import UTC
    >>> evening = datetime(2026, 11, 1, 22, tzinfo=UTC)
    >>> when("nsfw", 1, evening, random.Random(1), most_attempts=3) is None
    True
    >>> when("interrupted", 3, evening, random.Random(1), most_attempts=3) is None
    True
    >>> evening < when("interrupted", 1, evening, random.Random(1), most_attempts=3)
    True
    """
    if attempt >= most_attempts or not failures.passes_by_itself(error_class):
        return None
    wait = min(_MOST, _FIRST * 2 ** min(attempt - 1, 10))
    return now + timedelta(seconds=wait * rng.uniform(0.5, 1.5) * scale)
