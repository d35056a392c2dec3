"""One record at a time into one row: values typed, defaults applied, everything checked, key derived."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.manifest import columns, defaults, keys, pictures, problems, rows, schema, table

_NOT_GIVEN = {
    "image": "is not given",
    "prompt": "is not given, and the model would paint a fantasy landscape: give one, or --default prompt=TEXT",
}
NEEDED = frozenset(_NOT_GIVEN)


@dataclass(slots=True)
class Draft:
    """A row before the others are known: its key may still repeat. ``body`` is what its digest is taken of."""

    line: int
    key: str
    key_given: bool
    inputs: dict[str, Any]
    body: str
    travel: pictures.Travel | None = None
    wrong: list[problems.Problem] = field(default_factory=list)
    warnings: list[problems.Problem] = field(default_factory=list)


class Assembler:
    """What is the same for every row of a file."""

    def __init__(
        self,
        file: str,
        model: schema.Schema,
        values: defaults.Values,
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
        """Return the row with all that is wrong with it; nothing is raised, so that all can be told at once."""
        values, wrong = self._read(record)
        fields = {**self._defaults[columns.Place.FIELD], **values[columns.Place.FIELD]}
        inputs = {**self._defaults[columns.Place.INPUT], **values[columns.Place.INPUT]}
        draft = self._draft(record.line, values, fields, inputs)
        if record.wrong:  # cells that may stand in the wrong column are not worth a judgement each
            draft.wrong = record.wrong
        else:
            draft.wrong = wrong
            self._judge(draft, record, fields, inputs)
        return draft

    def _judge(
        self, draft: Draft, record: table.Record, fields: dict[str, Any], inputs: dict[str, Any]
    ) -> None:
        told = {problem.column for problem in draft.wrong}
        for problem in self._missing(record, fields, inputs):
            if problem.column not in told:
                draft.wrong.append(problem)
        for complaint, problem in self._complaints(record, inputs):
            if problem.column not in told:
                (draft.warnings if complaint.advisory else draft.wrong).append(problem)
        if "image" in fields:
            try:
                draft.travel = self._pictures.travel(fields["image"])
            except problems.Rejected as rejected:
                header = _header(record, "image")
                draft.wrong.append(self._problem(record.line, header, fields["image"], rejected))

    def _read(self, record: table.Record) -> tuple[defaults.Values, list[problems.Problem]]:
        values: defaults.Values = {place: {} for place in columns.Place}
        wrong = []
        for column, cell in record.cells:
            if not cell or cell.isspace():
                continue
            try:
                values[column.place][column.name] = column.read(cell)
            except problems.Rejected as rejected:
                wrong.append(self._problem(record.line, column.header, cell, rejected))
        return values, wrong

    def _problem(self, line: int, column: str, value: str, rejected: problems.Rejected) -> problems.Problem:
        return problems.Problem(self._file, line, column, rejected.message, value, rejected.detail)

    def _missing(
        self, record: table.Record, fields: dict[str, Any], inputs: dict[str, Any]
    ) -> Iterator[problems.Problem]:
        for name in self._needed:
            if name not in fields and name not in inputs:
                yield problems.Problem(self._file, record.line, _header(record, name), _NOT_GIVEN[name])

    def _complaints(
        self, record: table.Record, inputs: dict[str, Any]
    ) -> Iterator[tuple[schema.Complaint, problems.Problem]]:
        """Yield what the schema says against this row's own cells; defaults are judged once, elsewhere."""
        for complaint in self._model.complaints({"image": "", **inputs}):
            header = _header(record, complaint.name)
            cell = next((cell for column, cell in record.cells if cell and column.header == header), None)
            if cell is None and complaint.advisory:
                cell = str(inputs[complaint.name])
            if cell is not None or complaint.name not in inputs:
                yield complaint, problems.Problem(self._file, record.line, header, complaint.message, cell)

    def _draft(
        self, line: int, values: defaults.Values, fields: dict[str, Any], inputs: dict[str, Any]
    ) -> Draft:
        image = fields.get("image", "")
        labels = values[columns.Place.LABEL]
        body = rows.canonical(image, inputs, fields.get("version"), labels, fields.get("priority", 0))
        if "key" in fields:
            return Draft(line, fields["key"], True, inputs, body)
        # Of what the row itself says: a default that changes edits its rows, and does not replace them.
        own = rows.canonical(values[columns.Place.FIELD], values[columns.Place.INPUT], labels)
        return Draft(line, keys.derive(image, rows.digest(own), self._images), False, inputs, body)


def _header(record: table.Record, name: str) -> str:
    """Return how the file calls a column."""
    named = (column for column, _ in record.cells if column.place is not columns.Place.LABEL)
    return next((column.header for column in named if column.name == name), name)
