"""From a manifest on the command line to a batch: how it is read, which batch its rows are for, and their loading."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs import batches, errors, names
from jobs.batches import Batch
from jobs.database import Database
from jobs.loading import difference, loader, targets
from jobs.loading.difference import Difference
from jobs.loading.loader import Loaded
from jobs.loading.targets import Target
from jobs.manifest import document, outline, problems, rows, source, validate
from jobs.manifest.rows import Adaptation
from jobs.manifest.source import Source
from jobs.manifest.validated import Validated
from jobs.selecting import lookup
from jobs.settings import Settings, buyers
from overnight import flags, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The values of `options.manifest`."""

    batch: str | None
    columns: Mapping[str, str]
    labels: tuple[str, ...]
    defaults: Mapping[str, str]
    images: Path | None
    account: str | None
    limit: int | None
    keep_going: bool
    update: bool

    def adaptation(self) -> Adaptation:
        images = self.images and self.images.absolute()
        return Adaptation(self.columns, self.labels, self.defaults, images)


Agree = Callable[[Database | None, Validated, Target, Difference], None]


def loaded(settings: Settings, manifest: str, asked: Asked, agree: Agree) -> Loaded:
    """Load a manifest, unless ``agree`` raises when it is shown what will change.

    The database is created only after that: a faulty manifest, or a person who declines, leaves nothing behind.
    """
    with ExitStack() as stack:
        db = stack.enter_context(opened.found(settings))
        read, target = stack.enter_context(reading(settings, db, manifest, asked))
        found = difference.compare(db, read, target)
        agree(db, read, target, found)
        if db is None:
            db = stack.enter_context(opened.made(settings))
        return loader.load(db, read, target, found)


@contextmanager
def reading(
    settings: Settings, db: Database | None, manifest: str, asked: Asked
) -> Iterator[tuple[Validated, Target]]:
    """Validate a manifest, and find out which batch it is for; its mistakes are collected, not raised.

    Options typed when the batch was first loaded are kept with it and need not be typed again.
    """
    if manifest == source.STDIN and asked.batch is None:
        raise errors.Mistake("standard input has no name; add --batch NAME")
    with source.open_source(manifest, sys.stdin.buffer) as file:
        template, sha256 = _top(file, asked)
        name = _name(file, asked, template)
        batch = _found(db, template, name, settings.api.identity, file.path, sha256)
        settings = _at_its_api(settings, asked, batch)
        adaptation = asked.adaptation().over(_kept(batch, file, sha256))
        with validate.validate(file, adaptation, keep_going=asked.keep_going, limit=asked.limit) as read:
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
                    output=batch.output if batch else None,
                ),
            )


def _top(manifest: Source, asked: Asked) -> tuple[str, str]:
    """Return the batch's name, with ``{date}`` not filled in, and the digest of everything that is read."""
    typed = asked.batch
    usual = names.derive(Path(manifest.name).stem) if typed is None else typed, manifest.sha256
    if manifest.format is not source.Format.YAML:
        return usual
    try:
        top = outline.read(manifest, document.Document(manifest))
        name = top.batch if typed is None and top.batch else usual[0]
        if top.jobs_file is None:
            return name, manifest.sha256
        with source.open_beside(manifest, top.jobs_file) as beside:
            return name, source.of_both(manifest, beside)
    except problems.Unreadable:
        return usual  # the validation reports it, with all other mistakes
    finally:
        manifest.file.seek(0)


def _name(manifest: Source, asked: Asked, template: str) -> str:
    """Return the batch's name with today's date."""
    try:
        return names.check(names.dated(template, datetime.now().astimezone().date()))
    except ValueError as error:
        where = "--batch" if asked.batch is not None else f"{manifest.name}: batch"
        raise errors.Mistake(f'{where}: "{template}" is {error}') from None


def _found(
    db: Database | None, template: str, name: str, api: str, manifest: Path | None, sha256: str
) -> Batch | None:
    """Return the batch with today's name, or one of an earlier day that is unfinished; None if there is neither."""
    path = targets.path_of(manifest)  # first, as it refuses a name that cannot be kept
    if db is None:
        return None
    with db.read() as tx:
        found = batches.find(tx, name)
        if found or not names.is_dated(template):
            return found
        return lookup.begun(tx, template, api=api, manifest_path=path, manifest_sha256=sha256)


def _at_its_api(settings: Settings, asked: Asked, batch: Batch | None) -> Settings:
    """Return the settings with the API of a loaded batch, if an account is there; one that is typed now is meant."""
    if batch is None or asked.account or "--api" in flags.names():
        return settings
    return buyers.for_api(settings, batch.api)


def _kept(batch: Batch | None, manifest: Source, sha256: str) -> Adaptation:
    """Return the options with which the batch's manifest was read.

    Another file may have other headers (an export has the model's), so it only shares the folder of pictures.
    """
    if batch is None:
        return Adaptation()
    if batch.is_of(targets.path_of(manifest.path), sha256):
        return rows.STORED.validate_python(batch.options["adaptation"])
    return Adaptation(images=Path(batch.options["images_root"]))


def _account(settings: Settings, typed: str | None, batch: Batch | None) -> str | None:
    """Return which account buys: as typed now, else as kept with the batch, else any."""
    return buyers.named(settings, typed) if batch is None or typed is not None else batch.account


def _when_unconfirmed(settings: Settings, batch: Batch | None) -> str:
    """Return what becomes of lost answers: as typed now, else as kept with the batch, else as set."""
    if batch is None or flags.when_unconfirmed():
        return settings.when_unconfirmed
    return str(batch.options.get("when_unconfirmed", settings.when_unconfirmed))


def named(db: Database, name: str, settings: Settings) -> Batch:
    """Return a loaded batch; refuse one that buys from another API than that of the settings."""
    with db.read() as tx:
        batch = lookup.batch(tx, name)
    if batch.api != settings.api.identity:
        raise errors.Mistake(
            f"batch {batch.name} buys from {batch.api}, and stays with it; add --api {batch.api}, "
            f"or load its manifest for {settings.api.identity} under another name with --batch NAME"
        )
    return batch
