"""`overnight db`: bring the database to this program's revision, or ask whether it is there."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from jobs.settings import Settings
from overnight import options
from overnight.display import words

if TYPE_CHECKING:  # SQLAlchemy costs 0.2 s, and `--help` needs none of it
    from jobs.database import Database


@click.group()
def command() -> None:
    """Upgrade or check the database."""


@command.command()
@options.with_settings
def upgrade(settings: Settings) -> None:
    """Create the database, or upgrade it.

    Brings it to this program's revision; safe to repeat. A SQLite file on which `overnight run` is working is
    left alone.
    """
    from jobs.database import Database
    from migrations import schema

    with closing(Database(settings.database_url)) as database, _alone(database):
        found = schema.upgrade(database)
    if found == schema.HEAD:
        words.say(f"{_shown(settings)} is at revision {schema.HEAD}: nothing to do")
    else:
        words.say(f"{_shown(settings)}: from {found or 'nothing'} to revision {schema.HEAD}")


@command.command()
@options.with_settings
def check(settings: Settings) -> None:
    """Say whether the database fits the program.

    Exits with 0 if it does, with 2 if there is none, with 69 if it is older or newer.
    """
    from migrations import schema
    from overnight import opened

    with opened.database(settings):
        words.say(f"{_shown(settings)} is at revision {schema.HEAD}, as this program needs")


@contextmanager
def _alone(database: "Database") -> Iterator[None]:
    """Keep runs from working on a SQLite file meanwhile: one of the older program would not notice."""
    from jobs import errors, presence
    from migrations import schema
    from overnight.run.lock import Lock

    path = database.path
    if path is None or not presence.found(path) or (schema.current(database) or "") >= schema.HEAD:
        yield
        return
    with Lock(path) as lock:
        if not lock.take("db upgrade"):
            process, batch = lock.holder()
            raise errors.Unavailable(
                f"process {process} is working on {path}, batch {batch}: let it finish, or press Ctrl-C there; "
                "then type the same again"
            )
        yield


def _shown(settings: Settings) -> str:
    from jobs.settings import places

    return places.shown(settings.database_url)
