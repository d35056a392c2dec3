"""Which options were typed just now: a printed command must carry them, and what is kept with a batch gives way."""

import shlex
from collections.abc import Mapping
from typing import Any

import click

from jobs.settings import Settings, places

_SETTINGS = ("api", "database", "output")


def typed(settings: Settings) -> str:
    """Return the options of `options.with_settings` as the running command was given them; mostly none.

    A server's password is not repeated: whoever types the command next knows it.
    """
    given = _given()
    parts = []
    for option in _SETTINGS:
        if text := given.get(option):
            is_server = option == "database" and settings.database_path is None
            parts += [f"--{option}", places.shown(settings.database_url) if is_server else text]
    return shlex.join(parts)


def names() -> set[str]:
    """Return these options by their names alone."""
    given = _given()
    return {f"--{option}" for option in _SETTINGS if given.get(option) is not None}


def command(settings: Settings, words: str) -> str:
    """Return a command to be typed next, whose words are fit for a shell, with these options."""
    return f"overnight {words} {typed(settings)}".rstrip()


def when_unconfirmed() -> str | None:
    """Return what `--when-unconfirmed` was given; None if it was not, and what is kept with the batch holds."""
    chosen: str | None = click.get_current_context().params.get("when_unconfirmed")
    return chosen


def _given() -> Mapping[str, Any]:
    context = click.get_current_context(silent=True)
    return context.params if context else {}
