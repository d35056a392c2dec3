"""`overnight jobs`: which jobs there are."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click

from jobs.settings import Settings
from overnight import options
from overnight.display import words


@click.command()
@click.argument("batch", required=False)
@options.filters
@options.as_json
@options.with_settings
def command(settings: Settings, batch: str | None, as_json: bool, **filters: Any) -> None:
    """List the jobs of BATCH, or of all batches, in the order in which they were loaded.

    In a terminal the list has a header and shortens errors to fit; in a pipe it has no header, a tab between
    columns, and errors whole.
    """
    from jobs.reports import listing
    from jobs.selecting import lookup, selection
    from overnight import opened
    from overnight.display import data

    chosen = selection.Selection(**filters)
    with opened.database(settings) as db:
        with db.read() as tx:
            of_batch = lookup.batch(tx, batch).id if batch else None
        lines = listing.lines(db, chosen, of_batch)
        out = data.stream()
        empty = True
        for line in _as_json(lines) if as_json else _as_text(lines):
            out.write(f"{line}\n")
            empty = False
    if empty:
        words.say(f"no job matches{chosen.slip(batch) if batch else ''}")


def _as_json(pages: Iterable[list[Any]]) -> Iterator[str]:
    from overnight.display import data

    for page in pages:
        for line in page:
            yield data.line(asdict(line))


def _as_text(pages: Iterable[list[Any]]) -> Iterator[str]:
    from overnight.display import listing

    if sys.stdout.isatty():
        return listing.aligned(pages, shutil.get_terminal_size().columns)
    return listing.piped(pages)
