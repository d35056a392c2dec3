"""How fast jobs end, measured over the last minute, and how long the rest will take. Pure; knows no clock."""

from collections import deque

from jobs.settings import written

_WINDOW = 60.0  # seconds
_LEAST = 5.0  # seconds; a shorter measurement says nothing


class Pace:
    """Remembers how many jobs had ended when."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, moment: float, ended: int) -> None:
        """Remember a count; ``moment`` is in monotonic seconds. Start over when a retry lowers it."""
        if self._seen and ended < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((moment, ended))
        # One count from before the window is kept, so that no less than a minute is measured.
        while len(self._seen) > 2 and self._seen[1][0] <= moment - _WINDOW:
            self._seen.popleft()

    @property
    def per_minute(self) -> float | None:
        """Jobs ended per minute; None while too little has been seen."""
        if not self._seen:
            return None
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) * 60 / (last - first) if last - first >= _LEAST else None

    def left(self, unfinished: int) -> str | None:
        """Return how long so many jobs will take, to the minute when it is long; None if nobody can tell."""
        rate = self.per_minute
        if not rate:
            return None
        return written.rounded(unfinished * 60 / rate)
