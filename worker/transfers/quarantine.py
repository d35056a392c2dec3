"""Is it a whole image, asked where it hurts nobody: a process of its own decodes it, and dies of it alone.

A worker that dies takes fifty jobs with it and does not say of which it died. So what those jobs have for images
is decoded here from then on, which costs a tenth of a second each: if this process dies of one, too, there is no
doubt left, and no other job has paid for it. A worker that was merely killed, or a message that was lost, makes
suspects just the same: that costs time, and blames nobody.
"""

import os
import resource
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from jobs import errors, images

_DEATHS = 2  # after the worker's own: three in all
_SECONDS = 30.0  # by the clock; of the processor's time two thirds of it
_MEMORY = 2 << 30  # bytes of addresses; 50 million pixels take a tenth of it
_AT_ONCE = 2  # a slice has fifty, a host perhaps two processors
_BROKEN = 3  # exit code: the image is at fault, and could say so

_turns = threading.BoundedSemaphore(_AT_ONCE)


class Poison(errors.ApiError):
    """Whatever decodes this image dies of it."""


def inspect(path: Path, *, max_pixels: int = images.MAX_PIXELS) -> images.Facts:
    """Return an image file's facts as `images.inspect` does; raises Poison if the decoder dies of it twice."""
    for _ in range(_DEATHS):
        with _turns:
            ended = _decoded(path, max_pixels)
        words = ended.stdout.decode(errors="replace").splitlines() if ended else []
        if ended and ended.returncode == 0 and len(words) == 4:
            return images.Facts(words[0], words[1], int(words[2]), int(words[3]))
        if ended and ended.returncode == _BROKEN:
            raise errors.NotAnImage(" ".join(words))
    raise Poison(f"three processes have died of decoding {path.name}, the worker's own among them")


def _decoded(path: Path, max_pixels: int) -> subprocess.CompletedProcess[bytes] | None:
    """Decode in a new process that knows nothing of ours but the code; None if it does not come to an end."""
    try:
        return subprocess.run(  # noqa: S603  our own program, and no shell
            [sys.executable, "-m", __name__, str(path), str(max_pixels)],
            env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def _main(path: str, max_pixels: str) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (int(_SECONDS * 2 / 3),) * 2)
    with suppress(ValueError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        facts = images.inspect(Path(path), max_pixels=int(max_pixels))
    except errors.NotAnImage as error:
        sys.stdout.write(str(error))
        return _BROKEN
    sys.stdout.write("\n".join(map(str, astuple(facts))))
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
