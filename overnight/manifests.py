"""From a manifest on the command line to a batch: the options and the steps that check, load and run share."""

import csv
import functools
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs import errors
from jobs.settings import Settings
from overnight import options, reading

if TYPE_CHECKING:  # all of it loads SQLAlchemy or Pillow, and `--help` must not
    from jobs.batches import Batch
    from jobs.database import Database
    from jobs.loading.difference import Difference, Target
    from jobs.loading.loader import Loaded
    from jobs.manifest.validated import Validated


def _listed(_context: click.Context, _option: click.Parameter, written: tuple[str, ...]) -> tuple[str, ...]:
    """Return the headers in `A,B`; one that holds a comma is quoted, as in the file itself."""
    return tuple(header.strip() for row in csv.reader(written) for header in row if header.strip())


def _once(
    _context: click.Context, _option: click.Parameter, pairs: tuple[tuple[str, str], ...]
) -> dict[str, str]:
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        raise click.BadParameter(f"{next(n for n in names if names.count(n) > 1)} is given twice")
    return given


_OPTIONS = (
    click.option(
        "--batch",
        metavar="NAME",
        help="Name of the batch; {date} is today, or the day of this file's unfinished batch.  "
        "[default: the file's]",
    ),
    click.option(
        "--column",
        "columns",
        multiple=True,
        type=options.Pair(),
        metavar="INPUT=HEADER",
        callback=_once,
        help="Read an input of the model from the column with this header.",
    ),
    click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="A,B|*",
        callback=_listed,
        help="Carry these columns through to the results; * for all that have no other use.",
    ),
    click.option(
        "--default",
        "defaults",
        multiple=True,
        type=options.Pair(),
        callback=_once,
        help="Value for the rows that give none.",
    ),
    click.option(
        "--images",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Where the pictures are.  [default: the manifest's folder]",
    ),
    options.account,
    click.option(
        "--limit",
        metavar="N",
        type=click.IntRange(min=1),
        help="Only the first N rows; without it, the next run adds the rest.",
    ),
    click.option(
        "--keep-going", is_flag=True, help="A bad row becomes a failed job instead of stopping everything."
    ),
    click.option("--update", is_flag=True, help="Change jobs whose rows were edited, unless already bought."),
)


def manifest_options(command: options.Decorated) -> options.Decorated:
    """Add the options that say how a manifest is read; `reading.Asked` holds their values."""
    return functools.reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def named(db: "Database", name: str, settings: Settings) -> "Batch":
    """Return a loaded batch; refuse one that buys from another API than that of the settings."""
    from jobs.selecting import lookup

    with db.read() as tx:
        batch = lookup.batch(tx, name)
    if batch.api != settings.api.identity:
        raise errors.Mistake(
            f"batch {batch.name} buys from {batch.api}, and stays with it; add --api {batch.api}, "
            f"or load its manifest for {settings.api.identity} under another name with --batch NAME"
        )
    return batch


Agree = Callable[["Database | None", "Validated", "Target", "Difference"], None]


def loaded(settings: Settings, manifest: str, asked: reading.Asked, agree: Agree) -> "Loaded":
    """Load a manifest, unless ``agree`` raises when it is shown what will change.

    The database is created only after that: a faulty manifest, or a person who declines, leaves nothing behind.
    """
    from jobs.loading import difference, loader
    from overnight import opened

    with ExitStack() as stack:
        db = stack.enter_context(opened.found(settings))
        read, target = stack.enter_context(reading.reading(settings, db, manifest, asked))
        found = difference.compare(db, read, target)
        agree(db, read, target, found)
        if db is None:
            db = stack.enter_context(opened.made(settings))
        return loader.load(db, read, target, found)
