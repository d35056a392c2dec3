"""The names that rows get: keys, given or derived, and the stems of their files. Pure."""

import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jobs.manifest import addresses, problems

LONGEST_KEY = 200
# Room for the digest of a derived key and for the number of a repeated row.
_LONGEST_NAME = 170
_LONGEST_PART_BYTES = 100

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_WEB = re.compile("https?://", re.IGNORECASE)
_SAFE_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
# KEY.2-0.png is what a second run of KEY writes, so no stem may itself end in a dot and a number.
_DOT_NUMBER = re.compile(r"\.(?=[0-9]+$)")
# Windows reads these as devices, with any suffix and with the superscript digits too.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)


def check(key: str) -> str:
    """Return a key that a person gave, or say why it cannot be one."""
    if len(key) > LONGEST_KEY:
        raise problems.Rejected(f"is longer than {LONGEST_KEY} characters")
    if _CONTROL.search(key):
        raise problems.Rejected("holds a control character or line break")
    if key.startswith("/"):
        raise problems.Rejected("begins with a slash; a key is a name, not an absolute path")
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise problems.Rejected("has an empty, '.' or '..' part between its slashes")
    return key


def derive(image: str, digest: str, images: Path | None = None) -> str:
    """Return the key of a row that has none: the image's name, a dash, and ten digits of the row's digest.

    >>> derive("cats/tom.png", "0123456789abcdef"), derive("https://a.example/x/tom.jpg?w=1", "0123456789abcdef")
    ('cats/tom-0123456789', 'tom-0123456789')
    """
    name = _web_name(image) if _WEB.match(image) else _path_name(image, images)
    plain = name if name.isprintable() else _CONTROL.sub("-", name)
    whole = "/".join([part for part in plain.split("/") if part not in {"", ".", ".."}])
    before, dot, suffix = whole.rpartition(".")
    if dot and "/" not in suffix:
        whole = before
    whole = whole[:_LONGEST_NAME].rstrip("/") or "image"
    return f"{whole}-{digest[:10]}"


def _web_name(url: str) -> str:
    try:
        path = addresses.plain_path(url) or urlsplit(url).path
    except ValueError:  # refused elsewhere, but under a key
        return ""
    return unquote(path.rstrip("/").rpartition("/")[2]).replace("/", "-")


def _path_name(image: str, images: Path | None) -> str:
    path = Path(image)
    if not path.is_absolute():
        return path.as_posix()
    if images is not None and path.is_relative_to(images):
        return path.relative_to(images).as_posix()
    return path.name


def slug(key: str) -> str:
    """Return the key as a path that every file system accepts; slashes stay folders.

    It is never absolute, never climbs, and each part has at most 100 bytes of UTF-8; a slug is its own slug.
    Different keys can share one: callers that need them apart add something (`staging` does).

    >>> slug("cats/tom & jerry"), slug("../con.png"), slug("v1.2")
    ('cats/tom-jerry', '_/_con.png', 'v1-2')
    """
    return "/".join(map(_slug_part, key.split("/")))


def _slug_part(part: str) -> str:
    safe = part if _SAFE_PART.fullmatch(part) else _spelt_safely(part)
    if _DEVICE.match(safe):
        safe = f"_{safe}"
    if len(safe) * 4 > _LONGEST_PART_BYTES:
        safe = safe.encode()[:_LONGEST_PART_BYTES].decode(errors="ignore").rstrip(".-")
    return _DOT_NUMBER.sub("-", safe)


def _spelt_safely(part: str) -> str:
    """Keep letters, digits and the marks that belong to them; every run of anything else becomes a dash."""
    normal = unicodedata.normalize("NFC", part)
    kept = "".join(
        c if c.isalnum() or c in "._-" or unicodedata.category(c)[0] == "M" else "\0" for c in normal
    )
    return re.sub("\0+", "-", kept).strip(".-") or "_"
