"""Values as cells of a CSV file that a spreadsheet may open. Pure.

RFC 4180: commas, CRLF, quotes where needed. A text that a spreadsheet would run as a formula gets an
apostrophe in front, unless the file is for programs.
"""

import csv
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

# Some programs skip blanks, line ends and invisible marks, and treat full-width signs like the plain ones.
_FORMULA = re.compile(r"[\s\0\ufeff\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\0]")
# What `csv` itself writes correctly: numbers as in manifests, None as an empty cell.
_PLAIN = frozenset({int, float, type(None)})
# A negative number or a phone number is no formula, so it stays unchanged.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


class Writable(Protocol):
    """Anything that text can be written to."""

    def write(self, text: str, /) -> object: ...


def write(out: Writable, rows: Iterable[Iterable[Any]], *, raw: bool) -> int:
    """Write rows of values, the header first; return how many."""
    writer = csv.writer(out, lineterminator="\r\n")
    count = 0
    for row in rows:
        writer.writerow([value if type(value) in _PLAIN else cell(value, raw=raw) for value in row])
        count += 1
    return count


def cell(value: Any, *, raw: bool) -> str:
    """Return a value as text; None is an empty cell.

    >>> cell("=1+1", raw=False), cell("-5", raw=False), cell(-0.5, raw=False), cell(True, raw=False)
    ("'=1+1", '-5', '-0.5', 'true')
    """
    match value:
        case None:
            return ""
        case str():
            # A shortcut for most texts: no formula begins with a letter or digit.
            return value if raw or value[:1].isalnum() else _disarmed(value)
        case datetime():
            return value.isoformat()
        case _:
            # Numbers, booleans, lists and objects as manifests write them.
            return json.dumps(value)


def _disarmed(text: str) -> str:
    if not _FORMULA.match(text) or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"
