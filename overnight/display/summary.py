"""The summary of a batch: counts, failures with the command that helps, images, time and money."""

import shlex
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import click
from rich import cells  # knows which characters take two columns

from jobs import blocks, commands, figures
from jobs.batches import Batch, PauseReason
from jobs.reports.results import Harvest
from jobs.reports.status import Progress
from jobs.settings import Settings, folders, written
from jobs.states import BatchState, State
from overnight.display import advised, stored, words
from overnight.exits import Exit

_MEGABYTE = 1_000_000


def tell(
    progress: Progress, harvest: Harvest, settings: Settings, *, flags: str = "", quiet: bool = False
) -> None:
    """Print the summary on stdout; ``flags`` are the options that a command typed next must carry.

    A ``quiet`` run speaks if it needs a person: cron mails what was said, and no exit code.
    """
    if not quiet or exit_code(progress) is not Exit.NONE_FAILED:
        click.echo(words.printable("\n".join(lines(progress, harvest, settings, flags))))


def exit_code(progress: Progress) -> Exit:
    """Return the exit code that says how a batch stands: unfinished or cancelled, some failed, or none."""
    if not progress.finished or progress.batch.state is BatchState.CANCELLED:
        return Exit.HALTED
    return Exit.SOME_FAILED if progress.counts.of(State.FAILED) else Exit.NONE_FAILED


def lines(progress: Progress, harvest: Harvest, settings: Settings, flags: str = "") -> list[str]:
    """Return the whole summary."""
    return [
        *headline(progress),
        *failure_table(progress, harvest, flags),
        *_to_go_on(progress, flags),
        *harvested(progress, harvest, settings, flags),
    ]


def headline(progress: Progress) -> list[str]:
    """Return the counts in one sentence."""
    counts = progress.counts
    parts = [f"{n} {state}" for state in State if (n := counts.of(state))]
    return [
        words.line(
            f"{progress.batch.name}: {figures.counted(counts.total, 'job')}: " + (", ".join(parts) or "none")
        )
    ]


def failure_table(progress: Progress, harvest: Harvest, flags: str) -> list[str]:
    """Return a line per failure class, with the command that helps, if one does."""
    rows = [
        (str(one.count), one.error_class, one.meaning, one.command)
        for one in advised.of(progress, harvest.refused, flags)
    ]
    head = ("failed", "class", "meaning", "" if progress.batch.state is BatchState.CANCELLED else "type next")
    return ["", *aligned([head, *rows]), ""] if rows else []


