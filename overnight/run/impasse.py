"""Can what is under way still come to an end by itself? Not while every call is refused, or no image can be stored."""

from dataclasses import dataclass
from typing import Any

from jobs.batches import PauseReason
from jobs.errors import BlockReason
from jobs.reports.results import Progress, Standing
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


def is_forsaken(progress: Progress) -> bool:
    """Whether all that is left is under way at accounts that are refused, while others have nothing to do.

    What those have under way is not known by batch; while it is anything at all, some of it may be this one's.
    """
    others = [one for one in progress.accounts if not _is_deaf(one)]
    left_to_others = (State.PENDING, State.QUEUED, State.COLLECTING)
    idle = not progress.counts.of(*left_to_others) and not any(one.under_way for one in others)
    return bool(others) and len(others) < len(progress.accounts) and idle


def _refused(progress: Progress) -> bool:
    everybody = bool(progress.accounts) and all(map(_is_deaf, progress.accounts))
    return everybody or is_forsaken(progress)


def _is_deaf(account: Standing) -> bool:
    return account.breaker.state == "blocked" and (account.breaker.reason or "").startswith(_DEAF)


def _nowhere_to_store(progress: Progress) -> bool:
    collecting = progress.counts.of(State.COLLECTING)
    return progress.batch.pause_reason is PauseReason.STORAGE and progress.counts.unfinished == (
        collecting + progress.counts.of(State.PENDING)
    )
