"""`overnight export`: results for other programs, or a manifest to edit and run again."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs import commands, errors, figures
from jobs.settings import Settings
from overnight import options
from overnight.display import words

if TYPE_CHECKING:  # SQLAlchemy costs 0.2 s, and help needs none of it
    import sqlalchemy as sa

    from jobs.batches import Batch
    from jobs.database import Database
    from jobs.reports.spreadsheet import Writable
    from jobs.selecting.selection import Selection

# What a FILE's name promises; any other end would promise what is not written.
_FORMS = {"": "csv", ".csv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@click.command()
@click.argument("batch", required=False)
@options.filters
@click.option(
    "--per",
    type=click.Choice(["job", "image"]),
    help="One line per job, or one per image on disk.  [default: job]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="[default: jsonl into a FILE that ends in .jsonl or .ndjson, else csv]",
)
@click.option("--manifest", is_flag=True, help="Write a CSV manifest of these jobs instead; implies --raw.")
@click.option(
    "-o",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write to FILE, whole or not at all.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--raw", is_flag=True, help="Leave cells as they are, even those that a spreadsheet would run.")
@options.with_settings
def command(
    settings: Settings,
    batch: str | None,
    per: str | None,
    form: str | None,
    manifest: bool,
    target: Path | None,
    force: bool,
    raw: bool,
    **filters: Any,
) -> None:
    """Write the results of BATCH, or of all batches, to stdout or FILE.

    CSV has the model's inputs in columns input.NAME and labels in label.NAME; cells that begin like a formula
    get an apostrophe. It is UTF-8 without a mark, which Excel reads by Data, From Text/CSV. JSON lines are nested.
    Paths of images are relative to the output folder.

    With --manifest the rows can be edited and loaded again. Pictures are named as in the batch's own manifest:
    relative to its folder of pictures, which --images names when FILE lies elsewhere.
    """
    from jobs.selecting import lookup, selection
    from overnight import opened

    form = form or _form_of(target)
    if manifest:
        _refuse_with_manifest(settings, batch, per, form)
    chosen = selection.Selection(**filters, accepted=manifest)
    with opened.database(settings) as db:
        with db.read() as tx:
            found = lookup.batch(tx, batch) if batch else None
            if target:
                _refuse_a_manifest(tx, target)
        if manifest and found:
            count = _written(target, force, "job", partial(_write_manifest, db, chosen, found))
            _tell_next(settings, db, chosen, found, target if count else None)
        else:
            noun = per or "job"
            _written(target, force, noun, partial(_write_results, db, chosen, found, noun, form, raw))


def _form_of(target: Path | None) -> str:
    """Return the format that a file's name asks for; a million jobs are too many for one JSON or YAML document."""
    form = _FORMS.get(target.suffix.lower() if target else "")
    if form is None:
        raise errors.Mistake(
            f"{target}: only CSV and JSON lines are written; end its name in .csv or .jsonl, or say --format"
        )
    return form


def _refuse_with_manifest(settings: Settings, batch: str | None, per: str | None, form: str) -> None:
    if not batch:
        from overnight import flags

        one = flags.command(settings, "export", "BATCH", "--manifest")
        raise errors.Mistake(f"a manifest is for one batch; type {one}")
    if per == "image" or form == "jsonl":
        raise errors.Mistake(
            "a manifest is CSV with a row per job; leave out --per and --format, and name a .csv"
        )


def _refuse_a_manifest(tx: "sa.Connection", target: Path) -> None:
    """Protect what a person wrote, from --force too: an export has other headers, and perhaps fewer rows."""
    from jobs import batches

    place = os.path.realpath(target)
    for one in batches.every(tx):
        if one.manifest_path and os.path.realpath(one.manifest_path) == place:
            raise errors.Mistake(f"{target} is the manifest of batch {one.name} itself; name another file")


def _written(target: Path | None, force: bool, noun: str, write: Callable[["Writable"], int]) -> int:
    """Have something written to a file or to stdout, and return how many lines it has; those of a file are told.

    So is a header alone on stdout, for a filter may be misspelt.
    """
    from overnight.display import data, newfile

    with newfile.written(target, replace=force) if target else nullcontext(data.stream()) as out:
        count = write(out)
    if target:
        words.say(f"{target}: {figures.counted(count, noun)}")
    elif not count:
        words.say(f"no {noun} matches")
    return count


def _write_manifest(db: "Database", chosen: "Selection", batch: "Batch", out: "Writable") -> int:
    from jobs.reports import exports, spreadsheet

    names = exports.names(db, chosen, batch.id)
    rows = exports.manifest_rows(db, chosen, batch.id, names)
    return spreadsheet.write(out, itertools.chain([exports.manifest_header(names)], rows), raw=True) - 1


def _write_results(
    db: "Database",
    chosen: "Selection",
    batch: "Batch | None",
    per: str,
    form: str,
    raw: bool,
    out: "Writable",
) -> int:
    from jobs.reports import exports, spreadsheet

    each = exports.Per(per)
    batch_id = batch.id if batch else None
    records = exports.records(db, chosen, batch_id, per=each)
    if form == "jsonl":
        return _write_lines(out, records)
    names = exports.names(db, chosen, batch_id)
    rows: Iterator[list[Any]] = (exports.flat(record, names, per=each) for record in records)
    return spreadsheet.write(out, itertools.chain([exports.header(names, per=each)], rows), raw=raw) - 1


def _write_lines(out: "Writable", records: Iterable[dict[str, Any]]) -> int:
    from overnight.display import data

    written = 0
    for record in records:
        out.write(data.line(record) + "\n")
        written += 1
    return written


def _tell_next(
    settings: Settings, db: "Database", chosen: "Selection", batch: "Batch", written: Path | None
) -> None:
    """Say what is not in the manifest, and what to type once it is edited, if it was ``written`` to a file."""
    from jobs.selecting import selection
    from overnight import flags
    from overnight.display import advised

    with db.read() as tx:
        refused = selection.refused(tx, chosen, batch.id)
    if refused:
        words.say(advised.correction(refused, batch, flags.typed(settings, batch)))
    if written:
        root = batch.options["images_root"]
        images = [] if Path(root) == written.resolve().parent else ["--images", commands.place(root)]
        typed = "run", str(written), "--batch", batch.name, "--update", *images
        again = flags.command(settings, *typed, batch=batch)
        words.say(f"Type next, once you have edited it: {again}")
