"""The bar in a terminal: how far, how fast, what limits, what failed. Drawn by rich, without its markup.

`choose` says who gets one, and who gets the lines of `live`.
"""

import contextlib
import io
import sys
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs.reports import limits
from jobs.reports.limits import Limit
from jobs.reports.status import Progress
from jobs.states import State
from overnight.display import words
from overnight.display.live import Display, Lines, speed

_COLOURS = {State.SUCCEEDED: "green", State.FAILED: "red", State.UNCONFIRMED: "yellow"}


def choose(*, quiet: bool) -> Display:
    """Return the display for the error stream: a bar in a terminal that can draw one, lines elsewhere."""
    if quiet:
        return Display()
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    # Asked of the stream as well: a person can make rich believe that any stream is a terminal.
    if sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal:
        return Bar(console)
    return Lines(sys.stderr)


class Bar(Display):
    """Four lines that are drawn again at each update; sentences go above them."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        # No refresh thread: after a SIGHUP nothing else may write. stdout carries data, so leave it alone.
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False)

    def __enter__(self) -> Self:
        try:
            self._live.start()
            # Live hides it; whoever ends the process at once, as a second Ctrl-C does, would leave it hidden.
            self._console.show_cursor(True)
        except OSError:
            self.go_silent()
        return self

    def __exit__(self, *_: object) -> None:
        if self._silent:
            self._console.file = io.StringIO()  # discard what rich writes when it stops
        with contextlib.suppress(OSError):  # the terminal may go away at this very moment
            self._live.stop()

    def _tell(self, progress: Progress, text: str) -> None:
        self._console.print(_text(f"{progress.at.astimezone():%H:%M:%S} {text}"))

    def _show(self, progress: Progress, limit: Limit, moment: float) -> None:  # noqa: ARG002  the base class's signature
        self._live.update(drawn(progress, limit, self), refresh=True)


def drawn(progress: Progress, limit: Limit, display: Display) -> RenderableType:
    """Return what to draw at one moment."""
    counts = progress.counts
    share = counts.ended / counts.total if counts.total else 0.0
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(max_width=30, no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    head.add_row(
        _text(progress.batch.name),
        ProgressBar(total=max(1, counts.total), completed=counts.ended),
        _text(f"{share:.0%}  {counts.ended} of {counts.total}  {speed(progress, limit, display)}"),
    )
    return Group(head, _states(progress), _text(f"now: {limit}"), *_failures(progress))


def _states(progress: Progress) -> Text:
    parts = [
        Text(f"{n} {state}", style=_COLOURS.get(state, ""))
        for state in State
        if (n := progress.counts.of(state))
    ]
    in_doubt = limits.look_ups(progress)
    return Text("  ").join([*parts, *([Text(f"({in_doubt})")] if in_doubt else [])])


def _failures(progress: Progress) -> list[Text]:
    listed = ", ".join(f"{n} {error_class}" for error_class, n in progress.failures.items())
    return [_text(f"failed: {listed}", "red")] if listed else []


def _text(text: str, style: str = "") -> Text:
    return Text(words.line(text), style=style, no_wrap=True, overflow="ellipsis")
