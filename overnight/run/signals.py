"""What a person or a supervisor asks of a running `run`: once to stop, twice to leave, and SIGHUP to go on unseen."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from overnight.exits import Exit


class Signals:
    """Counts the requests to stop; the second one leaves at once, for nothing is lost by it.

    Where nobody heeds ``stop``, the first one interrupts as Ctrl-C does everywhere. Who is not ``patient`` does not
    wait for what is in flight, either.
    """

    def __init__(self, *, patient: bool = True) -> None:
        self.stop = False
        self.patient = patient
        self._heeded = False
        self.on_hangup: Callable[[], None] | None = None
        self._terminals: list[int] = []
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        # Asked now: of a terminal that has hung up, the system no longer says that it is one.
        self._terminals = [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream.isatty()]
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            os._exit(Exit.INTERRUPTED)  # every row says what is to be done next; there is nothing to tidy up
        self.stop = True
        if not self._heeded:
            raise KeyboardInterrupt

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self.go_unseen()

    def go_unseen(self) -> None:
        """Write nothing more to a terminal that is gone; what goes to files goes on."""
        if not self._terminals:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in self._terminals:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
        if self.on_hangup:
            self.on_hangup()
