"""Text from outside: whether a database can keep it, and how it is printed without harm. Pure."""

from jobs import errors


def check(name: str) -> str:
    """Return a name that was typed, or found on the disk; Mistake if its bytes are no text in the locale's encoding.

    Lone surrogates stand for such bytes.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise errors.Mistake(
            f"{name!a} is no text in this locale; write it in plain letters, or set LC_ALL=C.UTF-8 if it is UTF-8"
        ) from None
    return name


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
