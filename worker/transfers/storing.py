"""Turns bytes into a durable file: a temporary name, the whole-image check, fsync, and then its own name.

A final name only ever holds a whole image that is on the disk, and is never given to other content. An
existing file counts as this output's only if it is identical and no earlier attempt has it: two attempts with
one seed make the same picture, and each gets its own file. Syncing the names is a separate step, for many at
once. Blocking, so called from threads.
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
from pathlib import Path, PurePosixPath

from jobs import crashpoints, durable, errors, images, shortage
from jobs.crashpoints import Place
from jobs.lifecycle import File
from worker.transfers import quarantine

_PREFIX, _SUFFIX = ".overnight-", ".part"
_LEFT_OVER_AFTER = 3600.0  # seconds; no download lasts that long
_MOST_GENERATIONS = 1000
_NAMESPACE = Path("/proc/self/ns/pid")
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class Part:
    """An output being written, under a temporary name in its final folder."""

    def __init__(self, root: Path, stem: PurePosixPath, taken: Collection[str] = ()) -> None:
        self._root = root
        self._stem = stem
        self._taken = {path.casefold() for path in taken}
        self._digest = hashlib.sha256()
        self._size = 0
        self._path: Path | None = None

    def append(self, content: bytes, *, last: bool = False) -> None:
        """Write more of it, and sync after the last piece; raises NotStored, or Unavailable if the disk is to blame."""
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

    def keep(self, content: bytes, index: int, *, suspect: bool = False) -> File:
        """Write the rest, check the whole image and give it its name.

        Raises NotAnImage, BlackedOut, Poison, NotStored or Unavailable.
        """
        whole = content if self._path is None else self._path
        try:
            self.append(content, last=True)
            with _disk(self._root):
                facts = quarantine.inspect(self._path) if suspect and self._path else images.inspect(whole)
                if facts.black:
                    raise errors.BlackedOut("The image is all black.")
                crashpoints.reach(Place.BEFORE_RENAME)
                kept = self._named(index, facts)
                crashpoints.reach(Place.AFTER_RENAME)
                return kept
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary name."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _named(self, index: int, facts: images.Facts) -> File:
        path = self._path or Path()
        digest = self._digest.hexdigest()
        for name in _names(self._stem.name, index, facts.suffix):
            relative = (self._stem.parent / name).as_posix()
            if relative.casefold() in self._taken:
                continue
            final = path.with_name(name)
            if _placed(path, final) or _same(final, self._size, digest):
                return File(relative, facts.media_type, self._size, facts.width, facts.height, digest)
        raise errors.Unavailable(f"{path.parent} has too many files named {self._stem.name}; move them away")


def sync_names(root: Path, paths: Iterable[str]) -> None:
    """Sync the names of outputs before any row mentions them; one fsync serves a whole folder."""
    with _disk(root):
        for folder in {(root / path).parent for path in paths}:
            durable.sync(folder)


def sweep(root: Path) -> int:
    """Remove the temporary files of interrupted downloads; return how many.

    Those of a dead process of this host go at once, all others after an hour, since the folder may be shared.
    """
    swept, before = 0, time.time() - _LEFT_OVER_AFTER
    for folder, _, files in os.walk(root):
        for name in files:
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
                swept += _removed(Path(folder, name), math.inf if _is_orphan(name) else before)
    return swept


def sweep_twice(root: Path, between: float) -> None:
    """Sweep, and once more after some seconds: a process that was killed lives on until the disk has answered it."""
    sweep(root)
    time.sleep(between)
    sweep(root)


def _temporary_name() -> str:
    return f"{_PREFIX}{_host()}-{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}"


def _host() -> str:
    """Return an identifier of the host or container, within which process ids are valid.

    Containers that share a host's network share its name, and not its process ids.
    """
    with suppress(OSError):  # where there are none
        return hashlib.sha256(f"{socket.gethostname()} {_NAMESPACE.stat().st_ino}".encode()).hexdigest()[:8]
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_orphan(name: str) -> bool:
    """Whether a temporary file was written by a process of this host that is dead."""
    host, _, rest = name.removeprefix(_PREFIX).partition("-")
    process = rest.partition("-")[0]
    if host != _host() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's process, or no valid process id
        pass
    return False


def _removed(path: Path, before: float) -> bool:
    try:
        if path.stat(follow_symlinks=False).st_mtime >= before:
            return False
        path.unlink()
    except OSError:  # another process was faster, or the folder is not ours
        return False
    return True


@contextmanager
def _disk(root: Path) -> Iterator[None]:
    """Turn every disk error into Unavailable for the output folder: no job is to blame.

    NotStored is one that passes by itself: no batch is paused for it, which would stay so until a person comes.
    """
    try:
        yield
    except OSError as error:
        if shortage.explains(error):
            raise errors.NotStored(f"The output could not be written: {error.strerror}.") from error
        raise errors.Unavailable(
            f"The output folder {root} cannot be written: {error.strerror or error}; "
            "make room or put it right, then run the same command again"
        ) from error


def _directory(root: Path, stem: PurePosixPath) -> Path:
    """Return the folder of a stem, created if needed; a missing root is not, as its disk may be unmounted."""
    whole, wanted = Path(os.path.realpath(root)), Path(os.path.realpath(root / stem.parent))
    if not wanted.is_relative_to(whole) or ".." in stem.parts:
        raise errors.Unavailable(f"{root / stem.parent} leads out of the output folder; remove that link")
    if not wanted.is_dir():
        if not root.is_dir():
            raise errors.Unavailable(f"The output folder {root} is not there; create it or mount its disk")
        wanted.mkdir(parents=True, exist_ok=True)
        for folder in (wanted, *wanted.parents):  # a new folder's own name must be durable too
            if not folder.is_relative_to(whole):
                break
            durable.sync(folder)
    return wanted


def _names(stem: str, index: int, suffix: str) -> Iterator[str]:
    yield f"{stem}-{index}.{suffix}"
    for generation in range(2, _MOST_GENERATIONS):
        yield f"{stem}.{generation}-{index}.{suffix}"


def _placed(path: Path, final: Path) -> bool:
    """Give a file its name unless that is taken; by a link, because a rename would overwrite."""
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
    """Whether a name already holds exactly these bytes, as when this is repeated after a crash."""
    if final.is_symlink() or not final.is_file() or final.stat().st_size != size:
        return False
    with final.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest
