"""`overnight show`: everything about one job."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.settings import Settings
from overnight import options

if TYPE_CHECKING:  # all of it loads SQLAlchemy, and `--help` must not
    from jobs.reports.dossier import Dossier
    from jobs.reports.limits import Limit


@click.command()
@click.argument("what")
@options.as_json
@options.with_settings
def command(settings: Settings, what: str, as_json: bool) -> None:
    """Show what a job waits for, its input, its attempts, its files, and what to type next.

    WHAT is BATCH/KEY, a prediction's id, or the path of a picture. Times are local.

    \b
    overnight show cats/tom-0123456789
    overnight show outputs/cats/tom-0123456789-0.png
    """
    from jobs import batches
    from jobs.reports import dossier, status
    from jobs.selecting import lookup
    from jobs.settings import folders
    from overnight import flags, onlooker, opened
    from overnight.display import data, portrait

    with opened.database(settings) as db, db.read() as tx:
        outputs = {folders.of_batch(settings, one.output) for one in batches.every(tx)}
        found = dossier.read(tx, lookup.job(tx, what, outputs, flags.typed(settings)))
        progress = status.progress(tx, found.batch.id)
    typed = flags.typed(settings, found.batch)
    limit = onlooker.limit(progress, settings, typed)
    output = folders.of_batch(settings, found.batch.output)
    if as_json:
        data.document(_as_json(found, limit, output, typed))
    else:
        data.stream().write("\n".join(portrait.lines(found, limit, output, typed)) + "\n")


def _as_json(found: "Dossier", limit: "Limit", output: Path, typed: str) -> dict[str, Any]:
    from jobs.reports import waits
    from overnight.display import portrait

    return {
        "batch": found.batch.name,
        **asdict(found.job),
        "since": waits.since(found),
        "waits_for": waits.of(found, limit),
        "history": [asdict(attempt) for attempt in found.attempts],
        "files": [asdict(file) | {"file": file.path and str(output / file.path)} for file in found.files],
        "next": portrait.next_commands(found, typed),
    }
