"""`overnight load`: a manifest's rows become jobs. It buys nothing; loading again is a diff."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from jobs.settings import Settings
from overnight import options
from overnight.display import words

if TYPE_CHECKING:  # all of it loads SQLAlchemy, and `--help` must not
    from jobs.database import Database
    from jobs.loading.loader import Loaded
    from jobs.loading.targets import Target
    from jobs.manifest.validated import Validated


@click.command()
@click.argument("manifest")
@options.manifest
@options.as_json
@options.when_unconfirmed
@options.with_settings
def command(settings: Settings, manifest: str, *, as_json: bool, **given: Any) -> None:
    """Put the rows of MANIFEST into the database as jobs of a batch; buy nothing.

    Loading again adds the rows that are new. Edited rows stop it, unless --update says to change their jobs; rows
    that are no longer listed keep theirs.
    """
    from overnight import manifests
    from overnight.display import data, doers, planning

    loaded = manifests.loaded(settings, manifest, manifests.Asked(**given), partial(_warn, settings))
    if as_json:
        data.document(_as_json(loaded))
    else:
        first, *others = planning.after(settings, loaded)
        click.echo(words.printable(first))
        for line in others:
            words.say(line)
        words.say(doers.of_purchases(settings, loaded.batch))


def _warn(
    settings: Settings, db: "Database | None", read: "Validated", target: "Target", _found: object
) -> None:
    from overnight.display import planning

    warnings = (*read.warnings.lines(), *planning.unknown(settings, db, target.name))
    for line in (*planning.dated(target), *(f"warning: {warning}" for warning in warnings)):
        words.say(line)


def _as_json(loaded: "Loaded") -> dict[str, Any]:
    found = loaded.difference
    return {
        "batch": loaded.batch.name,
        "state": loaded.batch.state,
        "new": found.new,
        "there": found.there,
        "changed": found.changed,
        "no_longer_listed": found.gone,
        "failed": found.broken,
        "updated": loaded.updated,
        "left_as_bought": loaded.kept,
        "dropped": len(found.dropped),
    }
