"""`overnight cancel`: give up a whole batch, or some of its jobs."""

from typing import TYPE_CHECKING, Any

import click

from jobs import figures
from jobs.settings import Settings
from overnight import options
from overnight.display import words

if TYPE_CHECKING:  # all of it loads SQLAlchemy, and `--help` must not
    from jobs.batches import Batch
    from jobs.by_hand.cancelling import Cancelled
    from jobs.reports.status import Counts


@click.command()
@click.argument("batch")
@options.filters
@options.yes
@options.with_settings
def command(settings: Settings, batch: str, yes: bool, **filters: Any) -> None:
    """Cancel BATCH: buy nothing more of it, and cancel at the API what is in flight.

    What is already paid for is still fetched, and failed jobs stay failed. A cancelled batch can never be run
    again, nor take new rows; where nobody can be asked, as in a script, that needs --yes. With filters only the chosen
    jobs are cancelled, including failed ones, and the batch goes on.

    \b
    overnight cancel cats
    overnight cancel cats --key 'dogs/*'
    overnight cancel cats --state failed       no longer wanted
    """
    from jobs import batches
    from jobs.by_hand import cancelling
    from jobs.reports import status
    from jobs.selecting import lookup, selection
    from overnight import consent, opened

    typed = selection.Selection(**filters)
    chosen, whole = cancelling.wanted(typed), cancelling.is_whole(typed)
    with opened.database(settings) as db:
        with db.read() as tx:
            found = lookup.batch(tx, batch)
            ids = selection.ids(tx, chosen, found.id)
            in_vain = whole and batches.has_ended(tx, found)
        if (whole or ids) and not in_vain:
            final = f"to cancel the whole batch {found.name}" if whole else ""
            consent.ask(_question(found, len(ids), whole=whole), yes=yes, final=final)
        if whole:
            if not cancelling.cancel_batch(db, found):
                words.say(f"{found.name}: nothing to cancel, every job has ended; the batch is left as it is")
                return
            with db.read() as tx:  # again: jobs may have been loaded while the person was thinking
                ids = selection.ids(tx, chosen, found.id)
        done = cancelling.cancel_jobs(db, found, chosen, ids)
        with db.read() as tx:
            counts = status.progress(tx, found.id).counts
    words.say(
        "\n".join(_told(settings, found, done, counts, whole=whole)) + ("" if ids else typed.slip(found.name))
    )


def _question(batch: "Batch", count: int, *, whole: bool) -> str:
    jobs = figures.counted(count, "job")
    if whole:
        return f"Cancel the whole batch {batch.name}, {jobs} not finished? It cannot be undone."
    return f"Cancel {jobs}?"


def _told(
    settings: Settings, batch: "Batch", done: "Cancelled", counts: "Counts", *, whole: bool
) -> list[str]:
    from jobs.states import State
    from overnight import flags
    from overnight.display import doers

    lines = [f"batch {batch.name} is cancelled"] if whole else []
    lines.append(f"{batch.name}: {figures.counted(done.at_once + done.given_up, 'job')} cancelled")
    in_flight = counts.of(State.SUBMITTING, State.UNCONFIRMED, State.RUNNING) if whole else done.requested
    if in_flight:
        lines.append(f"{in_flight:,} in flight: {doers.of_cancelling(settings)}")
    if whole and (paid := counts.of(State.COLLECTING)):
        lines.append(f"{paid:,} already paid for: still fetched")
    if whole and (failed := counts.of(State.FAILED)):
        give_up = flags.command(settings, "cancel", batch.name, "--state", "failed", batch=batch)
        lines.append(f"{failed:,} failed stay failed; to give them up: {give_up}")
    return lines
