"""Notice that the machine slept: one clock counted that, the other stood still."""

import time
from collections.abc import Callable

from worker import clock

_LEAST = 30.0  # seconds; a shorter nap changes nothing


class Clocks:
    """The two clocks, as they stood at the last look."""

    def __init__(
        self, all_time: Callable[[], float] = clock.ticks, awake: Callable[[], float] = time.monotonic
    ) -> None:
        self._all_time, self._awake = all_time, awake
        self._ahead = all_time() - awake()

    def slept(self) -> float:
        """Return for how many seconds the machine slept since the last look; 0 if it did not."""
        before, self._ahead = self._ahead, self._all_time() - self._awake()
        ahead = self._ahead - before
        return ahead if ahead >= _LEAST else 0.0
