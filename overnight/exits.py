"""The command's exit codes. README says what each means."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended, for scripts and schedulers."""

    NONE_FAILED = 0
    SOME_FAILED = 1
    MISTAKE = 2  # change something first
    UNAVAILABLE = 69  # what cannot be reached may come back by itself
    BUG = 70
    HALTED = 75  # not finished
    INTERRUPTED = 130
