"""What is wrong with a manifest, put so that a person can act on it.

The same mistake in the same column is one line however often it occurs: a column that is wrong a million
times costs one line of text and one small object.
"""

import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Self

from jobs import errors

PRINTED_KINDS = 20
# Kinds are bounded by columns times messages; for a file made to exceed this, further ones are only counted.
_LISTED_KINDS = 1000
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
        place = printable(self.file) if self.line is None else f"{printable(self.file)}:{self.line}"
        column = f"{printable(self.column)}: " if self.column else ""
        return f"{place}: {column}{self._what()}"

    def of_row(self) -> str:
        """Return the sentence stored with a job that is failed from the start."""
        column = f", column {printable(self.column)}" if self.column else ""
        return f"line {self.line}{column}: {self._what()}"

    def to_json(self) -> str:
        return json.dumps(astuple(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(*json.loads(text))

    def _what(self) -> str:
        value = "" if self.value is None else f"{shown(self.value)} "
        detail = f": {printable(self.detail)}" if self.detail else ""
        return f"{value}{printable(self.message)}{detail}"


class Unreadable(errors.Mistake):
    """The file cannot be read past this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence())
        self.problem = problem


@dataclass(slots=True)
class Kind:
    """All problems of one column with one message."""

    first: Problem
    last_line: int | None
    count: int = 1

    def sentence(self) -> str:
        if self.count == 1:
            return self.first.sentence()
        return f"{self.first.sentence()} (lines {self.first.line}-{self.last_line}, {self.count} times)"


class Problems:
    """A collection that grows with the number of kinds, not of problems."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str | None, str], Kind] = {}
        self._unlisted = 0

    def add(self, problem: Problem) -> None:
        kind = self._kinds.get((problem.file, problem.column, problem.message))
        if kind is not None:
            kind.count += 1
            kind.last_line = problem.line
        elif len(self._kinds) < _LISTED_KINDS:
            self._kinds[problem.file, problem.column, problem.message] = Kind(problem, problem.line)
        else:
            self._unlisted += 1

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
        more = "1 more kind" if rest == 1 else f"{rest} more kinds"
        others = f", and {self._unlisted} more mistakes" if self._unlisted else ""
        return [*kinds[:PRINTED_KINDS], f"… and {more} of mistakes (listed by --json){others}"]

    def as_json(self) -> list[dict[str, str | int | None]]:
        """Return every kind, for ``--json``."""
        return [
            {
                "file": kind.first.file,
                "line": kind.first.line,
                "last_line": kind.last_line,
                "column": kind.first.column,
                "count": kind.count,
                "value": kind.first.value,
                "message": kind.first.message,
                "detail": kind.first.detail,
            }
            for kind in self
        ]

    def raise_if_any(self) -> None:
        if self:
            raise errors.Mistakes(self.lines())


def shown(value: str) -> str:
    """Return a value for use in a sentence: quoted unless plain, shortened, without control characters.

    >>> shown("1.8"), shown("0,8"), len(shown("a" * 100))
    ('1.8', '"0,8"', 60)
    """
    short = value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"
    text = printable(short)
    plain = bool(text) and all(character.isalnum() or character in "_.+-/:…%?=&~" for character in text)
    return text if plain else f'"{text}"'


def printable(text: str) -> str:
    r"""Return text without anything that could move a terminal's cursor or forge a line.

    >>> printable("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\\nc'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text
    )
