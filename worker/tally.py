"""What the calls of a slice show about the account: counted as they end, reported together."""

import threading
from dataclasses import dataclass, field, replace

from jobs import errors
from jobs.accounts.tally import Tally


@dataclass
class Counter:
    """Gathers a `jobs.accounts.tally.Tally` from many calls; the event loop's thread counts, the task's thread takes.

    ``stopped``: the API asked the account to wait, or refused it, so the rest of the slice is not sent. It is
    never reset: the next group of the slice must not leave either.
    """

    tally: Tally = field(default_factory=Tally)
    creates: bool = False  # whether the calls are creates: an answered read proves nothing about creates
    stopped: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def bought(self, left: int | None = None) -> None:
        """Count an accepted create, and how many more the API said it would accept; answers overtake each other."""
        with self._turn:
            told = [one for one in (self.tally.left, left) if one is not None]
            self.tally = replace(self.tally, bought=self.tally.bought + 1, left=min(told, default=None))

    def answered(self) -> None:
        with self._turn:
            self.tally = _answered(self.tally, self.creates)

    def failed(self, error: errors.ApiError) -> None:
        """Count a call that raised; a refusal is an answer too."""
        with self._turn:
            self.tally = _with(self.tally, error, self.creates)
        self.stopped = self.stopped or isinstance(error, errors.Throttled | errors.Blocked)

    def failed_alone(self, error: errors.ApiError) -> None:
        """Count a call about one prediction that raised. That it got no answer says nothing of the API: see `poll`."""
        if not isinstance(error, errors.Unanswered):
            self.failed(error)

    def take(self) -> Tally:
        """Return what was counted and start afresh."""
        with self._turn:
            taken, self.tally = self.tally, Tally()
        return taken


def of(error: errors.ApiError) -> Tally:
    """Return what one call, no create, shows that raised."""
    return _with(Tally(), error, creates=False)


def _with(tally: Tally, error: errors.ApiError, creates: bool) -> Tally:
    match error:
        case errors.Throttled():
            wait = max(error.wait, tally.throttled or 0)
            return replace(
                _answered(tally, creates),
                throttled=wait,
                throttled_creates=creates or tally.throttled_creates,
            )
        case errors.Blocked():
            return replace(tally, blocked=(error.reason, str(error)))
        case errors.Refused() | errors.Missing() | errors.Unsupported():
            return _answered(tally, creates)
        case errors.NotUploaded(api_answers=True):  # a failed upload, no outage
            return _answered(tally, creates)
        case _ if creates:
            return replace(tally, lost=tally.lost + 1, message=str(error))
        case _:
            return replace(tally, failed=tally.failed + 1, message=str(error))


def _answered(tally: Tally, creates: bool) -> Tally:
    if creates:
        return replace(tally, declined=tally.declined + 1)
    return replace(tally, answered=tally.answered + 1)
