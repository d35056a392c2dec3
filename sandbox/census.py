"""What has passed through this process since it started: requests by kind, and predictions alive at once."""

import heapq
from collections import Counter


class Census:
    """Counts; nothing here outlives the process."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.webhooks: Counter[str] = Counter()  # our calls, by the status of their answer
        self.peak_in_flight = 0
        self._alive: dict[str, float] = {}
        self._ends: list[tuple[float, str]] = []

    def born(self, prediction_id: str, end: float, now: float) -> None:
        """Note a prediction that will end by itself at ``end``."""
        self._bury(now)
        self._alive[prediction_id] = end
        heapq.heappush(self._ends, (end, prediction_id))
        self.peak_in_flight = max(self.peak_in_flight, len(self._alive))

    def ended(self, prediction_id: str) -> None:
        """Note a prediction that was canceled."""
        self._alive.pop(prediction_id, None)

    def in_flight(self, now: float) -> int:
        self._bury(now)
        return len(self._alive)

    def _bury(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            self._alive.pop(heapq.heappop(self._ends)[1], None)
