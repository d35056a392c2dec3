"""Limits how much freed memory a process keeps: by default glibc gives every thread a heap of its own."""

import ctypes
import os

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_HEAPS = 2


def share() -> None:
    """Let all threads share two heaps from now on, so that memory freed by one can be used by the others.

    Otherwise each of thirty threads keeps what it once needed: 155 MB after twenty thousand jobs and half a kilobyte
    more with every job, where 140 MB are enough. They hardly contend for the heaps, since most of their work is done
    under the GIL. Does nothing under another malloc, or if a person has set MALLOC_ARENA_MAX.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_ARENA_MAX, _HEAPS)
