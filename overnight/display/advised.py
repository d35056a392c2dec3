"""What a person types next about failures: a command for each class, which works as it is printed."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from jobs import commands, failures, presence
from jobs.batches import Batch
from jobs.reports import limits
from jobs.reports.status import Progress
from jobs.states import BatchState


def of(progress: Progress, flags: str = "") -> list[str]:
    """Return the command for each class of a batch's failures; empty ones if the batch is cancelled."""
    if progress.batch.state is BatchState.CANCELLED:
        return [""] * len(progress.failures)
    return of_classes(progress.batch.name, progress.failures, flags)


def of_classes(batch: str, error_classes: Iterable[str], flags: str = "") -> list[str]:
    """Return the command for each class; ``flags`` are the options that it must carry."""
    free = again(batch)
    targets = ((name, next(free) if failures.needs_new_input(name) else "") for name in error_classes)
    return [commands.line(flags, *failures.command(batch, name, target)) for name, target in targets]


def correction(count: int, batch: Batch, flags: str = "") -> str:
    """Return what to do about jobs whose rows were refused: only the manifest has all that they say."""
    typed = commands.line(flags, "run", batch.manifest_path or "-", "--batch", batch.name, "--update")
    return (
        f"left out: {limits.counted(count, 'job')} with a mistake in the row; correct it in the manifest, then type: "
        + typed
    )


def again(batch: str) -> Iterator[str]:
    """Yield free file names in the current folder for manifests of failed jobs, so that no export replaces a file."""
    names = (
        f"{batch}-again{number}.csv"
        for number in itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
    )
    return (name for name in names if not presence.found(Path(name)))
