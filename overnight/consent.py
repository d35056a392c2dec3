"""Ask before anything large or final, but only in a terminal: a script cannot answer."""

import sys

import click


def ask(question: str, *, yes: bool) -> None:
    """Return if a person agrees, or if nobody can be asked; otherwise exit as if interrupted, with nothing changed."""
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm(question, abort=True, err=True)
