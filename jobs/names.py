"""What a batch may be called, so that every command that names it works as printed. Pure."""

import re
import unicodedata
from datetime import date

from jobs.manifest import keys

_LONGEST = 100
_SIGNS = "._-"
_DATE = "{date}"


def check(name: str) -> str:
    """Return a name that a person gave; the ValueError says what one looks like.

    >>> check("cats-2026.11")
    'cats-2026.11'
    """
    if not name or len(name) > _LONGEST or name[0] in ".-" or not all(map(_is_plain, name)):
        raise ValueError(
            f"no name for a batch; write at most {_LONGEST} letters, digits, dots, dashes and underscores, "
            "a dot or dash never first"
        )
    return name


def derive(stem: str) -> str:
    """Derive a batch's name from its file's, without characters that a shell would interpret.

    >>> derive("my cats (2)"), derive("v1.2")
    ('my-cats-2', 'v1.2')
    """
    try:
        return check(stem)
    except ValueError:
        return keys.slug(stem.replace("/", "-"))[:_LONGEST].lstrip(_SIGNS) or "batch"


def dated(name: str, today: date) -> str:
    """Return a name with ``{date}`` filled in.

    >>> dated("cats-{date}", date(2026, 1, 31))
    'cats-2026-01-31'
    """
    return name.replace(_DATE, today.isoformat())


def is_dated(template: str) -> bool:
    """Whether a template gives a different name every day."""
    return _DATE in template


def may_give(template: str, name: str) -> bool:
    """Whether a template gives this name on some day.

    >>> may_give("cats-{date}", "cats-2026-01-31"), may_give("cats-{date}", "cats-2026-01-32")
    (True, False)
    """
    before = template.partition(_DATE)[0]
    found = re.fullmatch(rf"{re.escape(before)}([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}).*", name, re.DOTALL)
    try:
        return found is not None and dated(template, date.fromisoformat(found[1])) == name
    except ValueError:
        return False


def folder(name: str, taken: set[str]) -> str:
    """Return a folder for a batch's images that differs from all ``taken`` ones even if case is ignored.

    >>> folder("Cats", {"cats"})
    'Cats-2'
    """
    slug, number = keys.slug(name), 1
    others = {other.casefold() for other in taken}
    while (found := slug if number == 1 else f"{slug}-{number}").casefold() in others:
        number += 1
    return found


def _is_plain(character: str) -> bool:
    # Marks belong to the letters of many scripts, and no shell interprets them.
    return character.isalnum() or character in _SIGNS or unicodedata.category(character)[0] == "M"
