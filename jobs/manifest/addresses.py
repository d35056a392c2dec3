"""Web addresses as nearly all are written, read by one pattern; who gets no answer asks the standard library.

A manifest may hold a million of them, and `urlsplit` takes as long as all else that is asked of a row.
"""

import re

# A host's name in ASCII, a port that cannot be too high, a path, and what comes behind it; nothing but what prints.
_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,4})?(/[!\"$->@-~]*)(?:[?#][!-~]*)?")


def plain_path(url: str) -> str | None:
    """Return the path of a plain and complete address as it is written there; None for any other.

    >>> plain_path("https://a.example:8080/x/tom.jpg?w=1"), plain_path("https://[::1]/tom.jpg")
    ('/x/tom.jpg', None)
    """
    found = _PLAIN.fullmatch(url)
    return found and found[1]