def harvested(progress: Progress, harvest: Harvest, settings: Settings, flags: str) -> list[str]:
    """Return what was bought and where it is: what turned up late, surplus, images, time, money."""
    batch = progress.batch
    output = folders.of_batch(settings, batch.output)
    folder = output / batch.folder
    files = figures.counted(harvest.images, "file")
    gone = harvest.images - stored.files(folder, harvest.images)
    return [
        *_surplus(harvest),
        f"images   {folder} ({files}, {harvest.bytes / _MEGABYTE:.1f} MB{f'; {gone:,} not there' if gone else ''})",
        *([_missing(output, folders.last(settings, batch.output), batch, flags)] if gone else []),
        *_dropped(harvest, batch.name, flags),
        *_took(harvest),
        *_cost(harvest, settings.price),
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns; those that hold only numbers are right-aligned.

    >>> aligned([("jobs", "name", "state"), ("7", "cats", "open"), ("12", "猫の写真", "ready")])
    ['jobs  name      state', '   7  cats      open', '  12  猫の写真  ready']
    """
    shown = [[words.line(cell) for cell in row] for row in rows]
    columns = list(zip(*shown, strict=True))
    widths = [max(map(cells.cell_len, column)) for column in columns]
    numeric = [all(cell.isdigit() for cell in column[1:]) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if right else cells.set_cell_size(cell, width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in shown
    ]


def _to_go_on(progress: Progress, flags: str) -> list[str]:
    """Say why a batch is not finished, and what makes it go on; of a cancelled one, that it never will.

    A finished one needs nothing, but an account that it left refused stops the next one.
    """
    batch = progress.batch
    if batch.state is BatchState.CANCELLED:
        return [
            "cancelled by hand" if progress.finished else "cancelled; what is in flight has not ended yet"
        ]
    refused = blocks.told(progress.accounts)
    if progress.finished:
        return [words.line(f"blocked: {refused}")] if refused else []
    verb = "resume" if batch.pause_reason is PauseReason.PERSON else "run"
    why = "not finished"
    if batch.state is BatchState.PAUSED:
        why = words.line(f"paused, {batch.pause_reason}: {batch.pause_detail or ''}").rstrip(": ")
    elif refused:
        why = words.line(f"not finished, blocked: {refused}")
    return [f"{why}; to go on, type: {commands.line(flags, verb, batch.name)}"]


def _surplus(harvest: Harvest) -> list[str]:
    told = []
    if harvest.found_late:
        # The display names some: many may turn up between two looks.
        found = figures.counted(harvest.found_late, "prediction")
        told.append(f"found late: {found}, each taken by its job; the table events lists them")
    if harvest.possibly_paid:
        told.append(
            f"possibly paid twice: {figures.counted(harvest.possibly_paid, 'job')}, bought again without proof"
        )
    if harvest.orphans:
        told.append(_orphans(harvest.orphans, harvest.orphans_left, harvest.orphans_refused))
    return told


def _orphans(count: int, left: int, refused: int) -> str:
    """Say what was done about surplus predictions; how far they had run is not known."""
    found = f"orphans: {figures.counted(count, 'prediction')} besides those of the jobs"
    done = {
        "the API was asked to cancel {}": count - left - refused,
        "{} cannot be canceled there": refused,
        "{} still to be canceled, by the next run": left,
    }
    told = " and ".join(phrase.format(number) for phrase, number in done.items() if number)
    return f"{found}; {told}; what had run is charged"


def _missing(output: Path, before: Path, batch: Batch, flags: str) -> str:
    """Say how images that are not there come back.

    ``before`` is where they were stored last; if that is not ``output``, nobody must buy them again.
    """
    if before != output:
        return (
            f"missing  they were last stored in {before}; look there with --output {shlex.quote(str(before))}"
        )
    if batch.state is BatchState.CANCELLED:
        return "missing  put them back; a cancelled batch buys nothing more"
    return f"missing  {advised.bought_anew(output / batch.folder, batch.name, flags)}"


def _dropped(harvest: Harvest, batch: str, flags: str) -> list[str]:
    """Say that jobs have fewer images than they asked for."""
    if not harvest.dropped:
        return []
    listed = commands.line(flags, "export", batch)
    images = figures.counted(harvest.dropped, "image")
    return [f"dropped  {images} by the safety check, of jobs with others: see column images of {listed}"]


def _took(harvest: Harvest) -> list[str]:
    """Say how long it took from the first purchase to the last end."""
    if harvest.began_at is None or harvest.ended_at is None:
        return []
    took = written.as_duration((harvest.ended_at - harvest.began_at).total_seconds())
    span = f"{figures.moment(harvest.began_at)} to {figures.moment(harvest.ended_at)}"
    return [f"took     {took} from the first purchase to the last end, {span}"]


def _cost(harvest: Harvest, price: Decimal | None) -> list[str]:
    """Say what the predictions cost, and which of them the sum guesses or leaves out."""
    spent = harvest.spent(price)
    doubt = _unanswered(harvest.unanswered, price)
    if spent is None:
        return [] if price is None or not doubt else [f"cost     nothing known{doubt}"]
    if not harvest.unpriced:
        return [f"cost     {spent:.4f}, at OVERNIGHT_PRICE as it was when each prediction ended{doubt}"]
    others = figures.counted(harvest.unpriced, "prediction")
    if price is None:
        return [f"cost     at least {spent:.4f}; set OVERNIGHT_PRICE to add {others} without a price{doubt}"]
    recorded = "" if harvest.cost is None else f"{harvest.cost:.4f}, and "
    return [f"cost     about {spent:.4f} ({recorded}{others} without a price at {price}){doubt}"]


def _unanswered(count: int, price: Decimal | None) -> str:
    """Say what sends without an answer may add to the cost: the API knows whether it sold them, we do not."""
    if not count:
        return ""
    more = "" if price is None else f", up to {count * price:.4f} more"
    return f"; not in it: {figures.counted(count, 'send')} without an answer{more}"
