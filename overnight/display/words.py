"""Print sentences on the error stream, made harmless to a terminal. Data goes to stdout, elsewhere."""

import os
import sys

from jobs import texts


def printable(text: str) -> str:
    r"""Return a text that cannot move the cursor or colour the terminal; line ends stay.

    >>> printable("a\x1b[2Jb\nc\u202e")
    'a\\x1b[2Jb\nc\\u202e'
    """
    return "\n".join(map(texts.printable, text.split("\n")))


def line(text: str) -> str:
    """Return a text, which may come from anywhere, as one line of ours."""
    return printable(" ".join(text.splitlines()))


def say(text: str) -> None:
    """Print a sentence; a closed error stream is no reason to stop."""
    try:
        print(printable(text), file=sys.stderr, flush=True)  # noqa: T201  the one place that prints sentences
    except (OSError, ValueError):
        return


def end() -> None:
    """Leave nothing to say behind: what a terminal that is gone did not take would turn the exit code into 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def complain(text: str) -> None:
    """Print what went wrong, with our name before each line, so that it stands out in a script's output."""
    say("\n".join(f"overnight: {line}" for line in text.splitlines()))
