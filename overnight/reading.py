"""A manifest on the command line: how it is read, and which batch its rows are for. What then happens: `manifests`."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import errors
from jobs.settings import Settings

if TYPE_CHECKING:  # all of it loads SQLAlchemy or Pillow, and `--help` must not
    from jobs.database import Database
    from jobs.difference import Target
    from jobs.manifest.rows import Adaptation
    from jobs.manifest.source import Source
    from jobs.manifest.validated import Validated

STDIN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `manifests.manifest_options` gave."""

    batch: str | None
    columns: Mapping[str, str]
    labels: tuple[str, ...]
    defaults: Mapping[str, str]
    images: Path | None
    limit: int | None
    keep_going: bool
    update: bool

    def adaptation(self) -> "Adaptation":
        from jobs.manifest import rows

        images = self.images and self.images.absolute()
        return rows.Adaptation(self.columns, self.labels, self.defaults, images)


@contextmanager
def reading(
    settings: Settings, db: "Database | None", manifest: str, asked: Asked
) -> Iterator[tuple["Validated", "Target"]]:
    """Validate a manifest, and find out which batch it is for; its mistakes are collected, not raised.

    What was typed when the batch was loaded is kept with it, and need not be typed again.
    """
    from jobs.difference import Target
    from jobs.manifest import source, validate

    if manifest == STDIN and asked.batch is None:
        raise errors.Mistake("standard input has no name; add --batch NAME")
    with source.open_source(manifest, sys.stdin.buffer) as opened:
        adaptation = asked.adaptation()
        if db is not None:
            adaptation = adaptation.over(_kept(db, _name(opened, asked, _peeked(opened, asked)), opened))
        with validate.validate(opened, adaptation, keep_going=asked.keep_going, limit=asked.limit) as read:
            yield (
                read,
                Target(
                    name=_name(opened, asked, read.batch_name),
                    api=settings.api.identity,
                    named=asked.batch is not None,
                    update=asked.update,
                    adaptation=adaptation,
                    when_unconfirmed=settings.when_unconfirmed,
                ),
            )


def _name(manifest: "Source", asked: Asked, written: str | None) -> str:
    """Return the batch's name: typed, else written in the manifest, else the file's."""
    from jobs import names

    name = asked.batch or written
    if name is None:
        return names.derive(Path(manifest.name).stem)
    where = "--batch" if asked.batch else f"{manifest.name}: batch"
    try:
        return names.check(names.dated(name, datetime.now().astimezone().date()))
    except ValueError as error:
        raise errors.Mistake(f'{where}: "{name}" is {error}') from None


def _peeked(manifest: "Source", asked: Asked) -> str | None:
    """Return the name that a YAML manifest gives its batch, before the rest of it is read."""
    from jobs.manifest import document, outline, problems
    from jobs.manifest.source import Format

    if asked.batch or manifest.format is not Format.YAML:
        return None
    try:
        return outline.read(manifest, document.Document(manifest)).batch
    except problems.Unreadable:
        return None  # told with all other mistakes, by the validation
    finally:
        manifest.file.seek(0)


def _kept(db: "Database", name: str, manifest: "Source") -> "Adaptation":
    """Return how the batch's manifest was read; pictures named by another one are the batch's too."""
    from jobs import batches, difference
    from jobs.manifest import rows

    with db.read() as tx:
        batch = batches.find(tx, name)
    if batch is None:
        return rows.Adaptation()
    kept = rows.Adaptation.from_json(batch.options["adaptation"])
    if batch.manifest_path == difference.path_of(manifest.path):
        return kept
    return replace(kept, images=Path(batch.options["images_root"]))
