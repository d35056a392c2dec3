"""Which URLs are well-formed, and which of them lead to this machine. Pure."""

import ipaddress
from urllib.parse import SplitResult, urlsplit


def split(url: str) -> SplitResult | None:
    """Return the parts of a URL; None if it is malformed.

    >>> split("http://[x"), split("http://127.0.0.1:port/")
    (None, None)
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return None
    return parts


def is_here(url: SplitResult) -> bool:
    """Whether a URL is plain http on this machine: all that a rehearsal ever calls."""
    return url.scheme == "http" and _is_loopback(url.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
