"""Which files a batch's folder holds. It is only listed: no file is looked at, so other files in it count too."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from jobs import images, presence


def files(folder: Path, most: int) -> int:
    """Return how many files are below a folder, ``most`` if there are more; 0 if it is missing or closed to us."""
    return sum(1 for _ in islice(_names(folder), most))


def has_image(stem: Path) -> bool:
    """Whether there is a first image of a stem."""
    return any(presence.found(stem.with_name(f"{stem.name}-0.{suffix}")) for suffix in images.SUFFIXES)


def _names(folder: Path) -> Iterator[str]:
    """Yield names; hidden ones are downloads under way, or the system's."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _names(Path(entry))
            else:
                yield entry.name
