"""Ask before anything large or final, but only in a terminal: a script cannot answer, and says `--yes` beforehand.

Without it, a script may buy, for that is what it is started for; but nothing final is done that nobody has agreed to.
"""

import sys

import click

from jobs import errors
from overnight.exits import Exit

MANY = 1000  # predictions that nobody has agreed to buy yet


class Declined(errors.OvernightError):
    """A person answered no; the message says what has not happened."""

    exit_code = Exit.INTERRUPTED


def ask(question: str, *, yes: bool, declined: str = "nothing was changed", final: str = "") -> None:
    """Return if a person agrees; otherwise raise, with nothing changed.

    If nobody can be asked, return too, unless ``final`` says what cannot be undone.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        if final:
            raise errors.Mistake(f"{final} cannot be undone, and nobody can be asked here: add --yes")
        return
    if not click.confirm(question, err=True):
        raise Declined(declined)


def ask_if_many(count: int, question: str, *, yes: bool) -> None:
    """Ask before more than a thousand predictions are bought; fewer are no reason to stop anyone."""
    if count > MANY:
        ask(question, yes=yes, declined="nothing was bought, nothing was changed")
