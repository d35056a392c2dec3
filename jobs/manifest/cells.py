"""Turns a cell's text into the value that the model wants; the schema decides the type, never the file format.

So `no` is a prompt, not a boolean, and CSV and YAML read alike.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from jobs.manifest import problems

# The csv module's own limit, applied to YAML too.
LONGEST = 131_072

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_VERSION = re.compile(r"([\w.-]+/[\w.-]+:)?[0-9a-f]{64}", re.ASCII)

Reader = Callable[[str], Any]


def reader(json_type: str) -> Reader:
    """Return the function that reads cells of a JSON type."""
    return _READERS.get(json_type, structure)


def text(cell: str) -> str:
    """Read text: every character counts."""
    return cell


def name(cell: str) -> str:
    """Read a word; surrounding blanks are dropped."""
    return cell.strip()


def whole(cell: str) -> int:
    """Read an integer; ``25.0`` too, since spreadsheets write 25 like that."""
    stripped = cell.strip()
    if not _WHOLE.fullmatch(stripped):
        raise problems.Rejected("is not a whole number")
    value = int(stripped.partition(".")[0])
    if not -(2**63) <= value < 2**63:
        raise problems.Rejected("is a number too large to store")
    return value


def number(cell: str) -> float:
    """Read a decimal number, written with a point."""
    stripped = cell.strip()
    if _DECIMAL_COMMA.fullmatch(stripped):
        raise problems.Rejected("has a decimal comma", f"write {stripped.replace(',', '.')}")
    if not _NUMBER.fullmatch(stripped):
        raise problems.Rejected("is not a number")
    value = float(stripped)
    if not math.isfinite(value):
        raise problems.Rejected("is a number too large to store")
    return value


def with_decimal_comma(usual: Reader) -> Reader:
    """Return the reader for a file whose cells are not divided by commas: numbers may have a decimal comma.

    Not `1,500`, which may be a thousand and a half.
    """
    return (lambda cell: usual(_with_point(cell))) if usual in _NUMERIC else usual


def _with_point(cell: str) -> str:
    stripped = cell.strip()
    plain = _DECIMAL_COMMA.fullmatch(stripped) and not _THOUSANDS.fullmatch(stripped)
    return stripped.replace(",", ".") if plain else cell


def truth(cell: str) -> bool:
    """Read a boolean in any of the words that files use."""
    try:
        return _TRUTH[cell.strip().lower()]
    except KeyError:
        raise problems.Rejected("is neither true nor false") from None


def structure(cell: str) -> Any:
    """Read a list or an object, written as JSON."""
    try:
        return json.loads(cell, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise problems.Rejected("is not JSON") from None


def priority(cell: str) -> int:
    """Read a priority, which is stored in 32 bits."""
    value = whole(cell)
    if not -(2**31) <= value < 2**31:
        raise problems.Rejected("is a number too large for a priority")
    return value


def version(cell: str) -> str:
    """Read a model's version in either form that the API accepts."""
    stripped = cell.strip()
    if not _VERSION.fullmatch(stripped):
        raise problems.Rejected(
            "is no version: write owner/name: and 64 hexadecimal digits, or the digits alone"
        )
    return stripped


def _no_constant(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are no JSON outside Python


_NUMERIC = {whole, number, priority}
_READERS: dict[str, Reader] = {"string": text, "integer": whole, "number": number, "boolean": truth}
