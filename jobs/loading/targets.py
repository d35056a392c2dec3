"""Which batch a manifest's rows are for, and whether they may go there. Reads only."""

from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from jobs import batches, errors, texts
from jobs.batches import Batch
from jobs.manifest import rows, validated
from jobs.settings.credentials import ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which batch a manifest's rows are for, and what is stored with it.

    ``adaptation`` is only what was typed: what the file itself says must not be stored, or it would overrule
    a later edit of the file. ``named``: the batch's name was typed, not taken from the file. ``instead_of``
    is the name that ``{date}`` gives today, if an earlier day's batch is continued.
    """

    name: str
    instead_of: str | None = None
    api: str
    account: str | None = None  # label of the only account that may buy it; None: any
    named: bool = True
    update: bool = False
    adaptation: rows.Adaptation = field(default_factory=rows.Adaptation)
    when_unconfirmed: str = "resubmit"
    output: str | None = None  # where its images were stored last, as kept with the batch


def find(tx: sa.Connection, read: validated.Validated, target: Target) -> Batch | None:
    """Return the batch that the rows go to, None if it does not exist yet; Mistake says why they cannot go there."""
    batch = batches.find(tx, target.name)
    if batch is not None:
        batches.refuse_cancelled(batch)
        if mistake := _refusal(batch, read, target):
            raise errors.Mistake(f"batch {batch.name} {mistake}")
    return batch


def _refusal(batch: Batch, read: validated.Validated, target: Target) -> str | None:
    if batch.api != target.api:
        return (
            f"buys from {batch.api}, and stays with it; "
            f"for {target.api} load the manifest under another name with --batch NAME"
        )
    if batch.account != target.account:
        return (
            f"is bought by account {batch.account or ANY}, and stays with it; "
            f"for {target.account or ANY} load the manifest under another name with --batch NAME"
        )
    elsewhere = not batch.is_of(path_of(read.path), read.sha256)
    if elsewhere and not (target.update and target.named):
        return (
            f"was loaded from {batch.manifest_path or 'stdin'}; load this manifest under another name with "
            f"--batch NAME, or change jobs of that batch with --batch {batch.name} --update"
        )
    if batch.options["images_root"] != root_of(read) and (elsewhere or not target.update):
        return f"takes its pictures from {batch.options['images_root']}, not from {root_of(read)}; " + (
            "load this manifest under another name with --batch NAME"
            if elsewhere
            else "add --update to change that for jobs not bought yet"
        )
    return None


def path_of(manifest: Path | None) -> str | None:
    """Return a manifest's absolute path, its folder resolved, however it was typed; None for standard input."""
    return None if manifest is None else texts.check(str(manifest.parent.resolve() / manifest.name))


def root_of(read: validated.Validated) -> str:
    """Return the resolved folder of a manifest's pictures, however it was typed."""
    return texts.check(str(read.root.resolve()))
