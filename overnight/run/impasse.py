"""Whether what is under way can still end by itself: not while all calls are refused, or no image can be stored."""

from dataclasses import dataclass
from typing import Any

from jobs.batches import PauseReason
from jobs.reports.status import Progress
from jobs.states import State


@dataclass
class Impasse:
    """Remembers since when no job has moved; moments and patience are in monotonic seconds.

    One refusal proves little: the calls of the next seconds may still end some jobs.
    """

    patience: float
    _seen: Any = None
    _since: float = 0.0

    def reached(self, progress: Progress, moment: float) -> bool:
        """Return whether waiting is in vain; call it at every look."""
        if progress.counts != self._seen:
            self._seen, self._since = progress.counts, moment
        stuck = _refused(progress) or _nowhere_to_store(progress)
        return stuck and moment - self._since >= self.patience


def is_forsaken(progress: Progress) -> bool:
    """Whether everything left is under way at refused accounts, while the other accounts have nothing to do.

    What an account has in flight is not known per batch: while it has anything, some of it may be this batch's.
    """
    others = [one for one in progress.accounts if not one.breaker.is_deaf]
    left_to_others = (State.PENDING, State.QUEUED, State.COLLECTING)
    idle = not progress.counts.of(*left_to_others) and not any(one.under_way for one in others)
    return bool(others) and len(others) < len(progress.accounts) and idle


def _refused(progress: Progress) -> bool:
    everybody = bool(progress.accounts) and all(one.breaker.is_deaf for one in progress.accounts)
    return everybody or is_forsaken(progress)


def _nowhere_to_store(progress: Progress) -> bool:
    collecting = progress.counts.of(State.COLLECTING)
    return progress.batch.pause_reason is PauseReason.STORAGE and progress.counts.unfinished == (
        collecting + progress.counts.of(State.PENDING)
    )
