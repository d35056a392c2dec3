"""The result of the first pass over a manifest: counts for the plan, mistakes to print, rows to load."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from jobs import errors
from jobs.manifest import pictures, rows, staging
from jobs.manifest.problems import Problem, Problems

_ALONE = "with --keep-going such rows fail alone, and the others are bought"


@dataclass(slots=True)
class Validated:
    """A manifest that was read; close it to free the disk space of its rows.

    ``path`` is None for standard input; ``beside`` is the table with the rows, if the file names one; ``root`` is the
    folder where relative paths of pictures start. ``adaptation`` is the caller's merged over the file's own.
    ``images`` counts rows by how their picture travels, ``outputs`` the images they ask for; ``failed`` of ``count``
    rows have a ``problem``.
    ``complete`` is False if a limit left rows unread. With ``keep_going`` mistakes of single rows are warnings.
    A picture that cannot be used is not among them until `blame` is called, nor is ``no_folder``, that the folder
    of pictures does not exist: whether they matter is for the batch to say.
    """

    path: Path | None
    sha256: str
    adaptation: rows.Adaptation
    root: Path
    staged: staging.Staging
    problems: Problems = field(default_factory=Problems)
    warnings: Problems = field(default_factory=Problems)
    count: int = 0
    failed: int = 0
    outputs: int = 0
    images: Counter[pictures.Travel] = field(default_factory=Counter)
    complete: bool = True
    keep_going: bool = False
    no_folder: Problem | None = None
    beside: str | None = None
    _of_rows: int = 0  # mistakes of single rows among the problems

    def add_of_row(self, problem: Problem) -> None:
        """Add a mistake of a single row."""
        if self.keep_going:
            self.warnings.add(problem)
        else:
            self.problems.add(problem)
            self._of_rows += 1

    def raise_if_any(self) -> None:
        """Raise `errors.Mistakes` if there is anything to correct."""
        if not self.problems:
            return
        lines = self.problems.lines()
        if self._of_rows == len(self.problems) and self.failed < self.count:
            lines.append(_ALONE)
        raise errors.Mistakes(lines)

    def unusable(self, chunk: int = 5000) -> Iterator[list[rows.Row]]:
        """Yield the rows with nothing wrong but their picture, ``chunk`` at a time."""
        return self.staged.unusable(chunk)

    def blame(self, row: rows.Row) -> None:
        """Count a row's unusable picture as its mistake; not if there is no folder, which is told once for all."""
        if row.unusable is not None and self.no_folder is None:
            self.add_of_row(Problem.from_json(row.unusable))

    def rows(self, chunk: int = 5000) -> Iterator[list[rows.Row]]:
        """Yield the rows, ``chunk`` at a time; raises `errors.Mistakes` if there is anything to correct."""
        self.raise_if_any()
        return self.staged.rows(chunk)

    def unlisted(self, wanted: Iterable[str]) -> Iterator[str]:
        """Yield those of the ``wanted`` keys that no row has."""
        return (key for key in wanted if not self.staged.has(key))

    def close(self) -> None:
        self.staged.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
