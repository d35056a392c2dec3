"""How much of the memory that was freed does a process keep? glibc gives every thread a heap of its own."""

import ctypes
import os

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_HEAPS = 2


def share() -> None:
    """Let all threads share two heaps from now on: what one has freed is there for the others.

    Of thirty threads each would keep what it once needed: 155 MB after twenty thousand jobs and half a kilobyte more
    with every job, where 140 MB are enough. They hardly wait for each other there: most of what they do is done under
    the interpreter's one lock. Nothing happens where malloc is another one, or where a person has chosen.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_ARENA_MAX, _HEAPS)
