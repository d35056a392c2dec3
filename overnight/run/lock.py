"""One process at a time works on a SQLite database: it holds a lock that dies with it."""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from jobs import errors, presence

_LONGEST = 300  # bytes of the note about the holder


class Lock:
    """An OS lock beside the database: whoever gets it knows that no other process works on it."""

    def __init__(self, database: Path) -> None:
        self._path = path = _beside(database)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.Unavailable(
                f"{path} cannot be made: {error.strerror}; mend the rights of its folder"
            ) from error
        self.held = False

    def take(self, batch: str) -> bool:
        """Try to take the lock; write down who has it, and for which batch.

        Whoever only looks at it has it for an instant, which is waited for.
        """
        if self.held:
            return True
        for wait in (0.01, 0.05, None):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if wait is None:
                    return False
                time.sleep(wait)
            except OSError as error:
                raise errors.Unavailable(
                    f"{self._path} cannot be locked: {error.strerror}; name a database on a disk of this machine"
                ) from error
        self.held = True
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()} {batch}".encode()[:_LONGEST], 0)
        return True

    def holder(self) -> tuple[str, str]:
        """Return the process id and the batch of whoever has it, as far as they can be read."""
        return _written(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def holder(database: Path) -> tuple[str, str] | None:
    """Return the process id and the batch of whoever works on a database; changes nothing."""
    try:
        descriptor = os.open(_beside(database), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nobody ever worked on it, or the lock is another user's
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written(descriptor)
    except OSError:  # a disk without locks; whoever would work on it is told
        return None
    finally:
        os.close(descriptor)
    return None


def is_free(database: Path) -> bool:
    """Whether certainly nobody works on a database; False if another user's lock cannot be read."""
    path = _beside(database)
    return holder(database) is None and (os.access(path, os.R_OK) or presence.is_gone(path))


def _beside(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def _written(descriptor: int) -> tuple[str, str]:
    text = os.pread(descriptor, _LONGEST, 0).decode(errors="replace")
    process, _, batch = text.partition(" ")
    return process or "unknown", batch
