"""The options of the running command: printed commands repeat them, and they override what a batch has kept."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from jobs import commands
from jobs.settings import Settings, places

if TYPE_CHECKING:  # it loads SQLAlchemy, and `--help` must not
    from jobs.batches import Batch

_SETTINGS = ("api", "database", "output")


def typed(settings: Settings, batch: "Batch | None" = None) -> str:
    """Return those options of `options.with_settings` that were typed, ready to be printed; usually none.

    A command about a batch names the batch's API if no account is there: with accounts at several, a batch goes to its
    own, and a typed API would be that of all accounts without one. A server's password is not repeated: whoever types
    the command next knows it.
    """
    given = dict(_given())
    if batch and batch.api != settings.api.identity:
        has_account = any(one.api.identity == batch.api for one in settings.accounts)
        given["api"] = None if has_account else batch.api
    parts = []
    for option in _SETTINGS:
        if text := given.get(option):
            is_server = option == "database" and settings.database_path is None
            parts += [f"--{option}", places.shown(settings.database_url) if is_server else text]
    return shlex.join(parts)


def names() -> set[str]:
    """Return only the names of these options."""
    given = _given()
    return {f"--{option}" for option in _SETTINGS if given.get(option) is not None}


def command(settings: Settings, *words: str, batch: "Batch | None" = None) -> str:
    """Return a command to type next, with these options."""
    return commands.line(typed(settings, batch), *words)


def when_unconfirmed() -> str | None:
    """Return the value of `--when-unconfirmed`; None if it was not typed, so that the batch's own applies."""
    chosen: str | None = click.get_current_context().params.get("when_unconfirmed")
    return chosen


def _given() -> Mapping[str, Any]:
    context = click.get_current_context(silent=True)
    return context.params if context else {}
