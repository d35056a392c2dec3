"""Parses ordinary web addresses with one pattern; for the rest, callers fall back to the standard library.

A manifest may hold a million of them, and `urlsplit` takes as long as all the other checks of a row.
"""

import re

# An ASCII host name, a port too short to be out of range, a path and the rest; printable characters only.
_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,4})?(/[!\"$->@-~]*)(?:[?#][!-~]*)?")


def plain_path(url: str) -> str | None:
    """Return the path of a plain, complete address exactly as written; None for any other address.

    >>> plain_path("https://a.example:8080/x/tom.jpg?w=1"), plain_path("https://[::1]/tom.jpg")
    ('/x/tom.jpg', None)
    """
    found = _PLAIN.fullmatch(url)
    return found and found[1]
