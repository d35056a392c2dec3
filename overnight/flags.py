"""Which options a printed command must carry, so that it works as it stands: those that were typed just now."""

import shlex

import click

from jobs import places
from jobs.settings import Settings


def typed(settings: Settings) -> str:
    """Return the options of `options.with_settings` as the running command was given them; mostly none.

    A server's password is not repeated: whoever types the command next knows it.
    """
    given = click.get_current_context().params
    parts = []
    for option in ("api", "database", "output"):
        if text := given.get(option):
            is_server = option == "database" and settings.database_path is None
            parts += [f"--{option}", places.shown(settings.database_url) if is_server else text]
    return shlex.join(parts)
