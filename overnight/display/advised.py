"""What a person types next about failures: a command for each class, which works as it is printed."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jobs import commands, failures, figures, presence
from jobs.batches import Batch
from jobs.failures import FailureClass
from jobs.reports.status import Progress
from jobs.states import BatchState


@dataclass(frozen=True, slots=True)
class Advised:
    """How many jobs failed alike, and the command that helps; an empty one if the batch is cancelled."""

    error_class: str
    count: int
    meaning: str
    command: str


def of(progress: Progress, refused: int, flags: str) -> list[Advised]:
    """Return what helps against each class of a batch's failures; jobs whose rows were ``refused`` stand apart."""
    left = Counter(progress.failures)
    left[FailureClass.INVALID_INPUT] -= refused
    classes = [name for name in progress.failures if left[name] > 0]
    told = [
        Advised(name, left[name], failures.advice(name).meaning, command)
        for name, command in zip(classes, of_classes(progress.batch.name, classes, flags), strict=True)
    ]
    if refused:
        meaning = "its row has a mistake; correct it in the manifest"
        told.append(Advised(FailureClass.INVALID_INPUT, refused, meaning, corrected(progress.batch, flags)))
    if progress.batch.state is BatchState.CANCELLED:
        return [replace(one, command="") for one in told]
    return told


def of_classes(batch: str, error_classes: Iterable[str], flags: str) -> list[str]:
    """Return the command for each class; ``flags`` are the options that it must carry."""
    free = again(batch)
    targets = ((name, next(free) if failures.needs_new_input(name) else "") for name in error_classes)
    return [commands.line(flags, *failures.command(batch, name, target)) for name, target in targets]


def correction(count: int, batch: Batch, flags: str) -> str:
    """Return what to do about jobs whose rows were refused: only the manifest has all that they say."""
    return (
        f"left out: {figures.counted(count, 'job')} with a mistake in the row; correct it in the manifest, then type: "
        + corrected(batch, flags)
    )


def corrected(batch: Batch, flags: str) -> str:
    """Return the command that takes corrected rows from a batch's manifest."""
    manifest = commands.place(batch.manifest_path or "-")
    return commands.line(flags, "run", manifest, "--batch", batch.name, "--update")


def bought_anew(folder: Path, batch: str, flags: str) -> str:
    """Say how images that are not in a batch's folder come back.

    `retry --missing` refuses to believe that a whole folder is gone.
    """
    if presence.found(folder):
        chosen, back = ["--missing"], "put them back, or buy them again"
    else:
        chosen, back = (
            ["--state", "succeeded"],
            "mount their disk, move the folder back, or name it with --output; if deleted, buy again",
        )
    return f"{back}, which costs again: {commands.line(flags, 'retry', batch, *chosen)}"


def again(batch: str) -> Iterator[str]:
    """Yield free file names in the current folder for manifests of failed jobs, so that no export replaces a file."""
    names = (
        f"{batch}-again{number}.csv"
        for number in itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
    )
    return (name for name in names if not presence.found(Path(name)))
