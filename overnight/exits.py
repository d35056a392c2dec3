"""What the command's exit codes mean."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended, for scripts and schedulers."""

    NONE_FAILED = 0
    SOME_FAILED = 1
    MISTAKE = 2
    UNAVAILABLE = 69
    BUG = 70
    HALTED = 75
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.NONE_FAILED: "no job failed",
    Exit.SOME_FAILED: "some jobs failed; the summary says which and what to type next",
    Exit.MISTAKE: "usage, manifest, setting or token: change something first",
    Exit.UNAVAILABLE: "database, broker, disk or API could not be reached at the start",
    Exit.BUG: "a bug in overnight; the log file has the traceback",
    Exit.HALTED: "not finished: paused by hand, block, stop-loss, fuse or full disk; the summary says what to type",
    Exit.INTERRUPTED: "interrupted; the same command goes on",
}
