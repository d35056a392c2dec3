"""Asking before something large or final; only in a terminal, because a script cannot answer."""

import sys

import click


def ask(question: str, *, yes: bool) -> None:
    """Go on if a person agrees, or nobody is there to ask; otherwise end as if interrupted, with nothing changed."""
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm(question, abort=True, err=True)
