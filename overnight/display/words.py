"""How sentences reach a person: on the error stream, harmless to a terminal. Data goes to stdout, elsewhere."""

import sys

from jobs.manifest import problems


def printable(text: str) -> str:
    r"""Return a text that cannot move the cursor or colour the terminal; line ends stay.

    >>> printable("a\x1b[2Jb\nc\u202e")
    'a\\x1b[2Jb\nc\\u202e'
    """
    return "\n".join(map(problems.printable, text.split("\n")))


def say(text: str) -> None:
    """Tell a person something; a closed error stream is no reason to stop."""
    try:
        print(printable(text), file=sys.stderr, flush=True)  # noqa: T201  the one place that prints sentences
    except (OSError, ValueError):
        return


def complain(text: str) -> None:
    """Say what went wrong, each line under our name, so that it can be told apart in a script's output."""
    say("\n".join(f"overnight: {line}" for line in text.splitlines()))
