"""Data on standard output, where scripts read it: UTF-8 whatever the locale, and buffered unless somebody watches."""

import io
import json
import sys
from datetime import datetime

import click

from jobs.reports.spreadsheet import Writable
from overnight.display import words


def stream() -> Writable:
    """Return standard output: in a file or pipe any text stays as it is, line ends too; a terminal is spared."""
    if sys.stdout.isatty():
        return _Terminal()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return sys.stdout


def document(value: object) -> None:
    """Print one JSON document; times in ISO 8601 and UTC."""
    click.echo(json.dumps(value, indent=2, default=_encoded))


def line(value: object) -> str:
    """Return the same in one line, without the line end."""
    return json.dumps(value, default=_encoded)


def _encoded(value: object) -> str:
    """Encode a time, for which JSON has no form."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value)}")


class _Terminal:
    """Standard output where a person watches: whatever could move the cursor is escaped."""

    def write(self, text: str, /) -> int:
        return sys.stdout.write(words.printable(text.replace("\r\n", "\n")))
