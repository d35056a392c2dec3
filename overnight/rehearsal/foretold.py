"""The result of a rehearsal, and what it says about the real night: for a person and for a script."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jobs import failures, figures
from jobs.reports.results import Harvest
from jobs.reports.status import Progress
from jobs.settings import written
from jobs.states import State
from overnight.display import summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """The figures of a night that was rehearsed in ``factor`` times its real duration.

    ``accepted``, ``throttled`` and ``peak`` are the sandbox's own counts: where money is concerned, the night's own
    rows are not trusted.
    """

    progress: Progress
    harvest: Harvest
    accepted: int
    throttled: int
    peak: int
    factor: float
    price: Decimal | None
    ended_after: float | None = None  # seconds; set if the time limit ended it

    @property
    def seconds(self) -> float:
        """How long it took, from the first purchase to the last end."""
        began, ended = self.harvest.began_at, self.harvest.ended_at
        return (ended - began).total_seconds() if began and ended else 0.0

    @property
    def surplus(self) -> int:
        """Predictions that were sold and belong to no job: orphans, and any that no row knows.

        Sends that were still in doubt when the rehearsal ended are left out.
        """
        counts = self.progress.counts
        sent = counts.of(State.SUBMITTING) + counts.of(State.UNCONFIRMED)
        return max(0, self.accepted - self.harvest.predictions - sent) + self.harvest.orphans

    @property
    def cost(self) -> Decimal | None:
        return None if self.price is None else self.accepted * self.price

    def lines(self) -> list[str]:
        """Return what would happen, as a person reads it."""
        return [
            *summary.headline(self.progress),
            *self._failed(),
            *self._unfinished(),
            f"time       {self._life()}; rehearsed in {written.as_duration(round(self.seconds))}",
            f"bought     {self._bought()}",
            f"in flight  {self.peak} at most",
            f"throttled  {figures.counted(self.throttled, 'time')}",
            f"cost       {self._cost()}",
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "batch": self.progress.batch.name,
            "finished": self.progress.finished,
            "pause_reason": self.progress.batch.pause_reason,
            "jobs": {str(state): count for state, count in self.progress.counts.by_state.items()},
            "failures": dict(self.progress.failures),
            "seconds": round(self.seconds / self.factor, 1),
            "rehearsed_seconds": round(self.seconds, 1),
            "predictions": self.accepted,
            "surplus": self.surplus,
            "possibly_paid_twice": self.harvest.possibly_paid,
            "peak_in_flight": self.peak,
            "throttled": self.throttled,
            "cost": None if self.cost is None else float(self.cost),
        }

    def _life(self) -> str:
        """Say how long the night would take; one that was cut short is extrapolated at the same rate."""
        seconds = self.seconds / self.factor
        if self.progress.finished or self.progress.batch.pause_reason:
            return f"about {written.rounded(seconds)}"
        counts = self.progress.counts
        if not counts.ended:
            return "unknown"
        return f"about {written.rounded(seconds * counts.total / counts.ended)} for all"

    def _bought(self) -> str:
        twice = figures.counted(self.harvest.possibly_paid, "job")
        sold = figures.counted(self.accepted, "prediction")
        return f"{sold}, {self.surplus} of them surplus; {twice} possibly paid twice"

    def _failed(self) -> list[str]:
        rows = [(str(n), name, failures.advice(name).meaning) for name, n in self.progress.failures.items()]
        return ["", *summary.aligned([("failed", "class", "meaning"), *rows]), ""] if rows else []

    def _unfinished(self) -> list[str]:
        batch = self.progress.batch
        if self.progress.finished:
            return []
        why = f": paused, {batch.pause_reason}: {batch.pause_detail}" if batch.pause_reason else ""
        if self.ended_after is not None:
            why = f" in {written.as_duration(self.ended_after)}; for more time: --within"
        return [" ".join(f"not finished{why}".split())]

    def _cost(self) -> str:
        if self.cost is None:
            return "unknown; set OVERNIGHT_PRICE to what a job costs"
        known = "at most" if self.progress.finished else "so far"
        return f"{known} {self.cost:,} ({figures.counted(self.accepted, 'prediction')} at {self.price})"
