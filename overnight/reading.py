"""How a manifest on the command line is read, and which batch its rows are for. The next steps are in `manifests`."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import errors
from jobs.settings import Settings
from overnight import flags

if TYPE_CHECKING:  # all of it loads SQLAlchemy or Pillow, and `--help` must not
    from jobs.batches import Batch
    from jobs.database import Database
    from jobs.loading.difference import Target
    from jobs.manifest.rows import Adaptation
    from jobs.manifest.source import Source
    from jobs.manifest.validated import Validated


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The values of `manifests.manifest_options`."""

    batch: str | None
    columns: Mapping[str, str]
    labels: tuple[str, ...]
    defaults: Mapping[str, str]
    images: Path | None
    account: str | None
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

    Options typed when the batch was first loaded are kept with it and need not be typed again.
    """
    from jobs.loading.difference import Target
    from jobs.manifest import source, validate

    if manifest == source.STDIN and asked.batch is None:
        raise errors.Mistake("standard input has no name; add --batch NAME")
    with source.open_source(manifest, sys.stdin.buffer) as opened:
        template, sha256 = _top(opened, asked)
        name = _name(opened, asked, template)
        batch = _found(db, template, name, settings.api.identity, opened.path, sha256)
        adaptation = asked.adaptation().over(_kept(batch, opened))
        with validate.validate(opened, adaptation, keep_going=asked.keep_going, limit=asked.limit) as read:
            yield (
                read,
                Target(
                    name=batch.name if batch else name,
                    instead_of=name if batch and batch.name != name else None,
                    api=settings.api.identity,
                    account=_account(settings, asked.account, batch),
                    named=asked.batch is not None,
                    update=asked.update,
                    adaptation=adaptation,
                    when_unconfirmed=_when_unconfirmed(settings, batch),
                ),
            )


def _top(manifest: "Source", asked: Asked) -> tuple[str, str]:
    """Return the batch's name, with ``{date}`` not filled in, and the digest of everything that is read."""
    from jobs import names
    from jobs.manifest import document, outline, problems, source

    usual = asked.batch or names.derive(Path(manifest.name).stem), manifest.sha256
    if manifest.format is not source.Format.YAML:
        return usual
    try:
        top = outline.read(manifest, document.Document(manifest))
        name = asked.batch or top.batch or usual[0]
        if top.jobs_file is None:
            return name, manifest.sha256
        with source.open_beside(manifest, top.jobs_file) as beside:
            return name, source.of_both(manifest, beside)
    except problems.Unreadable:
        return usual  # the validation reports it, with all other mistakes
    finally:
        manifest.file.seek(0)


def _name(manifest: "Source", asked: Asked, template: str) -> str:
    """Return the batch's name with today's date."""
    from jobs import names

    try:
        return names.check(names.dated(template, datetime.now().astimezone().date()))
    except ValueError as error:
        where = "--batch" if asked.batch else f"{manifest.name}: batch"
        raise errors.Mistake(f'{where}: "{template}" is {error}') from None


def _found(
    db: "Database | None", template: str, name: str, api: str, manifest: Path | None, sha256: str
) -> "Batch | None":
    """Return the batch with today's name, or one of an earlier day that is unfinished; None if there is neither."""
    from jobs import batches, names
    from jobs.loading import difference
    from jobs.selecting import lookup

    path = difference.path_of(manifest)  # first, as it refuses a name that cannot be kept
    if db is None:
        return None
    with db.read() as tx:
        found = batches.find(tx, name)
        if found or not names.is_dated(template):
            return found
        return lookup.begun(tx, template, api=api, manifest_path=path, manifest_sha256=sha256)


def _kept(batch: "Batch | None", manifest: "Source") -> "Adaptation":
    """Return the options with which the batch's manifest was read.

    Another file may have other headers (an export has the model's), so it only shares the folder of pictures.
    """
    from jobs.loading import difference
    from jobs.manifest import rows

    if batch is None:
        return rows.Adaptation()
    if batch.manifest_path == difference.path_of(manifest.path):
        return rows.Adaptation.from_json(batch.options["adaptation"])
    return rows.Adaptation(images=Path(batch.options["images_root"]))


def _account(settings: Settings, typed: str | None, batch: "Batch | None") -> str | None:
    """Return which account buys: as typed now, else as kept with the batch, else any."""
    from jobs.settings import buyers

    return buyers.named(settings, typed) if typed or batch is None else batch.account


def _when_unconfirmed(settings: Settings, batch: "Batch | None") -> str:
    """Return what becomes of lost answers: as typed now, else as kept with the batch, else as set."""
    if batch is None or flags.when_unconfirmed():
        return settings.when_unconfirmed
    return str(batch.options.get("when_unconfirmed", settings.when_unconfirmed))
