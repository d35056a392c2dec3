"""How do bytes become a file that lasts? A temporary name, the whole-image check, fsync, and a name of its own.

A final name only ever holds a whole image that is on the disk, and is never given to other content. A file that is
there already is this output's only if it is the same to the byte and no row has it: two attempts with one seed make
one picture, and each has a file of its own. That the name itself lasts is a step of its own, for many at once.
Blocking: called from threads. What is fetched, and from where, is asked of `downloads`.
"""

import errno
import hashlib
import math
import os
import secrets
import socket
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jobs import crashpoints, errors, images
from jobs.crashpoints import Place
from worker.transfers import quarantine

_PREFIX, _SUFFIX = ".overnight-", ".part"
_LEFT_OVER_AFTER = 3600.0  # seconds; no download lasts that long
_MOST_GENERATIONS = 1000
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True, slots=True)
class Stored:
    """An output on the disk; ``path`` is relative to the output folder, with ``/`` between its parts."""

    path: str
    media_type: str
    bytes: int
    width: int
    height: int
    sha256: str


class Part:
    """An output on its way into the output folder, under a temporary name beside its final one."""

    def __init__(self, root: Path, stem: PurePosixPath, taken: Collection[str] = ()) -> None:
        self._root = root
        self._stem = stem
        self._taken = {path.casefold() for path in taken}
        self._digest = hashlib.sha256()
        self._size = 0
        self._path: Path | None = None

    def append(self, content: bytes, *, last: bool = False) -> None:
        """Write more of it, the last piece through to the disk; raises Unavailable if that takes nothing."""
        with _disk(self._root):
            if self._path is None:
                self._path = _directory(self._root, self._stem) / _temporary_name()
            with self._path.open("ab") as file:
                file.write(content)
                if last:
                    file.flush()
                    os.fsync(file.fileno())
        self._digest.update(content)
        self._size += len(content)

    def keep(self, content: bytes, index: int, max_pixels: int, *, suspect: bool = False) -> Stored:
        """Write the rest, check the whole and give it its name; raises NotAnImage, Poison or Unavailable."""
        whole = content if self._path is None else self._path
        try:
            self.append(content, last=True)
            with _disk(self._root):
                facts = self._facts(whole, max_pixels, suspect)
                crashpoints.reach(Place.BEFORE_RENAME)
                kept = self._named(index, facts)
                crashpoints.reach(Place.AFTER_RENAME)
                return kept
        finally:
            self.discard()

    def _facts(self, whole: bytes | Path, max_pixels: int, suspect: bool) -> images.Facts:
        if suspect and self._path:
            return quarantine.inspect(self._path, max_pixels=max_pixels)
        return images.inspect(whole, max_pixels=max_pixels)

    def discard(self) -> None:
        """Remove the temporary name."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _named(self, index: int, facts: images.Facts) -> Stored:
        path = self._path or Path()
        digest = self._digest.hexdigest()
        for name in _names(self._stem.name, index, facts.suffix):
            relative = (self._stem.parent / name).as_posix()
            if relative.casefold() in self._taken:
                continue
            final = path.with_name(name)
            if _placed(path, final) or _same(final, self._size, digest):
                return Stored(relative, facts.media_type, self._size, facts.width, facts.height, digest)
        raise errors.Unavailable(f"{path.parent} has too many files named {self._stem.name}; move them away")


def sync_names(root: Path, paths: Iterable[str]) -> None:
    """Make the names of outputs last, before anybody is told of them: one fsync serves a whole folder."""
    with _disk(root):
        for folder in {(root / path).parent for path in paths}:
            _sync(folder)


def sweep(root: Path) -> int:
    """Remove what downloads that were cut off left behind; return how many.

    What a process of this host wrote goes once that is dead, anything else an hour later: the folder may be shared.
    """
    swept, before = 0, time.time() - _LEFT_OVER_AFTER
    for folder, _, files in os.walk(root):
        for name in files:
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
                swept += _removed(Path(folder, name), math.inf if _is_orphan(name) else before)
    return swept


def _temporary_name() -> str:
    return f"{_PREFIX}{_host()}-{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}"


def _host() -> str:
    """Return what stands for the host, or the container: process ids mean something only inside it."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_orphan(name: str) -> bool:
    """Whether the process that wrote a temporary file was one of this host, and is dead."""
    host, _, rest = name.removeprefix(_PREFIX).partition("-")
    process = rest.partition("-")[0]
    if host != _host() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's, or no process at all
        pass
    return False


def _removed(path: Path, before: float) -> bool:
    try:
        if path.stat(follow_symlinks=False).st_mtime >= before:
            return False
        path.unlink()
    except OSError:  # somebody else was faster, or the folder is not ours
        return False
    return True


@contextmanager
def _disk(root: Path) -> Iterator[None]:
    """Say of every fault of the disk that the output folder is not to be had: no job is to blame."""
    try:
        yield
    except OSError as error:
        raise errors.Unavailable(
            f"The output folder {root} cannot be written: {error.strerror or error}; "
            "make room or put it right, then run the same command again"
        ) from error


def _directory(root: Path, stem: PurePosixPath) -> Path:
    """Return the folder of a stem, made if need be; a missing root is not, it may be a disk that is away."""
    whole, wanted = Path(os.path.realpath(root)), Path(os.path.realpath(root / stem.parent))
    if not wanted.is_relative_to(whole) or ".." in stem.parts:
        raise errors.Unavailable(f"{root / stem.parent} leads out of the output folder; remove that link")
    if not wanted.is_dir():
        if not root.is_dir():
            raise errors.Unavailable(f"The output folder {root} is not there; create it or mount its disk")
        wanted.mkdir(parents=True, exist_ok=True)
        for folder in (wanted, *wanted.parents):  # a new folder's own name must last, too
            if not folder.is_relative_to(whole):
                break
            _sync(folder)
    return wanted


def _names(stem: str, index: int, suffix: str) -> Iterator[str]:
    yield f"{stem}-{index}.{suffix}"
    for generation in range(2, _MOST_GENERATIONS):
        yield f"{stem}.{generation}-{index}.{suffix}"


def _placed(path: Path, final: Path) -> bool:
    """Give a file its name unless that is taken: a link, because a rename would replace what is there."""
    try:
        os.link(path, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(final):
            return False
        path.rename(final)  # a disk without links, such as exFAT
    return True


def _same(final: Path, size: int, digest: str) -> bool:
    """Whether a name is taken by these very bytes: then a redo after a crash has nothing left to do."""
    if final.is_symlink() or not final.is_file() or final.stat().st_size != size:
        return False
    with final.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
