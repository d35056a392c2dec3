"""What a column's header stands for: a field of the row, an input of the model, a label, or a typing mistake."""

import shlex
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

from jobs.manifest import cells, keys, origins, problems, rows, schema, slips

LABEL_PREFIX = "label."
EVERY = "*"
_LONGEST_LABEL = 100
# Per column: enough for values chosen from a list, and little memory for free text.
_REMEMBERED = 1000
_LONGEST_REMEMBERED = 200

# Fields of the row itself; every other known name is an input of the model.
_FIELDS: Mapping[str, cells.Reader] = {
    "image": cells.name,
    "key": lambda cell: keys.check(cell.strip()),
    "priority": cells.priority,
    "version": cells.version,
}


class Place(IntEnum):
    """Where a cell's value goes; the index of its mapping in `Values`."""

    FIELD = 0
    INPUT = 1
    LABEL = 2


class Cell(NamedTuple):
    """A cell's value: as it is, as JSON, and as a member of a JSON object."""

    value: Any
    json: str
    member: str


class Values(NamedTuple):
    """The cells of one row, or the defaults of all rows, by name."""

    fields: dict[str, Cell]
    inputs: dict[str, Cell]
    labels: dict[str, Cell]


@dataclass(slots=True, eq=False)
class Column:
    """One column: its header as the file has it, and what its cells become.

    ``remembered`` caches cells by their text: in most columns a few texts fill a million rows.
    """

    header: str
    place: Place
    name: str
    read: cells.Reader
    remembered: dict[str, Cell] = field(default_factory=dict, init=False, repr=False)
    _before: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._before = f"{rows.written(self.name)}:"

    def cell(self, text: str) -> Cell:
        """Read a cell's text and remember the result; raises `problems.Rejected`."""
        value = self.read(text)
        json = rows.written(value)
        found = Cell(value, json, self._before + json)
        if len(self.remembered) < _REMEMBERED and len(text) <= _LONGEST_REMEMBERED:
            self.remembered[text] = found
        return found


class Columns:
    """Every header's meaning, for one model and one adaptation.

    ``known`` lists the names that have a meaning; those in ``moved`` are read from a column of another name.
    """

    def __init__(self, model: schema.Schema, adaptation: rows.Adaptation) -> None:
        self._model = model
        self._adaptation = adaptation
        self.moved = adaptation.columns
        self.known = [*_FIELDS, *(name for name in model.inputs if name not in _FIELDS)]

    def of(self, header: str) -> list[Column]:
        """Return all columns fed by a header: none if it is unknown, several if an adaptation says so."""
        found = [self.named(header, name) for name in self.known if self.moved.get(name) == header]
        if header in self.known and header not in self.moved:
            found.append(self.named(header, header))
        if header.startswith(LABEL_PREFIX):
            found.append(label(header, header.removeprefix(LABEL_PREFIX)))
        elif header in self._adaptation.labels or (not found and EVERY in self._adaptation.labels):
            found.append(label(header, header))
        return found

    def named(self, header: str, name: str) -> Column:
        """Return the column that gives a known name."""
        if name in _FIELDS:
            return Column(header, Place.FIELD, name, _FIELDS[name])
        return Column(header, Place.INPUT, name, cells.reader(self._model.inputs[name].type))

    def nearest(self, header: str, taken: AbstractSet[str] = frozenset()) -> str | None:
        """Return the known name that was probably meant; None if another column has it: it was not meant twice."""
        near = slips.meant(header, self._unmoved())
        return None if near in taken else near

    def instead(self, name: str) -> str:
        """Return what to write instead of a name that is not known."""
        near = self.nearest(name)
        return f"did you mean {near}?" if near else f"it knows {', '.join(self.known)}"

    def _unmoved(self) -> list[str]:
        return [name for name in self.known if name not in self.moved]

    def slip(self, header: str) -> str | None:
        """Return the input that a header misspells, if it is a label only because ``*`` makes every column one."""
        if header in self._adaptation.labels or any(c.place is not Place.LABEL for c in self.of(header)):
            return None
        return slips.misspelt(header, self._unmoved())

    def carried(self, file: str, line: int, header: str, slip: str) -> problems.Problem:
        """Return the problem with a column that is carried as a label, and misspells an input."""
        return problems.Problem(file, line, header, "is carried as a label", detail=f"did you mean {slip}?")

    def unknown(self, file: str, line: int, header: str, taken: AbstractSet[str]) -> problems.Problem:
        """Return the problem with a column that the model would silently ignore."""
        carry = _carried(header)
        near = self.nearest(header, taken)
        if header in self.known and header in self.moved:
            message = "is not read, because another column gives this input"
            detail = f"{_option(header, self.moved[header])}; to carry the column along: {carry}"
        elif near is None:
            message = "is no input of the model"
            detail = f"it knows {', '.join(self.known)}; to carry the column along: {carry}"
        else:
            message = f"did you mean {near}?"
            detail = f"rename it, or use {_option(near, header)}; to carry the column along: {carry}"
        return problems.Problem(file, line, header, message, detail=detail)

    def expected_headers(self) -> Iterator[tuple[str, str]]:
        """Yield each header that a table must have because an adaptation names it, with the option."""
        for name, header in self.moved.items():
            if name in self.known and header.strip():
                yield _option(name, header), header
        for header in self._adaptation.labels:
            if header != EVERY:
                yield _carried(header), header

    def misadaptations(self, written: origins.Origins) -> Iterator[problems.Problem]:
        """Yield what is wrong with ``--column``: inputs that the model does not know, headers without a name."""
        for name, header in self.moved.items():
            if name not in self.known:
                yield written.column(name, header, "is no input of the model", self.instead(name))
            elif not header.strip():
                yield written.column(
                    name, header, "is read from a column without a name", "write INPUT=HEADER"
                )


def label(header: str, name: str) -> Column:
    """Return the column that carries its cells through untouched."""
    return Column(header, Place.LABEL, name, cells.text)


def values_of(cells_by_name: Mapping[str, Cell]) -> dict[str, Any]:
    """Return the values alone."""
    return {name: cell.value for name, cell in cells_by_name.items()}


def together(cells_by_name: Mapping[str, Cell]) -> str:
    """Return cells as one JSON object, the same whatever their order.

    >>> prompt, count = label("", "prompt").cell("a fox"), label("", "count").cell("2")
    >>> together({"prompt": prompt, "count": count})
    '{"count":"2","prompt":"a fox"}'
    """
    return f"{{{','.join([cells_by_name[name].member for name in sorted(cells_by_name)])}}}"


def is_label(name: str) -> bool:
    """Whether this may name a label: it becomes a JSON key and a word on the command line."""
    return bool(name) and len(name) <= _LONGEST_LABEL and name.isprintable()


def _carried(header: str) -> str:
    """Return the option that carries a column; a header that holds a comma is quoted as in the file itself."""
    doubled = header.replace('"', '""')
    return "--label " + shlex.quote(f'"{doubled}"' if "," in header else header)


def _option(name: str, header: str) -> str:
    return f"--column {name}={shlex.quote(header)}"
