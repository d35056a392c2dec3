"""What is wrong with a manifest, put so that a person can act on it.

The same mistake in the same column is one line however often it occurs: a column that is wrong a million
times costs one line of text and one small object. Which rows they are is kept as ranges of lines, up to a limit.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from jobs import errors, figures, texts

PRINTED_KINDS = 20
# Kinds are bounded by columns times messages; for a file made to exceed this, further ones are only counted.
_LISTED_KINDS = 1000
PRINTED_RANGES = 10
# Of all kinds together, but for those printed: every other row of a million may be wrong.
_LISTED_RANGES = 10_000
_SHOWN_CHARACTERS = 60


class Rejected(errors.Mistake):
    """A value cannot be used; the caller that knows line and column makes a `Problem` of it.

    ``message`` is the same for every value with this mistake; ``detail`` may differ.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake at one place.

    Problems with the same column and message are reported as one, with value and detail of the first.
    """

    file: str
    line: int | None
    column: str | None
    message: str
    value: str | None = None
    detail: str = ""

    def sentence(self) -> str:
        """Return the mistake and its place, on one line.

        >>> Problem("cats.csv", 7, "prompt_strength", "is more than 1", "1.8").sentence()
        'cats.csv:7: prompt_strength: 1.8 is more than 1'
        """
        line = "" if self.line is None else f":{self.line}"
        column = f"{texts.printable(self.column)}: " if self.column else ""
        value = "" if self.value is None else f"{shown(self.value)} "
        detail = f": {texts.printable(self.detail)}" if self.detail else ""
        what = f"{value}{texts.printable(self.message)}{detail}"
        return f"{texts.printable(self.file)}{line}: {column}{what}"

    def of_row(self) -> str:
        """Return the sentence stored with a job that is failed from the start, with the file: there may be several."""
        return replace(self, file=Path(self.file).name).sentence()

    def to_json(self) -> str:
        return json.dumps(astuple(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(*json.loads(text))


class Unreadable(errors.Mistake):
    """The file cannot be read past this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence())
        self.problem = problem


@dataclass(slots=True)
class Lines:
    """Numbers of lines as ranges, both ends included; ``count`` counts all, ``last`` is the largest, kept or not."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    count: int = 0
    last: int | None = None

    def add(self, line: int, *, room: bool = True) -> bool:
        """Keep a line, without ``room`` only if it goes on a range; return whether it took a new one."""
        if line == self.last:  # another mistake of the same row
            return False
        self.count += 1
        self.last = max(self.last or 0, line)
        if self.ranges and self.ranges[-1][1] == line - 1:
            self.ranges[-1] = (self.ranges[-1][0], line)
            return False
        if room:
            self.ranges.append((line, line))
        return room

    def joined(self) -> list[tuple[int, int]]:
        """Return the ranges in order, adjacent ones as one: rows without a usable picture come in a second pass."""
        found: list[tuple[int, int]] = []
        for first, last in sorted(self.ranges):
            if found and found[-1][1] == first - 1:
                found[-1] = (found[-1][0], last)
            else:
                found.append((first, last))
        return found

    def left_out(self, ranges: list[tuple[int, int]]) -> int:
        """Return how many lines are in none of these ranges."""
        return self.count - sum(last - first + 1 for first, last in ranges)

    def words(self) -> str:
        """Return the first ranges in words.

        >>> some = Lines()
        >>> taken = [some.add(line) for line in (6, 9, 10, 11, 20)]
        >>> some.words()
        'lines 6, 9-11, 20'
        """
        shown = self.joined()[:PRINTED_RANGES]
        told = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in shown)
        more = f", …, and {left} more" if (left := self.left_out(shown)) else ""
        return f"line{'s' * (self.count > 1)} {told}{more}"


@dataclass(slots=True)
class Kind:
    """All problems of one column with one message."""

    first: Problem
    lines: Lines = field(default_factory=Lines)
    count: int = 0

    def sentence(self) -> str:
        if self.count == 1:
            return self.first.sentence()
        lines = f": {self.lines.words()}" if self.lines.count else ""
        return f"{self.first.sentence()} ({self.count} times{lines})"


class Problems:
    """A collection that grows with the number of kinds, not of problems."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str | None, str], Kind] = {}
        self._unlisted = 0
        self._ranges_left = _LISTED_RANGES

    def add(self, problem: Problem) -> None:
        name = (problem.file, problem.column, problem.message)
        kind = self._kinds.get(name)
        if kind is None:
            if len(self._kinds) == _LISTED_KINDS:
                self._unlisted += 1
                return
            kind = self._kinds[name] = Kind(problem)
        kind.count += 1
        if problem.line is not None:
            room = self._ranges_left > 0 or len(kind.lines.ranges) < PRINTED_RANGES
            self._ranges_left -= kind.lines.add(problem.line, room=room)

    def extend(self, some: Iterable[Problem]) -> None:
        for problem in some:
            self.add(problem)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def __len__(self) -> int:
        return sum(kind.count for kind in self) + self._unlisted

    def lines(self) -> list[str]:
        """Return the lines to print: one per kind, at most twenty, and how many more there are."""
        kinds = [kind.sentence() for kind in self]
        rest = len(kinds) - PRINTED_KINDS
        if rest <= 0:
            return kinds
        more = figures.counted(rest, "more kind")
        others = f", and {self._unlisted} more mistakes" if self._unlisted else ""
        return [*kinds[:PRINTED_KINDS], f"… and {more} of mistakes (listed by --json){others}"]

    def as_json(self) -> list[dict[str, Any]]:
        """Return every kind, for ``--json``; ``lines`` are ranges, and ``more_lines`` counts those not kept."""
        return [
            {
                "file": kind.first.file,
                "line": kind.first.line,
                "last_line": kind.lines.last,
                "column": kind.first.column,
                "count": kind.count,
                "lines": kind.lines.joined(),
                "more_lines": kind.lines.left_out(kind.lines.ranges),
                "value": kind.first.value,
                "message": kind.first.message,
                "detail": kind.first.detail,
            }
            for kind in self
        ]


def shown(value: str) -> str:
    """Return a value for use in a sentence: quoted unless plain, shortened, without control characters.

    >>> shown("1.8"), shown("0,8"), len(shown("a" * 100))
    ('1.8', '"0,8"', 60)
    """
    short = value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"
    text = texts.printable(short)
    plain = bool(text) and all(character.isalnum() or character in "_.+-/:…%?=&~" for character in text)
    return text if plain else f'"{text}"'
