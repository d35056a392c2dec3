"""Data on standard output, where scripts read it: UTF-8 whatever the locale, and buffered unless somebody watches."""

import io
import sys

from jobs.reports.spreadsheet import Writable
from overnight.display import words


def stream() -> Writable:
    """Return standard output: in a file or pipe any text stays as it is, line ends too; a terminal is spared."""
    if sys.stdout.isatty():
        return _Terminal()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return sys.stdout


class _Terminal:
    """Standard output where a person watches: whatever could move the cursor is escaped."""

    def write(self, text: str, /) -> int:
        return sys.stdout.write(words.printable(text.replace("\r\n", "\n")))
