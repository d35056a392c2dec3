"""CSV and TSV as lists of cells with the line they start on: streamed, at flat memory, strict about quotes."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from jobs.manifest import cells, source

# Characters of one line; a row may have several lines, within the csv module's limit for a cell.
_LONGEST_LINE = 4_000_000
_QUOTED = re.compile(r'"[^"]*"')
# A spreadsheet may treat the line as a row of cells.
_NAMED = re.compile(r'"?sep=([,;\t])"?[,;\t]*', re.IGNORECASE)


class Record(NamedTuple):
    """The line on which a row starts, its cells, and which of them has a blank before its opening quote."""

    line: int
    cells: list[str]
    misquoted: int | None = None


def read(manifest: source.Source) -> tuple[str, Iterator[Record]]:
    """Return the delimiter, and the header with every row that is not blank.

    A first line such as `sep=;`, which spreadsheets understand, names the delimiter and is no row. Raises
    `problems.Unreadable` if it is no table, and so does the iterator.
    """
    lines = enumerate(_lines(manifest))
    before, first = _next(lines)
    if named := _NAMED.fullmatch(first.rstrip("\r\n")):
        before, first = _next(lines)
    if not first:
        raise manifest.problem("is empty")
    delimiter = named[1] if named else _delimiter(manifest, before + 1, first)
    return delimiter, _records(manifest, delimiter, before, chain([first], (line for _, line in lines)))


def _next(lines: Iterator[tuple[int, str]]) -> tuple[int, str]:
    """Return the next line that is not blank, with its place; an empty one at the end."""
    return next(((place, line) for place, line in lines if line.strip()), (0, ""))


def _records(manifest: source.Source, delimiter: str, before: int, lines: Iterator[str]) -> Iterator[Record]:
    kept: list[str] = []
    reader = csv.reader(_keeping(lines, kept), delimiter=delimiter, strict=True)
    line = before + 1
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield Record(line, row, _misquoted(row, kept, delimiter))
            kept.clear()
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise manifest.problem(*_broken(error, before + reader.line_num, line)) from None


def _keeping(lines: Iterator[str], kept: list[str]) -> Iterator[str]:
    for line in lines:
        kept.append(line)
        yield line


def _misquoted(row: Sequence[str], lines: Sequence[str], delimiter: str) -> int | None:
    """Return which cell has a blank before its opening quote: to a reader of CSV both are text, to a person neither.

    A cell that is quoted as it should be may begin with a blank and a quote, so its text alone does not tell.
    """
    if not any(' "' in line for line in lines):
        return None
    meant = next(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    both = enumerate(zip(row, meant, strict=False))
    return next((i for i, (cell, other) in both if cell != other and cell.lstrip(" ")[:1] == '"'), None)


def _delimiter(manifest: source.Source, line: int, header: str) -> str:
    """Return the delimiter, judged by the header alone: prompts are full of commas.

    Where a comma is the decimal mark, spreadsheets write semicolons into what they call CSV.
    """
    header = _QUOTED.sub("", header)
    if "\t" in header and (manifest.format is source.Format.TSV or "," not in header):
        return "\t"
    if manifest.format is source.Format.TSV:
        if "," in header:
            raise manifest.problem("has columns divided by ',': save it with tabs, or as .csv", line)
        return "\t"
    return ";" if ";" in header and "," not in header else ","


def _broken(error: csv.Error, line: int, started: int) -> tuple[str, int]:
    """Return the csv module's error in a person's terms, and the line to look at."""
    words = str(error)
    if "unexpected end of data" in words:
        return "opens a quote that is never closed", started
    if "expected after" in words:
        return (
            'has text after a closing quote (a blank counts): inside a quoted cell, write a quote twice ("")',
            line,
        )
    if "field larger" in words:
        return f"has a cell of more than {cells.LONGEST} characters: is a closing quote missing?", started
    return f"is no valid CSV: {words}", line


def _lines(manifest: source.Source) -> Iterator[str]:
    r"""Yield the checked lines of a file with their ends unchanged (\n, \r\n or \r)."""
    # Bad bytes pass as lone surrogates, so that their line can be named.
    text = io.TextIOWrapper(manifest.file, "utf-8-sig", errors="surrogateescape", newline="")
    try:
        for number, line in enumerate(iter(lambda: text.readline(_LONGEST_LINE), ""), 1):
            if not line.isascii() or "\0" in line or len(line) == _LONGEST_LINE:
                _check(manifest, number, line)
            yield line
    finally:
        text.detach()  # the file is its owner's to close


def _check(manifest: source.Source, number: int, line: str) -> None:
    if len(line) == _LONGEST_LINE:
        raise manifest.problem(f"is longer than {_LONGEST_LINE} characters: is this a table?", number)
    if "\0" in line:
        raise manifest.problem("holds a NUL character: the file is damaged, or no text", number)
    try:
        line.encode()
    except UnicodeEncodeError as error:
        byte = len(line[: error.start].encode()) + 1
        raise manifest.problem("is not UTF-8: save the file as UTF-8", number, f"byte {byte}") from None
