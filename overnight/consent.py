"""Ask before anything large or final, but only in a terminal: a script cannot answer."""

import sys

import click

_MANY = 1000  # predictions that nobody has agreed to buy yet


def ask(question: str, *, yes: bool) -> None:
    """Return if a person agrees, or if nobody can be asked; otherwise exit as if interrupted, with nothing changed."""
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm(question, abort=True, err=True)


def ask_if_many(count: int, question: str, *, yes: bool) -> None:
    """Ask before more than a thousand predictions are bought; fewer are no reason to stop anyone."""
    if count > _MANY:
        ask(question, yes=yes)
