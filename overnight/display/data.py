"""Data on standard output, where scripts read it: UTF-8 whatever the locale, and buffered unless somebody watches."""

import io
import sys
from typing import TextIO


def stream() -> TextIO:
    """Return standard output, fit for any text; line ends stay as they are written."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return sys.stdout
