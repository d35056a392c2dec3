"""Checks a suspect image in a process of its own, so that decoding it can kill nothing else.

A worker that dies takes fifty jobs with it, and does not say which of them killed it. From then on the images
of those jobs are decoded here, which costs a tenth of a second each: if this process dies too, the image is
to blame, and no other job has suffered. A worker that was merely killed, or a lost message, makes suspects
too: that costs time, but blames nobody.
"""

import errno
import os
import resource
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from jobs import errors, images

_DEATHS = 2  # besides the worker's own: three in all
_SECONDS = 30.0  # of wall-clock time; two thirds of that of CPU time
_MEMORY = 2 << 30  # bytes of address space; 50 million pixels take a tenth of it
_AT_ONCE = 2  # a slice has fifty images, a host perhaps two processors
_BROKEN = 3  # exit code: the image is broken, and could be diagnosed
_UNREAD = 4  # exit code: the file could not be read; printed is why, as the system numbers it

_turns = threading.BoundedSemaphore(_AT_ONCE)


class Poison(errors.ApiError):
    """Every process that decodes this image dies."""


def inspect(path: Path) -> images.Facts:
    """Return an image file's facts, or raise, like `images.inspect`; raises Poison if the decoder dies twice."""
    for _ in range(_DEATHS):
        with _turns:
            ended = _decoded(path)
        words = ended.stdout.decode(errors="replace").splitlines() if ended else []
        if ended and ended.returncode == 0 and len(words) == 5:
            return images.Facts(words[0], words[1], int(words[2]), int(words[3]), black=words[4] == str(True))
        if ended and ended.returncode == _BROKEN:
            raise errors.NotAnImage(" ".join(words))
        if ended and ended.returncode == _UNREAD:
            raise OSError(int(words[0]), os.strerror(int(words[0])))
    raise Poison(f"three processes have died of decoding {path.name}, the worker's own among them")


def _decoded(path: Path) -> subprocess.CompletedProcess[bytes] | None:
    """Decode in a new process that gets nothing of our environment but paths; None if it does not end in time."""
    try:
        return subprocess.run(  # noqa: S603  our own program, and no shell
            [sys.executable, "-m", __name__, str(path)],
            env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def _main(path: str) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (int(_SECONDS * 2 / 3),) * 2)
    with suppress(ValueError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        facts = images.inspect(Path(path))
    except errors.NotAnImage as error:
        sys.stdout.write(str(error))
        return _BROKEN
    except OSError as error:
        sys.stdout.write(str(error.errno or errno.EIO))
        return _UNREAD
    sys.stdout.write("\n".join(map(str, astuple(facts))))
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
