"""Write a file whole or not at all: a temporary name, fsync, rename."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from jobs import durable, errors, presence


@contextmanager
def written(path: Path, *, replace: bool) -> Iterator[TextIO]:
    """Open a text file to be written; it gets its name at the end of the block, and an error leaves no trace.

    An existing file is refused unless ``replace``: a manifest that somebody has edited is an afternoon's work.
    """
    target = Path(os.path.realpath(path))
    _refuse(path, target, replace=replace)
    unfinished = target.with_name(f".overnight-{secrets.token_hex(8)}.part")
    try:
        with unfinished.open("x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
        durable.sync(target.parent)
    except OSError as error:
        raise errors.Unavailable(f"{path}: cannot be written: {error.strerror}; name another file") from error
    finally:
        with suppress(OSError):  # on a disk that cannot be written, nothing was
            unfinished.unlink(missing_ok=True)


def _refuse(path: Path, target: Path, *, replace: bool) -> None:
    if not presence.is_folder(target.parent):
        raise errors.Mistake(f"{path}: there is no folder {target.parent}")
    if presence.found(target) and not target.is_file():
        raise errors.Mistake(f"{path} is not a regular file; leave out -o and redirect the output")
    if presence.found(target) and not replace:
        raise errors.Mistake(f"{path} already exists; add --force to replace it, or name another file")
