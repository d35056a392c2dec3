"""`overnight db`: bring the database to this program's revision, or ask whether it is there."""

import click

from jobs.settings import Settings
from overnight import options
from overnight.display import words


@click.group()
def command() -> None:
    """Upgrade or check the database."""


@command.command()
@options.with_settings
def upgrade(settings: Settings) -> None:
    """Create the database, or bring it to this program's revision; safe to repeat."""
    from jobs.database import Database
    from migrations import schema

    database = Database(settings.database_url)
    found = schema.upgrade(database)
    database.close()
    if found == schema.HEAD:
        words.say(f"{_shown(settings)} is at revision {schema.HEAD}: nothing to do")
    else:
        words.say(f"{_shown(settings)}: from {found or 'nothing'} to revision {schema.HEAD}")


@command.command()
@options.with_settings
def check(settings: Settings) -> None:
    """Say whether the database fits this program: 0 yes, 2 not there, 69 older or newer."""
    from migrations import schema
    from overnight import opened

    with opened.database(settings):
        words.say(f"{_shown(settings)} is at revision {schema.HEAD}, as this program needs")


def _shown(settings: Settings) -> str:
    from jobs.settings import places

    return places.shown(settings.database_url)
