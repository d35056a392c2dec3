"""Whether a batch is halted, and whether what it has bought can still end: not if no call and no image gets through."""

from dataclasses import dataclass
from typing import Any

from jobs.accounts.breaker import BreakerState
from jobs.batches import PauseReason
from jobs.reports import limits
from jobs.reports.status import Progress, Standing
from jobs.states import BatchState, State


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
        in_vain = _all_refused(progress) or _nowhere_to_store(progress)
        return in_vain and moment - self._since >= self.patience


def is_halted(progress: Progress) -> bool:
    """Whether the batch buys nothing more, and no probe may change that."""
    state, reason = progress.batch.state, progress.batch.pause_reason
    if state is BatchState.CANCELLED or (state is BatchState.PAUSED and reason is not PauseReason.BLOCKED):
        return True
    refused = state is BatchState.PAUSED or limits.only_refused_left(progress)
    return refused and not any(_is_tried(one, progress) for one in progress.accounts)


def _is_tried(account: Standing, progress: Progress) -> bool:
    """Whether a refused account is still tried: for that it needs something to buy, or to ask for."""
    has_cause = account.under_way or progress.counts.of(State.PENDING, State.QUEUED)
    return bool(has_cause and account.breaker.state is BreakerState.BLOCKED and account.breaker.probe_at)


def _all_refused(progress: Progress) -> bool:
    everybody = bool(progress.accounts) and all(one.breaker.reads_refused for one in progress.accounts)
    return everybody or limits.only_refused_left(progress)


def _nowhere_to_store(progress: Progress) -> bool:
    collecting = progress.counts.of(State.COLLECTING)
    return progress.batch.pause_reason is PauseReason.STORAGE and progress.counts.unfinished == (
        collecting + progress.counts.of(State.PENDING)
    )
