"""A list of jobs as text: columns in a terminal, tabs without a header in a pipe, so that `cut` and `sort` can read it.

Texts come from manifests and from the API: what could move a cursor or begin a line is escaped.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich import cells  # knows which characters take two columns

from jobs import texts
from jobs.reports.listing import Line

_HEADER = ("JOB", "STATE", "CLASS", "ATTEMPTS", "ERROR")
_GAP = "  "


def piped(pages: Iterable[Sequence[Line]]) -> Iterator[str]:
    """Yield lines whose cells are separated by tabs, with errors in full."""
    for page in pages:
        for line in page:
            yield "\t".join(_cells(line))


def aligned(pages: Iterable[Sequence[Line]], width: int) -> Iterator[str]:
    """Yield lines for a terminal of so many columns, a header first; only errors are shortened.

    Columns are as wide as a page of jobs needs, so that the first line need not wait for the last.
    """
    widths = [len(word) for word in _HEADER[:-1]]
    header: list[Sequence[str]] = [_HEADER]
    for page in pages:
        rows = header + [_cells(line) for line in page]
        header = []
        widths = [max([known, *(cells.cell_len(row[n]) for row in rows)]) for n, known in enumerate(widths)]
        for row in rows:
            padded = (cells.set_cell_size(text, known) for text, known in zip(row, widths, strict=False))
            line = _GAP.join([*padded, row[-1]]).rstrip()
            yield line if cells.cell_len(line) <= width else _shortened(line, width, sum(widths))


def _shortened(line: str, width: int, least: int) -> str:
    """Cut the error, never the rest: a key that is cut off cannot be typed."""
    kept = max(width - 1, least + len(_GAP) * (len(_HEADER) - 1) - 1)
    return line if cells.cell_len(line) <= kept else cells.set_cell_size(line, kept).rstrip() + "…"


def _cells(line: Line) -> list[str]:
    shown = (line.name, line.state, line.error_class or "", str(line.attempts), line.error_message or "")
    return [texts.printable(text) for text in shown]
