"""Can what is under way still come to an end by itself? Not while every call is refused, or no image can be stored."""

from dataclasses import dataclass
from typing import Any

from jobs.batches import PauseReason
from jobs.errors import BlockReason
from jobs.results import Progress
from jobs.states import State

# Reads are refused as well as purchases; without credit or quota they go on.
_DEAF = (BlockReason.TOKEN, BlockReason.NOT_AN_API)


@dataclass
class Impasse:
    """Remembers since when no job has moved; moments and patience are in monotonic seconds.

    The calls of some seconds more may end what one refusal does not tell of.
    """

    patience: float
    _seen: Any = None
    _since: float = 0.0

    def reached(self, progress: Progress, moment: float) -> bool:
        """Return whether waiting is in vain; to be asked at every look."""
        if progress.counts != self._seen:
            self._seen, self._since = progress.counts, moment
        stuck = _refused(progress) or _nowhere_to_store(progress)
        return stuck and moment - self._since >= self.patience


def _refused(progress: Progress) -> bool:
    breaker = progress.account.breaker if progress.account else None
    reason = (breaker and breaker.reason) or ""
    return breaker is not None and breaker.state == "blocked" and reason.startswith(_DEAF)


def _nowhere_to_store(progress: Progress) -> bool:
    collecting = progress.counts.of(State.COLLECTING)
    return progress.batch.pause_reason is PauseReason.STORAGE and progress.counts.unfinished == (
        collecting + progress.counts.of(State.PENDING)
    )
