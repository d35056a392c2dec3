"""Turns one record at a time into a row: values typed, defaults applied, everything checked, key derived."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.manifest import columns, keys, pictures, problems, rows, schema, table

_NOT_GIVEN = {
    "image": "is not given: write the URL or the path of a picture",
    "prompt": "is not given, and the model would paint a fantasy landscape: give one, or --default prompt=TEXT",
}
NEEDED = frozenset(_NOT_GIVEN)
_NO_IMAGE, _NO_VERSION, _NO_PRIORITY = (
    columns.Cell(value, rows.written(value), "") for value in ("", None, 0)
)


@dataclass(slots=True)
class Draft:
    """A row before the others are known: its key may still repeat. See `rows.Row` for the fields."""

    line: int
    key: str
    key_given: bool
    image: str
    input_json: str
    seeded: bool
    version: str | None
    labels_json: str
    priority: int
    digest: str
    outputs: int = 0
    travel: pictures.Travel | None = None
    wrong: list[problems.Problem] = field(default_factory=list)
    warnings: list[problems.Problem] = field(default_factory=list)
    unusable: problems.Problem | None = None

    @property
    def problem(self) -> problems.Problem | None:
        """Why the row cannot be bought, if so."""
        return self.wrong[0] if self.wrong else self.unusable


class Assembler:
    """Makes drafts of one file's records; holds what is the same for every row."""

    def __init__(
        self,
        file: str,
        model: schema.Schema,
        values: columns.Values,
        needed: Iterable[str],
        seen: pictures.Pictures,
        images: Path | None,
    ) -> None:
        self._file = file
        self._model = model
        self._defaults = values
        self._needed = sorted(needed)
        self._pictures = seen
        self._images = images

    def draft(self, record: table.Record) -> Draft:
        """Return the row with all its mistakes; it raises none, so that all can be reported at once."""
        own, wrong = self._read(record)
        fields = {**self._defaults.fields, **own.fields}
        inputs = {**self._defaults.inputs, **own.inputs}
        draft = self._draft(record.line, own, fields, inputs)
        if record.wrong:  # its cells may be in the wrong columns, so do not judge them
            draft.wrong = record.wrong
        else:
            draft.wrong = wrong
            self._judge(draft, record, fields, inputs)
        return draft

    def _judge(
        self,
        draft: Draft,
        record: table.Record,
        fields: dict[str, columns.Cell],
        inputs: dict[str, columns.Cell],
    ) -> None:
        told = {problem.column for problem in draft.wrong} if draft.wrong else frozenset()
        for name in self._needed:
            if name not in fields and name not in inputs and (header := _header(record, name)) not in told:
                draft.wrong.append(problems.Problem(self._file, record.line, header, _NOT_GIVEN[name]))
        values = columns.values_of(inputs)
        for complaint in self._model.complaints({"image": "", **values}):
            problem = self._complaint(record, values, complaint)
            if problem is not None and problem.column not in told:
                (draft.warnings if complaint.advisory else draft.wrong).append(problem)
        # That there is no folder is no news of a row that is wrong anyway.
        if "image" in fields and (self._pictures.folder_is_there or not draft.wrong):
            self._look(draft, _header(record, "image"))
        if not draft.wrong:
            draft.outputs = self._model.outputs(values)

    def _look(self, draft: Draft, header: str) -> None:
        try:
            draft.travel = self._pictures.travel(draft.image)
        except problems.Rejected as rejected:
            problem = self._problem(draft.line, header, draft.image, rejected)
            if isinstance(rejected, pictures.Unusable) and not draft.wrong:
                draft.unusable = problem
            else:
                draft.wrong.append(problem)

    def _read(self, record: table.Record) -> tuple[columns.Values, list[problems.Problem]]:
        values = columns.Values({}, {}, {})
        wrong = []
        for column, cell in record.cells:
            if (known := column.remembered.get(cell)) is not None:
                values[column.place][column.name] = known
            elif cell and not cell.isspace():
                try:
                    values[column.place][column.name] = column.cell(cell)
                except problems.Rejected as rejected:
                    wrong.append(self._problem(record.line, column.header, cell, rejected))
        return values, wrong

    def _problem(self, line: int, column: str, value: str, rejected: problems.Rejected) -> problems.Problem:
        return problems.Problem(self._file, line, column, rejected.message, value, rejected.detail)

    def _complaint(
        self, record: table.Record, inputs: dict[str, Any], complaint: schema.Complaint
    ) -> problems.Problem | None:
        """Return the problem if it is in the row's own cells or only advisory; `defaults` reports wrong defaults."""
        header = _header(record, complaint.name)
        cell = next((cell for column, cell in record.cells if cell and column.header == header), None)
        if cell is None and complaint.advisory:
            cell = str(inputs[complaint.name])
        if cell is None and complaint.name in inputs:
            return None
        return problems.Problem(self._file, record.line, header, complaint.message, cell)

    def _draft(
        self, line: int, own: columns.Values, fields: dict[str, columns.Cell], inputs: dict[str, columns.Cell]
    ) -> Draft:
        image, version = fields.get("image", _NO_IMAGE), fields.get("version", _NO_VERSION)
        priority, key = fields.get("priority", _NO_PRIORITY), fields.get("key")
        given, labels = columns.together(inputs), columns.together(own.labels)
        digest = rows.digest(image.json, given, version.json, labels, priority.json)
        if key is None:
            # From the row's own cells only: changing a default then edits the rows and does not replace them.
            said = given if len(inputs) == len(own.inputs) else columns.together(own.inputs)
            own_digest = rows.digest(columns.together(own.fields), said, labels)
            name = keys.derive(image.value, own_digest, self._images)
        else:
            name = key.value
        return Draft(
            line, name, key is not None, image.value, given, "seed" in inputs, version.value, labels,
            priority.value, digest,
        )  # fmt: skip


def _header(record: table.Record, name: str) -> str:
    """Return the file's header for a known name."""
    named = (column for column, _ in record.cells if column.place is not columns.Place.LABEL)
    return next((column.header for column in named if column.name == name), name)
