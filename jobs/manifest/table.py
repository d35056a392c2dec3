"""A CSV or TSV manifest as records: each row's cells with the columns they belong to."""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from jobs.manifest import cells, columns, delimited, problems, source

_MOST_COLUMNS = 1000
_NO_HEADER = "names no column that is known: begin the file with a header, such as image,prompt"
_DIVIDERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MISQUOTED = (
    "has a blank before its opening quote",
    'delete the blank; quotes that belong to the text are written """like this"""',
)

# What pandas writes as its index.
_UNNAMED = "name the column in the header, or leave it out (in pandas: index=False)"


class Record(NamedTuple):
    """One row as written: the line it starts on, its cells, and what is already wrong with it."""

    line: int
    cells: list[tuple[columns.Column, str]]
    wrong: list[problems.Problem]


class Table:
    """The rows of one file; its header is read at once."""

    def __init__(self, manifest: source.Source, known: columns.Columns) -> None:
        self._file = manifest.name
        self._delimiter, self._rows = delimited.read(manifest)
        self._line, header, misquoted = next(self._rows, delimited.Record(1, []))
        if not header:
            raise manifest.problem("is empty")
        if misquoted is not None:
            raise manifest.problem(_MISQUOTED[0], self._line, _MISQUOTED[1])
        if len(header) > _MOST_COLUMNS:
            raise manifest.problem(f"has more than {_MOST_COLUMNS} columns: is this a table?", self._line)
        self._header = [name.strip() for name in header]
        self._known = known
        self._plan = [(i, column) for i, name in enumerate(self._header) for column in known.of(name) if name]
        if self._delimiter != ",":
            for _, column in self._plan:
                column.read = cells.with_decimal_comma(column.read)
        self._unnamed = [i for i, name in enumerate(self._header) if not name]

    @property
    def fields(self) -> set[str]:
        """The fields and inputs that have a column."""
        return {column.name for _, column in self._plan if column.place is not columns.Place.LABEL}

    def wrong(self, required: AbstractSet[str]) -> Iterator[problems.Problem]:
        """Yield what is wrong with the header; each ``required`` name needs a column."""
        unknown = [name for name in dict.fromkeys(self._header) if name and not self._known.of(name)]
        meant = {self._known.nearest(name, self.fields) for name in unknown}
        if unknown and not self._plan and meant == {None}:
            yield problems.Problem(self._file, self._line, None, _NO_HEADER)
            return
        for name in unknown:
            yield self._known.unknown(self._file, self._line, name, self.fields)
        yield from self._repeated()
        yield from self._unusable_labels()
        yield from self._absent_headers()
        # If an unknown column looks like the missing one, one line is enough.
        for name in sorted(required - self.fields - meant - self._known.moved.keys()):
            yield self._problem(name, "is required, and there is no such column")

    def _problem(self, column: str, message: str, detail: str = "") -> problems.Problem:
        return problems.Problem(self._file, self._line, column, message, detail=detail)

    def _repeated(self) -> Iterator[problems.Problem]:
        for name, count in Counter(filter(None, self._header)).items():
            if count > 1:
                yield self._problem(name, "is the header of more than one column", "rename all but one")
        sources: dict[tuple[columns.Place, str], set[str]] = {}
        for _, column in self._plan:
            sources.setdefault((column.place, column.name), set()).add(column.header)
        for (_, name), headers in sources.items():
            if len(headers) > 1:
                yield self._problem(name, "is given by more than one column", ", ".join(sorted(headers)))

    def _unusable_labels(self) -> Iterator[problems.Problem]:
        for _, column in self._plan:
            if column.place is columns.Place.LABEL and not columns.is_label(column.name):
                yield self._problem(column.header, "cannot name a label: use 1 to 100 printable characters")

    def _absent_headers(self) -> Iterator[problems.Problem]:
        for option, header in self._known.expected_headers():
            if header not in self._header:
                yield self._problem(header, "is no column of this file", f"{option} names it")

    def slips(self) -> Iterator[problems.Problem]:
        """Yield labels that are carried only because of ``*`` and look like a misspelt input."""
        for name in dict.fromkeys(self._header):
            if slip := self._known.slip(name):
                yield self._known.carried(self._file, self._line, name, slip)

    def __iter__(self) -> Iterator[Record]:
        width = len(self._header)
        plan, unnamed = self._plan, self._unnamed
        for line, row, misquoted in self._rows:
            found = []
            if misquoted is not None:
                found.append(self._misquoted(line, misquoted))
            elif len(row) != width and (len(row) < width or any(row[width:])):
                found.append(self._misfit(line, len(row), width))
            elif any(row[i] for i in unnamed):
                found.append(
                    problems.Problem(
                        self._file, line, None, "has a cell in a column without a name", detail=_UNNAMED
                    )
                )
            row.extend([""] * (width - len(row)))
            yield Record(line, [(column, row[i]) for i, column in plan], found)

    def _misquoted(self, line: int, cell: int) -> problems.Problem:
        header = self._header[cell] if cell < len(self._header) else None
        return problems.Problem(self._file, line, header, _MISQUOTED[0], detail=_MISQUOTED[1])

    def _misfit(self, line: int, cells: int, width: int) -> problems.Problem:
        if cells < width:
            return problems.Problem(
                self._file, line, None, "has fewer cells than the header", detail=f"{cells} of {width}"
            )
        detail = f"{cells}, not {width}; put text that holds {_DIVIDERS[self._delimiter]} in quotes"
        return problems.Problem(self._file, line, None, "has more cells than the header", detail=detail)
