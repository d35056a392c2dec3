"""`overnight retry`: make jobs wanted again. It never buys."""

from typing import TYPE_CHECKING, Any

import click

from jobs import figures
from jobs.settings import Settings
from overnight import options
from overnight.display import words

if TYPE_CHECKING:  # most of it loads SQLAlchemy, and `--help` must not
    from array import array

    from jobs.batches import Batch
    from jobs.database import Database
    from jobs.selecting.selection import Selection


@click.command()
@click.argument("batch")
@options.filters
@click.option(
    "--set", "given", multiple=True, type=options.Pair(), help="A new value for an input of the model."
)
@click.option("--new-seed", is_flag=True, help="A new seed for each job.")
@click.option("--dry-run", is_flag=True, help="Say how many jobs that is and what they cost; change nothing.")
@options.yes_to_many
@options.with_settings
def command(
    settings: Settings,
    batch: str,
    given: tuple[tuple[str, str], ...],
    new_seed: bool,
    dry_run: bool,
    yes: bool,
    **filters: Any,
) -> None:
    """Run failed jobs of BATCH again; `overnight run` then buys them.

    \b
    overnight retry cats                           failures that may pass; lists the others
    overnight retry cats --class nsfw --new-seed   exactly these
    overnight retry cats --key tom-0123456789      this job, even if it succeeded
    overnight retry cats --missing                 those whose images were deleted; they cost again
    overnight retry cats --state succeeded --set prompt_strength=0.6 --dry-run
    """
    from jobs.by_hand import changes, retrying
    from jobs.selecting import selection
    from overnight import consent, opened

    typed = selection.Selection(**filters)
    chosen = retrying.wanted(typed)
    change = changes.read(given, new_seed=new_seed)
    for warning in change.warnings:
        words.say(f"warning: {warning}")
    with opened.database(settings) as db:
        found, ids = _meant(db, batch, chosen)
        priced = _priced(len(ids), settings)
        _tell_doubt(settings, db, found, ids)
        if not ids:
            those = "" if typed.chooses_all else f" among those{typed.slip(found.name)}"
            words.say(f"{found.name}: no job to run again{those}{_unnamed(settings, db, found, typed)}")
        elif dry_run:
            words.say(f"{found.name}: {priced} would run again; nothing was changed")
        else:
            consent.ask_if_many(len(ids), f"Run {priced} of {found.name} again?", yes=yes)
            _tell(settings, found, retrying.retry(db, found, chosen, ids, change))
        _tell_left_out(settings, db, found, chosen, plainly=typed.chooses_all)


def _meant(db: "Database", name: str, chosen: "Selection") -> "tuple[Batch, array[int]]":
    """Return the batch and those of its jobs that are to run again.

    A whole folder that is gone was moved, or its disk is not mounted, more often than it was deleted.
    """
    from jobs import batches, errors, presence
    from jobs.selecting import lookup, selection

    with db.read() as tx:
        found = lookup.batch(tx, name)
        batches.refuse_cancelled(found)
        ids = selection.ids(tx, chosen, found.id)
    if chosen.missing and ids and not presence.found(folder := chosen.missing(found.output) / found.folder):
        raise errors.Mistake(
            f"{folder} is not there: mount its disk, or move it back; if it was deleted, choose the jobs by "
            "--state succeeded instead of --missing"
        )
    return found, ids


def _tell_doubt(settings: Settings, db: "Database", batch: "Batch", ids: "array[int]") -> None:
    """Say how many of the jobs may be paid for already, before anybody agrees to pay again."""
    from jobs.by_hand import retrying
    from overnight import flags

    with db.read() as tx:
        doubtful = retrying.in_doubt(tx, ids)
    if doubtful:
        look = flags.command(settings, "jobs", batch.name, "--class", "unconfirmed", batch=batch)
        counted = f"{figures.counted(doubtful, 'job')} failed as unconfirmed and may be paid for already"
        words.say(f"warning: {counted}; to run again is to pay again; to look first: {look}")


def _unnamed(settings: Settings, db: "Database", batch: "Batch", typed: "Selection") -> str:
    """Return how to run again what the filters fit, but what has succeeded or was cancelled, or nothing."""
    from dataclasses import replace

    from jobs.by_hand import retrying
    from overnight import flags

    with db.read() as tx:
        others = retrying.unnamed(tx, batch, typed)
    if not others:
        return ""
    counted = " and ".join(f"{n:,} {state}" for state, n in others.items())
    named = replace(typed, states=tuple(others))
    again = flags.command(settings, "retry", batch.name, *named.words(), batch=batch)
    return f", but {counted}; to buy them again all the same: {again}"


def _priced(count: int, settings: Settings) -> str:
    jobs = figures.counted(count, "job")
    if settings.price is None:
        return f"{jobs} (set OVERNIGHT_PRICE to see the cost)"
    return f"{jobs} (about {count * settings.price:,} at {settings.price} each)"


def _tell(settings: Settings, batch: "Batch", count: int) -> None:
    from overnight.display import doers

    words.say(f"{batch.name}: {_priced(count, settings)} to run again")
    words.say(doers.of_purchases(settings, batch))


def _tell_left_out(
    settings: Settings, db: "Database", batch: "Batch", chosen: "Selection", *, plainly: bool
) -> None:
    """Say which failed jobs need something else, and what to type for them."""
    from jobs import failures
    from jobs.by_hand import retrying
    from jobs.selecting import selection
    from jobs.states import State
    from overnight import flags
    from overnight.display import advised

    with db.read() as tx:
        others = retrying.left_out(tx, batch) if plainly else []
        every = selection.Selection(states=(State.FAILED,))
        refused = selection.refused(tx, every if plainly else chosen, batch.id)
    typed = flags.typed(settings, batch)
    if refused:
        words.say(advised.correction(refused, batch, typed))
    commands = advised.of_classes(batch.name, [name for name, _ in others], typed)
    for (error_class, count), command_line in zip(others, commands, strict=True):
        meaning = failures.advice(error_class).meaning
        words.say(f"left out: {count:,} {error_class} ({meaning}): {command_line}")
