"""`overnight check`: is a manifest in order, and what would it cost. Writes nothing."""

from typing import TYPE_CHECKING, Any

import click

from jobs import errors
from jobs.settings import Settings
from overnight import options
from overnight.display import words

if TYPE_CHECKING:  # both load SQLAlchemy, and `--help` must not
    from jobs.manifest.validated import Validated
    from jobs.reports.plan import Plan


@click.command()
@click.argument("manifest")
@options.manifest
@options.as_json
@options.when_unconfirmed
@options.with_settings
def command(settings: Settings, manifest: str, *, as_json: bool, **given: Any) -> None:
    """Validate MANIFEST, and say what a run of it would buy: how many, how long, how much. Writes nothing.

    A mistake in many rows is told once, with its first lines; --json has them all, as ranges [FIRST, LAST].

    \b
    overnight check tonight.csv                       every mistake at once, or the plan
    overnight check photos.csv --column prompt=text   a file with headers of its own
    some-program | overnight check - --batch tonight  from standard input
    """
    from jobs.loading import difference
    from jobs.settings import folders
    from overnight import manifests, opened
    from overnight.display import planning
    from worker.transfers import folder

    with (
        opened.found(settings) as db,
        manifests.reading(settings, db, manifest, manifests.Asked(**given)) as (read, target),
    ):
        try:
            found = difference.compare(db, read, target)
        except errors.Mistake:
            if as_json and read.problems:
                _print_json(read, None)
            raise
        opened.require_writable(settings)
        if not settings.broker_url:  # otherwise workers store the images
            folder.require_storable(folders.of_batch(settings, target.output))
        plan = planning.before(settings, db, read, target, found)
        for line in planning.dated(target):
            words.say(line)
        if as_json:
            _print_json(read, plan)
        else:
            click.echo(words.printable("\n".join(plan.lines())))


def _print_json(read: "Validated", plan: "Plan | None") -> None:
    """Print every kind of mistake, or the plan; the error stream lists at most twenty of the mistakes as well."""
    from overnight.display import data

    data.document(
        {
            "plan": plan and plan.as_json(),
            "mistakes": read.problems.as_json(),
            "warnings": read.warnings.as_json(),
        }
    )
