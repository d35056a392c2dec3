"""The first pass over a manifest: reads, checks and stages every row, and collects every mistake."""

import sqlite3
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import replace

from jobs import errors, presence
from jobs.manifest import (
    assemble,
    columns,
    defaults,
    document,
    origins,
    outline,
    pictures,
    problems,
    rows,
    schema,
    source,
    staging,
    table,
    validated,
)


def validate(
    manifest: source.Source,
    adaptation: rows.Adaptation,
    *,
    keep_going: bool = False,
    limit: int | None = None,
) -> validated.Validated:
    """Read a whole manifest, or its first ``limit`` rows.

    Every mistake comes back in ``problems``, except pictures that cannot be used: see `validated.Validated`.
    With ``keep_going`` those of single rows become warnings. Rows with mistakes come with a ``problem``.
    Raises `errors.Unavailable` if the temporary folder is full.
    """
    with ExitStack() as on_error:
        staged = on_error.enter_context(closing(staging.Staging()))
        into = validated.Validated(
            manifest.path, manifest.sha256, adaptation, manifest.folder, staged, keep_going=keep_going
        )
        try:
            _Pass(into, limit).read(manifest)
        except problems.Unreadable as unreadable:
            into.problems.add(unreadable.problem)
        except sqlite3.Error as error:
            raise errors.Unavailable(
                f"the rows cannot be kept in the temporary folder: {error}; make room, or set TMPDIR"
            ) from error
        on_error.pop_all()
        return into


class _Pass:
    """From a source through records and drafts into a `Validated`."""

    def __init__(self, into: validated.Validated, limit: int | None) -> None:
        self._into = into
        self._model = schema.load()
        self._limit = limit
        self._typed = into.adaptation

    def read(self, manifest: source.Source) -> None:
        if manifest.format is not source.Format.YAML:
            self._read_table(manifest, manifest)
            return
        written = document.Document(manifest)
        top = outline.read(manifest, written)
        self._into.problems.extend(top.wrong)
        self._into.adaptation = self._into.adaptation.over(top.adaptation)
        if top.jobs_file is None:
            known = self._known(manifest)
            assembler = self._assembler(manifest, manifest, known, assemble.NEEDED & set(known.known))
            if top.lists_jobs:
                listed = outline.Listed(manifest, written, known, self._into.warnings.add)
                self._stage(manifest, listed, assembler)
            return
        with source.open_beside(manifest, top.jobs_file) as beside:
            self._into.sha256 = source.of_both(manifest, beside)
            self._into.beside = beside.name
            self._read_table(beside, manifest)

    def _read_table(self, manifest: source.Source, top: source.Source) -> None:
        """Read the rows of a table; ``top`` is the YAML file that names the table, or the table itself."""
        known = self._known(top)
        found = table.Table(manifest, known)
        needed = assemble.NEEDED & set(known.known)
        self._into.problems.extend(found.wrong(needed - set(self._into.adaptation.defaults)))
        self._into.warnings.extend(found.slips())
        # A missing column is reported once, for the header, not again for every row.
        self._stage(manifest, found, self._assembler(manifest, top, known, needed & found.fields))

    def _origins(self, top: source.Source) -> origins.Origins:
        return origins.Origins(self._typed, top.name)

    def _known(self, top: source.Source) -> columns.Columns:
        """Check the adaptation itself, and return what headers mean under it."""
        if (images := self._into.adaptation.images) is not None:
            self._into.root = images.absolute()
            self._into.adaptation = replace(self._into.adaptation, images=self._into.root)
            if not presence.is_folder(self._into.root):
                self._into.no_folder = self._origins(top).images(
                    self._into.root, "is no folder", "name the one where the pictures are"
                )
        known = columns.Columns(self._model, self._into.adaptation)
        self._into.problems.extend(known.misadaptations(self._origins(top)))
        return known

    def _assembler(
        self, manifest: source.Source, top: source.Source, known: columns.Columns, needed: Iterable[str]
    ) -> assemble.Assembler:
        values, wrong = defaults.read(known, self._model, self._into.adaptation.defaults, self._origins(top))
        self._into.problems.extend(wrong)
        images = self._into.adaptation.images
        seen = pictures.Pictures(self._into.root, absolute_allowed=images is not None)
        return assemble.Assembler(manifest.name, self._model, values, needed, seen, images)

    def _stage(
        self, manifest: source.Source, records: Iterable[table.Record], assembler: assemble.Assembler
    ) -> None:
        into = self._into
        for record in records:
            if into.count == self._limit:
                into.complete = False
                break
            draft = assembler.draft(record)
            into.count += 1
            self._tell(draft)
            into.staged.add(draft)
        else:
            if not into.count:
                raise manifest.problem("lists no jobs", detail="add a row for each image wanted")
        for problem in into.staged.settle(manifest.name):
            into.add_of_row(problem)
        for travel, sound, outputs in into.staged.sound():
            into.images[travel] = sound
            into.outputs += outputs
        into.failed = into.count - into.images.total()

    def _tell(self, draft: assemble.Draft) -> None:
        for problem in draft.wrong:
            self._into.add_of_row(problem)
        self._into.warnings.extend(draft.warnings)
