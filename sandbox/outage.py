"""Whether the API is away: from a number of accepted predictions on, for some seconds or until it is healed."""

import time
from collections.abc import Callable

from sandbox.plan import Plan


class Outage:
    """``reached_at`` returns when that many predictions were accepted, or None; 0 ``seconds`` means until healed.

    The beginning is read from the ledger, so that a restart does not repeat an outage that is over.
    """

    def __init__(self, plan: Plan, seconds: float, reached_at: Callable[[int], float | None]) -> None:
        self._plan = plan
        self._seconds = seconds
        self._reached_at = reached_at

    def kind(self) -> str | None:
        """Return the kind of the outage; None if there is none now."""
        if (found := self._plan.count("outage")) is None:
            return None
        count, kind = found
        reached = self._reached_at(count)
        if reached is None:
            return None
        began = max(reached, self._plan.outage_at)
        return kind if not self._seconds or time.time() < began + self._seconds else None
