"""What a YAML manifest says: its top-level settings, and its list of jobs as records."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from jobs.manifest import cells, columns, document, problems, rows, source, table

JOBS = "jobs"
_SETTINGS = ("batch", "version", "defaults", "columns", "labels", "images", JOBS)
# Column names to cache; only a file made to break this has as many.
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Outline:
    """The top level of a YAML manifest, and all that is ``wrong`` with it.

    Its jobs are in the table ``jobs_file``, or else it ``lists_jobs`` itself, or else they are missing.
    """

    batch: str | None
    adaptation: rows.Adaptation
    jobs_file: str | None
    lists_jobs: bool
    wrong: Sequence[problems.Problem]


def read(manifest: source.Source, written: document.Document) -> Outline:
    """Read the settings; one that cannot be understood counts as not given."""
    nodes = written.settings(JOBS)
    top = _Top(manifest, nodes)
    defaults = top.mapping("defaults")
    if (version := top.text("version")) is not None:
        defaults["version"] = version
    images = top.text("images")
    adaptation = rows.Adaptation(
        columns=top.mapping("columns"),
        labels=top.texts("labels"),
        defaults=defaults,
        images=None if images is None else manifest.folder / images,
    )
    return Outline(
        batch=top.text("batch"),
        adaptation=adaptation,
        jobs_file=top.jobs_file(),
        lists_jobs=JOBS in nodes and isinstance(nodes[JOBS].value, list),
        wrong=top.wrong,
    )


class _Top:
    """The settings by name, each read in the one shape that it may have."""

    def __init__(self, manifest: source.Source, nodes: dict[str, document.Node]) -> None:
        self._manifest = manifest
        self.wrong: list[problems.Problem] = []
        given = {name: node for name, node in nodes.items() if node.value is not None}
        self._nodes = {name: node for name, node in given.items() if name in _SETTINGS}
        for name, node in nodes.items():
            if name not in _SETTINGS and (meant := self._meant(name, node)) and name in given:
                self._nodes.setdefault(meant, node)

    def _meant(self, name: str, node: document.Node) -> str | None:
        """Report a name that is no setting; return the nearest one, lest what it says also seems to be missing."""
        meant = next(iter(difflib.get_close_matches(name, _SETTINGS, n=1)), None)
        detail = f"did you mean {meant}?" if meant else "what holds for every job goes under defaults:"
        self._complain(name, node.line, "is no setting of a manifest", detail)
        return meant

    def _complain(self, name: str, line: int | None, message: str, detail: str = "") -> None:
        self.wrong.append(problems.Problem(self._manifest.name, line, name, message, detail=detail))

    def text(self, name: str) -> str | None:
        if (node := self._nodes.get(name)) is None:
            return None
        if isinstance(node.value, str):
            return node.value
        self._complain(name, node.line, "should be one text")
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        if (node := self._nodes.get(name)) is None:
            return ()
        if isinstance(node.value, str):
            return (node.value,)
        values = [item.value for item in node.value] if isinstance(node.value, list) else [None]
        texts = tuple(value for value in values if isinstance(value, str))
        if len(texts) != len(values):
            self._complain(name, node.line, "should be a list of names")
        return texts

    def mapping(self, name: str) -> dict[str, str]:
        if (node := self._nodes.get(name)) is None:
            return {}
        if not isinstance(node.value, dict):
            self._complain(name, node.line, "should be a mapping of names to values")
            return {}
        for inner, value in node.value.items():
            if isinstance(value.value, list | dict):
                self._complain(f"{name}.{inner}", value.line, "should be one text or number")
        return {inner: value.value for inner, value in node.value.items() if isinstance(value.value, str)}

    def jobs_file(self) -> str | None:
        """Return the table's name; None if it names none."""
        if (node := self._nodes.get(JOBS)) is None:
            self._complain(JOBS, None, "is not given: list the jobs, or name a CSV file")
        elif isinstance(node.value, dict):
            self._complain(JOBS, node.line, "should be a list: begin each job with a dash")
        return node.value if node and isinstance(node.value, str) else None


class Listed:
    """The jobs listed in a YAML file, as records; what looks like a slip in them goes to ``warn``."""

    def __init__(
        self,
        manifest: source.Source,
        written: document.Document,
        known: columns.Columns,
        warn: Callable[[problems.Problem], None],
    ) -> None:
        self._file = manifest.name
        self._warn = warn
        self._slip = lru_cache(maxsize=_REMEMBERED)(known.slip)
        self._written = written
        self._known = known
        self._columns_of = lru_cache(maxsize=_REMEMBERED)(known.of)

    def __iter__(self) -> Iterator[table.Record]:
        for node in self._written.items(JOBS):
            record = table.Record(node.line, [], [])
            if isinstance(node.value, dict):
                self._fill(record, node.value)
            else:
                record.wrong.append(self._problem(node.line, JOBS, "is no mapping: write - image: FILE"))
            yield record

    def _problem(self, line: int, column: str, message: str) -> problems.Problem:
        return problems.Problem(self._file, line, column, message)

    def _fill(self, record: table.Record, entries: dict[str, document.Node]) -> None:
        for name, node in entries.items():
            if name == "labels":
                self._label(record, node)
                continue
            found = self._columns_of(name)
            if slip := self._slip(name):
                self._warn(self._known.carried(self._file, node.line, name, slip))
            if not found:
                record.wrong.append(self._known.unknown(self._file, node.line, name, entries.keys()))
            for column in found:
                self._put(record, column, node)

    def _label(self, record: table.Record, node: document.Node) -> None:
        if not isinstance(node.value, dict):
            record.wrong.append(self._problem(node.line, "labels", "should be a mapping of names to texts"))
            return
        for name, value in node.value.items():
            self._put(record, columns.label(f"labels.{name}", name), value)

    def _put(self, record: table.Record, column: columns.Column, node: document.Node) -> None:
        if column.place is columns.Place.LABEL and not columns.is_label(column.name):
            wrong = "cannot name a label: use 1 to 100 printable characters"
        elif isinstance(node.value, list | dict):
            wrong = "should be one text or number"
        elif node.value is not None and len(node.value) > cells.LONGEST:
            wrong = f"has more than {cells.LONGEST} characters"
        else:
            record.cells.append((column, node.value or ""))
            return
        record.wrong.append(self._problem(node.line, column.header, wrong))
