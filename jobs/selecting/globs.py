r"""Which keys a GLOB matches, such that SQLite and PostgreSQL agree, whatever their locale. Pure.

``*`` is any text, ``?`` one character, ``[a-z]`` one of these, ``[!a-z]`` or ``[^a-z]`` one that is none of
them. A bracket that is never closed stands for itself. Case matters; ranges go by code point.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jobs import errors

_LONGEST = 1000  # keys have 200 characters at most, and SQLite refuses patterns of 50,000
# Characters with a special meaning somewhere inside SQLite's brackets, where nothing can be escaped.
_BRACKET_SIGNS = "]-^"


@dataclass(frozen=True, slots=True)
class AnyText:
    """Any number of characters."""


@dataclass(frozen=True, slots=True)
class AnyOne:
    """One character."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """One character in some ranges, or in none of them if ``negated``."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool


Token = str | AnyText | AnyOne | OneOf  # a str is a character that stands for itself


def parse(glob: str) -> list[Token]:
    """Return the parts of a GLOB; brackets around one character become that character.

    >>> parse("a[*]?")
    ['a', '*', AnyOne()]
    """
    if len(glob) > _LONGEST:
        raise errors.Mistake(f"a GLOB has at most {_LONGEST} characters; this one has {len(glob)}")
    tokens: list[Token] = []
    at = 0
    while at < len(glob):
        token, at = _token(glob, at)
        if not (tokens and token == tokens[-1] == AnyText()):  # "**" matches no more than "*", and backtracks
            tokens.append(token)
    return tokens


def literal(glob: str) -> str | None:
    """Return the only key that a GLOB matches; None if it may match several.

    >>> literal("cats/tom"), literal("cats/[[]1]"), literal("cats/*")
    ('cats/tom', 'cats/[1]', None)
    """
    tokens = parse(glob)
    letters = [token for token in tokens if isinstance(token, str)]
    return "".join(letters) if len(letters) == len(tokens) else None


def exactly(key: str) -> str:
    """Return the GLOB that matches one key and no other.

    >>> exactly("cats/[1]*")
    'cats/[[]1][*]'
    """
    return "".join(f"[{character}]" if character in "*?[" else character for character in key)


def _token(glob: str, at: int) -> tuple[Token, int]:
    match glob[at]:
        case "*":
            return AnyText(), at + 1
        case "?":
            return AnyOne(), at + 1
        case "[":
            return _brackets(glob, at)
        case character:
            return character, at + 1


def _brackets(glob: str, at: int) -> tuple[Token, int]:
    start = at + 1
    negated = glob[start : start + 1] in {"!", "^"}
    start += negated
    end = glob.find("]", start + 1)  # a "]" that comes first is a member
    if end < 0:
        return "[", at + 1
    ranges = tuple(_ranges(glob[start:end]))
    if not negated and len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return ranges[0][0], end + 1
    return OneOf(ranges, negated), end + 1


def _ranges(members: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(members):
        low = high = members[at]
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            high = members[at + 2]
            at += 2
        if low > high:
            raise errors.Mistake(f'a GLOB\'s range goes upwards; write "{high}-{low}", not "{low}-{high}"')
        yield low, high
        at += 1


def for_sqlite(glob: str) -> str:
    """Return the pattern for SQLite's GLOB.

    >>> for_sqlite("a[*]?b[!x-z]")
    'a[*]?b[^x-z]'
    """
    return "".join(_sqlite(token) for token in parse(glob))


def _sqlite(token: Token) -> str:
    match token:
        case AnyText():
            return "*"
        case AnyOne():
            return "?"
        case OneOf(ranges, negated):
            members = _sqlite_members(ranges)
            return f"[{'^' if negated else ''}{members}]"
        case character:
            return exactly(character)


def _sqlite_members(ranges: tuple[tuple[str, str], ...]) -> str:
    """Order the members so that none has a special meaning: "]" first, then "-", and "^" last."""
    signs: set[str] = set()
    plain = []
    for low, high in ranges:
        first, last = ord(low), ord(high)
        while first <= last and chr(first) in _BRACKET_SIGNS:
            signs.add(chr(first))
            first += 1
        while first <= last and chr(last) in _BRACKET_SIGNS:
            signs.add(chr(last))
            last -= 1
        if first <= last:
            plain.append(chr(first) if first == last else f"{chr(first)}-{chr(last)}")
    head = "".join(sign for sign in "]-" if sign in signs)
    return head + "".join(plain) + ("^" if "^" in signs else "")


def for_postgresql(glob: str) -> str:
    r"""Return the regular expression for PostgreSQL's ``~``.

    >>> for_postgresql("a.b*[!x-z]")
    '^a\\.b.*[^x-z]$'
    """
    return "^" + "".join(_regular(token) for token in parse(glob)) + "$"


def _regular(token: Token) -> str:
    match token:
        case AnyText():
            return ".*"
        case AnyOne():
            return "."
        case OneOf(ranges, negated):
            members = (low if low == high else f"{low}-{high}" for low, high in map(_escaped, ranges))
            return f"[{'^' if negated else ''}{''.join(members)}]"
        case character:
            return re.escape(character)


def _escaped(pair: tuple[str, str]) -> tuple[str, str]:
    return re.escape(pair[0]), re.escape(pair[1])
