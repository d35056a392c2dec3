"""How many requests one account may send now. Pure: the clock is an argument, in seconds."""

import math


class Bucket:
    """A token bucket that holds ``burst`` requests; if none is given, a tenth of a minute's, and at least one."""

    def __init__(self, per_minute: float, now: float, burst: float | None = None) -> None:
        self._rate = per_minute / 60
        self._capacity = burst or max(1.0, per_minute / 10)
        self._level = self._capacity
        self._filled_at = now

    def take(self, now: float) -> float:
        """Take one request and return 0, or return how many seconds are missing.

        >>> bucket = Bucket(per_minute=6, now=0.0)
        >>> bucket.take(0.0), bucket.take(5.0), bucket.take(11.0)
        (0.0, 5.0, 0.0)
        """
        self._level = min(self._capacity, self._level + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._level < 1:
            return (1 - self._level) / self._rate
        self._level -= 1
        return 0.0

    def headers(self) -> dict[str, str]:
        """Return how many requests may be sent at once, and in how many seconds the bucket is full."""
        missing = self._capacity - self._level
        return {
            "ratelimit-remaining": str(int(self._level)),
            "ratelimit-reset": str(math.ceil(missing / self._rate)),
        }
