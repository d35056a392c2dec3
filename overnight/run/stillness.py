"""Notice that a batch that this process only watches is deserted: work is due, and nothing moves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs import errors
from jobs.reports import desertion, limits
from jobs.reports.limits import Kind, Limit
from jobs.reports.status import Progress
from jobs.settings import Settings
from jobs.states import State

_PATIENCE = 12.0  # seconds
_BUYING = frozenset({Kind.QUOTA, Kind.WORKERS})
_OVERDUE = 5.0  # seconds: a scheduler hands out what is due several times a second


@dataclass
class Stillness:
    """Remembers since when nothing has changed; moments are in monotonic seconds.

    ``reach_broker`` raises Unavailable if the broker is away. It is asked once each time that nothing moves.
    """

    settings: Settings
    reach_broker: Callable[[Settings], None] = lambda _: None
    _broker: str | None = None  # why it cannot be reached; empty if it can; None if it was not asked
    _seen: Any = None
    _since: float = 0.0

    def judge(self, progress: Progress, limit: Limit, moment: float) -> Limit | None:
        """Return who or what seems to be missing, once due work has stood still for seconds; None while it moves."""
        seen = (progress.counts, progress.failures, progress.untouched_since, progress.events[-1:])
        if seen != self._seen or not self._is_due(progress, limit):
            self._seen, self._since, self._broker = seen, moment, None
        still = moment - self._since
        if still < self._patience(progress):
            return None
        if self._broker is None:
            self._broker = self._broker_trouble()
        return Limit(
            Kind.WORKERS, f"nothing has moved for {still:.0f} s: {self._broker or _missing(progress)}"
        )

    def _broker_trouble(self) -> str:
        try:
            self.reach_broker(self.settings)
        except errors.Unavailable as error:
            return str(error)
        return ""

    def _is_due(self, progress: Progress, limit: Limit) -> bool:
        """Whether a scheduler and a worker would do something now."""
        if limit.kind in _BUYING:
            return True
        since = progress.untouched_since
        overdue = since is not None and (progress.at - since).total_seconds() > _OVERDUE
        return overdue and limit.kind not in limits.LASTING | {Kind.THROTTLED}

    def _patience(self, progress: Progress) -> float:
        """Return how long to wait: at a few purchases a minute, nothing rightly moves for a while."""
        rate = limits.rate(progress, self.settings)
        return max(_PATIENCE, 2 * 60 / rate) if rate else _PATIENCE


def _missing(progress: Progress) -> str:
    if missing := desertion.missing(progress):
        return missing
    if progress.counts.of(State.QUEUED):
        return "no worker takes up what is handed out; start `overnight worker`"
    return "is a scheduler running, and a worker? Start `overnight scheduler` and `overnight worker`"
