"""Notice that the machine slept: the wall clock went on, the monotonic one stood still."""

import time
from collections.abc import Callable

_LEAST = 30.0  # seconds; less may be a correction of the clock


class Clocks:
    """The two clocks, as they stood at the last look."""

    def __init__(
        self, wall: Callable[[], float] = time.time, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._ticks = wall, ticks
        self._ahead = wall() - ticks()

    def slept(self) -> float:
        """Return for how many seconds the machine slept since the last look; 0 if it did not."""
        before, self._ahead = self._ahead, self._wall() - self._ticks()
        ahead = self._ahead - before
        return ahead if ahead >= _LEAST else 0.0
