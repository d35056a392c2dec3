"""How much time has passed, sleep included: a wall clock may be set, the usual monotonic one stops with the machine."""

import time

# macOS has the clock that counts sleep under the other name.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def ticks() -> float:
    """Return seconds since some moment in the past."""
    return time.clock_gettime(_CLOCK)
