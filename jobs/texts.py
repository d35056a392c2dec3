"""Is a name that a person typed, or that the disk holds, text that a database can keep? Pure."""

from jobs import errors


def check(name: str) -> str:
    """Return a name; Mistake if its bytes are none in the locale's encoding, which lone surrogates stand for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise errors.Mistake(
            f"{name!a} is no text in this locale; write it in plain letters, or set LC_ALL=C.UTF-8 if it is UTF-8"
        ) from None
    return name
