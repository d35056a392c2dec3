"""What a person sees while a batch is worked on: lines, a bar, or nothing; always on the error stream.

`bar` draws the bar. Nothing here has a thread: the caller runs `update` several times a second. Texts from the
database may hold anything and are escaped.
"""

from typing import Self, TextIO

from jobs.events import EventKind
from jobs.reports import limits
from jobs.reports.limits import Kind, Limit
from jobs.reports.status import Progress
from jobs.states import State
from overnight.display import words
from overnight.display.pace import Pace

_REFRESH = 0.25  # seconds between two updates
_MOST = 0.05  # the share of a core that looking may take
_EVERY = 60.0  # seconds between two lines
_STEADY = 5.0  # seconds for which a limit must hold before it is news
# Other events show up as what limits the batch.
_NEWS = {
    EventKind.SLEPT, EventKind.FOUND, EventKind.ORPHANED, EventKind.RETRIED, EventKind.UPDATED, EventKind.RETUNED,
}  # fmt: skip


class Display:
    """Shows nothing; the base class of those that do."""

    def __init__(self) -> None:
        self.quota: int | None = None  # jobs per minute, may change at any time; None: unlimited
        self.pace = Pace()
        self._silent = False
        self._last_event: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""

    def update(self, progress: Progress, limit: Limit, moment: float) -> None:
        """Show how far the batch is; ``moment`` is in monotonic seconds. Once the terminal is gone, show nothing."""
        if self._silent:
            return
        self.pace.note(moment, progress.counts.ended)
        try:
            for text in self._news(progress):
                self._tell(progress, text)
            self._show(progress, limit, moment)
        except (OSError, ValueError):
            self.go_silent()

    def go_silent(self) -> None:
        """Write nothing more, because nobody can read it. Safe to call from a signal handler."""
        self._silent = True

    def _tell(self, progress: Progress, text: str) -> None:
        """Say one sentence beside the numbers."""

    def _show(self, progress: Progress, limit: Limit, moment: float) -> None:
        """Show the numbers."""

    def _news(self, progress: Progress) -> list[str]:
        """Return the events since the last look that show nowhere else; the first look has none."""
        latest = max((event.id for event in progress.events), default=0)
        before, self._last_event = self._last_event, max(latest, self._last_event or 0)
        if before is None:
            return []
        return [
            f"{event.kind}: {event.detail}".removesuffix(": ")
            for event in progress.events
            if event.id > before and event.kind in _NEWS
        ]


class Lines(Display):
    """One line a minute, and one at each change of what limits."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._told: tuple[Limit, float] | None = None
        self._kind: tuple[limits.Kind, float] | None = None

    def _tell(self, progress: Progress, text: str) -> None:
        stamp = f"{progress.at.astimezone():%H:%M:%S}"
        print(words.line(f"{stamp} {progress.batch.name}: {text}"), file=self._stream, flush=True)

    def _show(self, progress: Progress, limit: Limit, moment: float) -> None:
        if self._is_due(limit, moment):
            self._told = (limit, moment)
            self._tell(progress, f"{numbers(progress, limit, self)}; {limit}")

    def _is_due(self, limit: Limit, moment: float) -> bool:
        if self._kind is None or self._kind[0] is not limit.kind:
            self._kind = (limit.kind, moment)
        if self._told is None:
            return True
        told, told_at = self._told
        if moment - told_at >= _EVERY:
            return True
        if limit.kind is told.kind:
            return False
        # Quota and in-flight cap alternate many times a second; what lasts is reported at once, and so is its end.
        return bool({limit.kind, told.kind} & limits.LASTING) or moment - self._kind[1] >= _STEADY


def rest(cost: float) -> float:
    """Return how long to wait after a look that took ``cost`` seconds, as counting a million jobs does.

    >>> rest(0.001), rest(0.06)
    (0.25, 1.2)
    """
    return max(_REFRESH, cost / _MOST)


def numbers(progress: Progress, limit: Limit, display: Display) -> str:
    """Return the numbers of a batch in one line."""
    counts = progress.counts
    parts = [f"{counts.ended} of {counts.total} ended"]
    if failed := counts.of(State.FAILED):
        parts.append(f"{failed} failed")
    if counts.under_way:
        parts.append(f"{counts.under_way} under way")
    if limit.kind is not Kind.LOOK_UPS and (in_doubt := limits.look_ups(progress)):
        parts.append(in_doubt)
    return ", ".join(parts) + "; " + speed(progress, limit, display)


def speed(progress: Progress, limit: Limit, display: Display) -> str:
    """Return how fast jobs end, against the quota, and how long the rest takes if it goes on so."""
    rate, left = display.pace.per_minute, display.pace.left(progress.counts.unfinished)
    if rate is None:
        return "rate not known yet"
    allowed = "" if display.quota is None else f" of {display.quota}"
    foretold = left and progress.counts.unfinished and limit.kind not in limits.LASTING | limits.APPOINTMENTS
    rest = f", {left} left" if foretold else ""
    return f"{rate:.{0 if rate >= 10 else 1}f}{allowed} jobs/min{rest}"
