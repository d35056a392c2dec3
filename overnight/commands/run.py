"""`overnight run`: from a manifest, or a batch that was loaded, to images. Again: go on."""

from typing import Any

import click

from jobs.settings import Settings
from overnight import options
from overnight.exits import Exit


@click.command()
@click.argument("what", metavar="MANIFEST|BATCH")
@options.manifest
@options.yes_to_many
@options.quiet
@options.as_json
@options.when_unconfirmed
@options.with_settings
def command(settings: Settings, what: str, *, yes: bool, quiet: bool, as_json: bool, **given: Any) -> Exit:
    """Load a manifest, buy its jobs, fetch the images. The same command again goes on where it stopped.

    \b
    overnight run tonight.csv                  load, buy, fetch, until all is done
    overnight run tonight.csv --api sandbox    the same without paying
    overnight run tonight                      go on with a batch that is loaded
    """
    from overnight.run import night
    from overnight.run.signals import Signals

    with Signals() as signals:
        return night.Night(settings, signals, quiet=quiet, yes=yes, as_json=as_json).run(what, given)
