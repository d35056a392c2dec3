"""Which picture a row may send, and how it will travel. Reads a file's header, never its whole content.

A manifest may come from somebody else, and what it names is sent to a third party. So a path must lie below
the folder of pictures once every symbolic link is followed, be a regular file (opening a pipe can hang,
opening a device can do anything), and begin like an image.
"""

import math
import os
import re
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image, UnidentifiedImageError

from jobs import images
from jobs.manifest import addresses, problems

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
# Lengths of a data URI as the API counts them (recommended up to 256 kB), and of an upload (less than 100 MB).
LONGEST_INLINE = 256_000
LARGEST_UPLOAD = 99_999_999

_LONGEST_URL = 4096
_REMEMBERED = 10_000
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(//)?", re.IGNORECASE)
_BARE_SCHEMES = {"data", "file", "blob", "javascript"}


class Unusable(problems.Rejected):
    """What the path leads to now cannot be sent. Only a job that is still to be bought minds."""


class Travel(StrEnum):
    """How a picture reaches the API."""

    URL = "url"
    INLINE = "inline"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """How many rows send their picture in each way."""

    urls: int = 0
    inline: int = 0
    upload: int = 0


def count(travels: Mapping[Travel | None, int]) -> ImageCounts:
    """Return the counts that the plan shows."""
    return ImageCounts(
        urls=travels.get(Travel.URL, 0),
        inline=travels.get(Travel.INLINE, 0),
        upload=travels.get(Travel.UPLOAD, 0),
    )


class Pictures:
    """The pictures of one manifest. Rows often share one, so the last ten thousand answers are cached."""

    def __init__(self, root: Path, *, absolute_allowed: bool) -> None:
        self._root = Path(os.path.realpath(root))
        self._absolute_allowed = absolute_allowed
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._look)

    def travel(self, image: str) -> Travel:
        """Return how the picture will travel; `problems.Rejected` says why it cannot."""
        if len(image) <= _LONGEST_URL and addresses.plain_path(image):
            return Travel.URL
        seen = self._remembered(image)
        if isinstance(seen, Travel):
            return seen
        kind, message, detail = seen
        raise kind(message, detail)

    def _look(self, image: str) -> Travel | tuple[type[problems.Rejected], str, str]:
        """Return how it travels, or the parts of why not: an exception would not be cached."""
        try:
            scheme = _SCHEME.match(image)
            if scheme and (scheme[2] or scheme[1].lower() in _BARE_SCHEMES):
                _check_url(image, scheme[1].lower())
                return Travel.URL
            path = locate(image, self._root, absolute_allowed=self._absolute_allowed)
            size = _size_of_image(path)
        except problems.Rejected as rejected:
            return type(rejected), rejected.message, rejected.detail
        return Travel.INLINE if data_uri_length(size) <= LONGEST_INLINE else Travel.UPLOAD


def locate(image: str, root: Path, *, absolute_allowed: bool) -> Path:
    """Return the regular file that a row's path means, every link followed, or raise `problems.Rejected`.

    Whoever opens it later must call this again: links can change between check and use.
    """
    if "\0" in image:
        raise problems.Rejected("holds a NUL character")
    if Path(image).is_absolute() and not absolute_allowed:
        raise problems.Rejected("is an absolute path", "name the folder it may lie in with --images DIR")
    real = Path(os.path.realpath(root / image))
    if not real.is_relative_to(os.path.realpath(root)):
        raise Unusable("lies outside the folder of pictures", f"{root}; choose another with --images DIR")
    try:
        mode = real.stat().st_mode
    except OSError as error:
        raise Unusable("cannot be found", _why_missing(image, root, error)) from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise Unusable(f"is {kind}", "name a picture")
    return real


def data_uri_length(size: int) -> int:
    """Return the length of a data URI for a file of ``size`` bytes."""
    return len("data:image/jpeg;base64,") + (size + 2) // 3 * 4


def _check_url(url: str, scheme: str) -> None:
    if scheme == "data":
        raise problems.Rejected("is a data URI", "save the picture as a file and name its path")
    if scheme == "file":
        raise problems.Rejected("is a file: address", "name the path alone")
    if scheme not in {"http", "https"}:
        raise problems.Rejected("is no address the API can fetch", "use http:// or https://, or a path")
    if len(url) > _LONGEST_URL:
        raise problems.Rejected(f"is an address of more than {_LONGEST_URL} characters")
    try:
        host = urlsplit(url).hostname
        _ = urlsplit(url).port
    except ValueError:
        host = None
    if not host or not url.isprintable() or " " in url:
        raise problems.Rejected("is no complete address", "write https://HOST/PATH, blanks as %20")


def _why_missing(image: str, root: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; mend the rights of the file and its folders"
    if "\\" in image:
        return f"in {root}; write / between folders"
    return f"in {root}; mend the path, or name another folder with --images DIR"


def _size_of_image(path: Path) -> int:
    try:
        size, pixels = _measure(path)
    except UnidentifiedImageError:
        if not path.stat().st_size:
            raise Unusable("is an empty file", "was it copied whole?") from None
        raise Unusable("is not an image", f"use one of {', '.join(FORMATS)}") from None
    except PermissionError:
        raise Unusable("cannot be read", "permission denied") from None
    except Exception as error:
        # Broken headers make Pillow's readers raise nearly everything, struct.error and IndexError included.
        raise Unusable("is a broken image", "open it in an editor and save it again") from error
    if pixels > images.MAX_PIXELS:
        raise Unusable("has more pixels than the model can hold", "make it smaller")
    if size > LARGEST_UPLOAD:
        raise Unusable("has 100 MB or more", "make it smaller")
    return size


def _measure(path: Path) -> tuple[int, float]:
    """Return a file's size in bytes and the number of pixels that its header claims."""
    with path.open("rb") as file, warnings.catch_warnings():
        # Pillow raises for far too many pixels and only warns of many; here both are too many.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        size = os.fstat(file.fileno()).st_size
        try:
            with Image.open(file, formats=FORMATS) as image:
                return size, image.width * image.height
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            return size, math.inf
