"""Signals to a `run`: the first request to stop ends the buying, the second the process; SIGHUP ends the display."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self

from overnight.exits import Exit


class Signals:
    """Counts the requests to stop; the second one exits at once, since nothing is lost by it.

    While nobody heeds ``stop``, the first one interrupts as Ctrl-C does everywhere. Without ``patient``, the run does
    not wait for what is in flight, either.
    """

    def __init__(self, *, patient: bool = True) -> None:
        self.stop = False
        self.patient = patient
        self._heeded = False
        self.on_hangup: Callable[[], None] | None = None
        self._terminals: list[int] = []
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        # Asked now: once a terminal has hung up, `isatty` is false.
        self._terminals = [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream.isatty()]
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    @contextmanager
    def heed(self) -> Iterator[None]:
        """Promise to look at ``stop`` several times a second."""
        self._heeded = True
        try:
            yield
        finally:
            self._heeded = False

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self.stop:
            # Past all buffers, which may be in the middle of a write; the bar's last line is left as it stands.
            with suppress(OSError):
                os.write(2, b"\novernight: interrupted\n")
            os._exit(Exit.INTERRUPTED)  # every row says what to do next; there is nothing to tidy up
        self.stop = True
        if not self._heeded:
            raise KeyboardInterrupt

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self.go_unseen()

    def go_unseen(self) -> None:
        """Write nothing more to a terminal that is gone; output to files continues."""
        if not self._terminals:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in self._terminals:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
        if self.on_hangup:
            self.on_hangup()
