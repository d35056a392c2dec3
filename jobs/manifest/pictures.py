"""Which picture a row may send, and how it will travel. Reads a file's header and its end, and decodes nothing.

A manifest may come from somebody else, and what it names is sent to a third party. So a path must lie below
the folder of pictures once every symbolic link is followed, be a regular file (opening a pipe can hang,
opening a device can do anything), and begin like an image.
"""

import os
import re
import shlex
import stat
import unicodedata
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from jobs import commands, errors, images, presence, shortage
from jobs.manifest import addresses, problems

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


class Pictures:
    """The pictures of one manifest. Rows often share one, so the last ten thousand answers are cached."""

    def __init__(self, root: Path, *, absolute_allowed: bool) -> None:
        self._root = Path(os.path.realpath(root))
        self.folder_is_there = presence.is_folder(self._root)
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
        except OSError as error:
            raise errors.Unavailable(f"{image} cannot be looked at for now: {error.strerror}") from error
        return Travel.INLINE if data_uri_length(size) <= LONGEST_INLINE else Travel.UPLOAD


def locate(image: str, root: Path, *, absolute_allowed: bool) -> Path:
    """Return the regular file that a row's path means, every link followed, or raise `problems.Rejected`.

    An OSError only tells what this machine is short of. Whoever opens the file later must call this again: links can
    change between check and use.
    """
    if "\0" in image:
        raise problems.Rejected("holds a NUL character")
    if Path(image).is_absolute() and not absolute_allowed:
        within = Path(os.path.normpath(image)).is_relative_to(root)
        folder = shlex.quote(commands.place(root)) if within else "DIR"
        raise problems.Rejected(
            "is an absolute path", f"name the folder it may lie in with --images {folder}"
        )
    real = Path(os.path.realpath(root / image))
    if not real.is_relative_to(os.path.realpath(root)):
        _refuse_lost(root / image, real, root)
        raise Unusable("lies outside the folder of pictures", f"{root}; choose another with --images DIR")
    try:
        mode = real.stat().st_mode
    except OSError as error:
        if shortage.explains(error):
            raise
        _refuse_lost(root / image, real, root)
        raise _missing(image, root, error) from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise Unusable(f"is {kind}", "name a picture")
    return real


def _refuse_lost(link: Path, real: Path, root: Path) -> None:
    """Raise if a link in the folder of pictures leads to nothing; nobody looks at a link that lies outside."""
    if not Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(root)):
        return
    try:
        if link.is_symlink():
            link.stat()
    except FileNotFoundError:
        raise Unusable("is a link that leads nowhere", f"to {real}; mend the link") from None
    except OSError:  # the caller says what is wrong with the path that it leads to
        return


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


def _missing(image: str, root: Path, error: OSError) -> Unusable:
    """Return the mistake; what needs other advice has another message, or it would be lost among many of its column."""
    if isinstance(error, PermissionError):
        return Unusable("cannot be reached", "permission denied; mend the rights of the file and its folders")
    if "\\" in image:
        return Unusable("cannot be found with a backslash in it", f"in {root}; write / between folders")
    if alike := _alike(image, root):
        return Unusable("cannot be found under just this name", f"in {root}; {alike}")
    return Unusable("cannot be found", f"in {root}; mend the path, or name another folder with --images DIR")


def _alike(image: str, root: Path) -> str | None:
    """Return how a path differs from one that is there, where a person hardly sees that it does."""
    stem, dot, suffix = image.rpartition(".")
    for other in (suffix.lower(), suffix.upper()):
        if _is_within(root, f"{stem}{dot}{other}"):
            return f"there is one that ends in .{other}"
    for form in ("NFC", "NFD"):
        if _is_within(root, unicodedata.normalize(form, image)):
            return (
                f"there is one that looks the same, its letters composed otherwise: copy its name, in {form}"
            )
    return None


def _is_within(root: Path, image: str) -> bool:
    real = Path(os.path.realpath(root / image))
    return real.is_relative_to(os.path.realpath(root)) and presence.found(real)


def _size_of_image(path: Path) -> int:
    """Return a file's size in bytes, or raise Unusable; an OSError only tells what this machine is short of."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_image(file, size)
    except OSError as error:
        if shortage.explains(error):
            raise
        raise Unusable("cannot be read", str(error.strerror).lower()) from None
    return size


def _check_image(file: BinaryIO, size: int) -> None:
    """Raise Unusable for what its header and its end show to be no whole image, or too large a one."""
    kind = _kind(file.read(16))
    if _pixels(file, kind) > images.MAX_PIXELS:
        raise Unusable("has more pixels than the model can hold", "make it smaller")
    if size > LARGEST_UPLOAD:
        raise Unusable("has 100 MB or more", "make it smaller")
    if images.is_cut_off(kind, file):
        raise Unusable("is cut off", "its end is missing; copy it again, whole")


def _kind(head: bytes) -> images.Format:
    if not head:
        raise Unusable("is an empty file", "was it copied whole?")
    if (kind := images.kind_of(head)) is None:
        accepted = ", ".join(kind.name.upper() for kind in images.FORMATS)
        if other := images.other_kind(head):
            raise Unusable(f"is a {other} image, which is not accepted", f"convert it to one of {accepted}")
        raise Unusable("is not an image", f"use one of {accepted}")
    return kind


def _pixels(file: BinaryIO, kind: images.Format) -> int:
    """Return how many pixels a file's header claims."""
    file.seek(0)
    try:
        width, height = kind.open(file).size
    except Exception as error:
        # Broken headers make Pillow's readers raise nearly everything, struct.error and IndexError included.
        raise Unusable("is a broken image", "open it in an editor and save it again") from error
    return width * height
