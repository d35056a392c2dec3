"""Is this a whole image, of which format and how large? Opens no connection and writes nothing.

Thread-safe: every call has its own decoders, and Pillow's global limits are left alone.
"""

import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from jobs import errors

MAX_PIXELS = 50_000_000
# Pixels over all passes of a JPEG: each scan is another, takes fifty bytes, and the decoder goes through them all.
_MOST_PASSED = 10_000_000_000  # a few seconds
_SCAN = b"\xff\xda"  # its data never hold these two; what a camera appends does, once in 65,536 bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image file turned out to be; sides in pixels, suffix without its dot."""

    media_type: str
    suffix: str
    width: int
    height: int
    black: bool = False  # every pixel


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is accepted: how its files begin, what reads their header, and how an image ends."""

    name: str
    magic: bytes
    open: Callable[[BinaryIO], ImageFile.ImageFile]
    # None for WebP, whose reader takes the whole file, and GIF, whose data may hold its mark.
    end: bytes = b""


# Opened by class: Image.open tries 40 parsers, and only warns of too many pixels instead of refusing them.
FORMATS = (
    Format("png", b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile, b"IEND\xaeB`\x82"),
    Format("jpeg", b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile, b"\xff\xd9"),
    Format("webp", b"RIFF", WebPImagePlugin.WebPImageFile),
    Format("gif", b"GIF8", GifImagePlugin.GifImageFile),
)
# What people have and no model of ours takes; it is only named, never opened.
_OTHERS = (
    ("TIFF", re.compile(rb"II\*\0|MM\0\*")),
    ("BMP", re.compile(rb"BM....\0\0\0\0", re.DOTALL)),
    ("HEIC", re.compile(rb"....ftyp(?:hei|hev|mif1|msf1)", re.DOTALL)),
    ("AVIF", re.compile(rb"....ftypavi", re.DOTALL)),
)
_SUFFIXES = {"jpeg": "jpg"}
SUFFIXES = tuple(_SUFFIXES.get(one.name, one.name) for one in FORMATS)


def inspect(source: bytes | Path) -> Facts:
    """Decode an image to its last pixel and return its facts; raises NotAnImage, or OSError for a file.

    It takes both `verify` and `load`: `verify` accepts a JPEG cut in half, `load` a PNG without its end.
    Bytes after the image's end are tolerated, since cameras append things there; of an animation only the
    first frame counts.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        kind = _accepted(file)
        try:
            return _whole(kind, file)
        except errors.NotAnImage:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk's own, no decoder's
                raise
            # Broken files make the decoders raise nearly everything, struct.error and IndexError included.
            raise errors.NotAnImage(f"The {kind.name.upper()} image is broken or not whole.") from error


def is_cut_off(kind: Format, file: BinaryIO) -> bool:
    """Whether an image's end is missing; its header was just read by ``kind.open``. Decodes nothing.

    The last bytes tell, unless something is appended; then the end is looked for. It is not looked for before the
    picture's own data: a JPEG's preview has an end too.
    """
    data = file.tell()
    file.seek(-len(kind.end), os.SEEK_END)
    return file.read() != kind.end and not _count(kind.end, file, data)


def media_type(content: bytes) -> str:
    """Return the media type by the first bytes, without decoding; raises NotAnImage."""
    return f"image/{_accepted(io.BytesIO(content[:16])).name}"


def kind_of(head: bytes) -> Format | None:
    """Return the format of a file by its first 16 bytes; None if it is no accepted one."""
    named = (kind for kind in FORMATS if head.startswith(kind.magic))
    return next((kind for kind in named if kind.name != "webp" or head[8:12] == b"WEBP"), None)


def other_kind(head: bytes) -> str | None:
    r"""Return the name of a format that is not accepted, by a file's first 16 bytes; None if it is none we know.

    >>> other_kind(b"II*\0"), other_kind(b"BM stands for bitmap")
    ('TIFF', None)
    """
    return next((name for name, begins in _OTHERS if begins.match(head)), None)


def _accepted(file: BinaryIO) -> Format:
    head = file.read(16)
    if (kind := kind_of(head)) is None:
        raise errors.NotAnImage("This is no PNG, JPEG, WebP or GIF image." if head else "The image is empty.")
    return kind


def _whole(kind: Format, file: BinaryIO) -> Facts:
    file.seek(0)
    image = kind.open(file)
    width, height = image.size
    # Before a pixel is decoded: a file of 200 kB may claim a gigapixel.
    if width * height > MAX_PIXELS:
        raise errors.NotAnImage(
            f"The image has {width} x {height} pixels; more than {MAX_PIXELS} are refused."
        )
    if kind.name == "jpeg" and (scans := _count(_SCAN, file)) * width * height > _MOST_PASSED:
        raise errors.NotAnImage(
            f"The image has {scans} scans of {width} x {height} pixels; so many are refused."
        )
    image.verify()
    file.seek(0)
    pixels = kind.open(file)
    pixels.load()
    # A picture may be drawn in its transparency alone.
    black = not pixels.has_transparency_data and pixels.convert("RGB").getbbox() is None
    return Facts(f"image/{kind.name}", _SUFFIXES.get(kind.name, kind.name), width, height, black)


def _count(mark: bytes, file: BinaryIO, start: int = 0) -> int:
    """Count a mark in a file, without reading it into memory as a whole."""
    file.seek(start)
    count, last = 0, b""
    while part := file.read(1_000_000):
        seen = last + part
        count += seen.count(mark)
        last = seen[1 - len(mark) :]
    return count
