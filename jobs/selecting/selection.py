"""Which jobs a person's filters choose, the same ones on both databases.

Everything that a person typed is a bound parameter, and only comparisons without special characters are used:
no LIKE, no path inside JSON.
"""

import functools
import shlex
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from jobs import batches, errors, lifecycle, presence, texts
from jobs.database import Database
from jobs.selecting import globs
from jobs.states import State
from jobs.tables import jobs, outputs

# Rows of one write transaction, which takes a tenth of a second, so that no other writer waits long.
CHUNK = 2000
_PAGE = 1000
_FETCHED = 10_000
_LOOKED_FOR = 500  # files in the middle of a transaction, which must not stand still for long

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters. Several states are alternatives, as are classes and keys; every label, and every kind, must match.

    ``keys`` are GLOBs. ``match`` is searched for in the error message, ignoring the case of A to Z. ``limit``
    takes the first few in the order of loading. ``missing`` tells the output folder, given what is kept with a batch,
    and leaves only the succeeded jobs of which an image is not in it.
    """

    states: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()
    match: str | None = None
    limit: int | None = None
    missing: Callable[[str | None], Path] | None = None
    accepted: bool = False  # leave out jobs whose rows were refused: see `lifecycle.ACCEPTED`

    def __post_init__(self) -> None:
        if self.match == "":
            raise errors.Mistake(
                "--match is empty, and would choose every job; leave it out, or say what to look for"
            )
        pairs = [text for pair in self.labels for text in pair]
        for text in (*self.states, *self.classes, *self.keys, *pairs, self.match or ""):
            _check(text)

    @property
    def chooses_all(self) -> bool:
        """Whether no filter is given; a limit is none."""
        return not (self.states or self.classes or self.labels or self.keys or self.match or self.missing)

    def words(self) -> list[str]:
        """Return the filters as they are typed, but for `--missing`, of which the folder is known.

        >>> Selection(states=("succeeded",), keys=("cats/*",), limit=3).words()
        ['--state', 'succeeded', '--key', 'cats/*', '--limit', '3']
        """
        typed = [("--state", state) for state in self.states]
        typed += [("--class", error_class) for error_class in self.classes]
        typed += [("--label", f"{name}={value}") for name, value in self.labels]
        typed += [("--key", key) for key in self.keys]
        typed += [("--match", self.match)] if self.match else []
        typed += [("--limit", str(self.limit))] if self.limit is not None else []
        return [word for pair in typed for word in pair]

    def slip(self, batch: str) -> str:
        """Return how to go on where nothing is chosen by a key that was typed as its job is printed, or nothing.

        Of whole keys alone: `cats/*` without its batch would choose every job.

        >>> Selection(keys=("cats/tom",)).slip("cats"), Selection(keys=("cats/tom",)).slip("dogs")
        ('; leave out the batch, as in --key tom', '')
        """
        typed = (key.removeprefix(f"{batch}/") for key in self.keys if key.startswith(f"{batch}/"))
        whole = (globs.exactly(key) for key in typed if globs.literal(key) is not None)
        return next((f"; leave out the batch, as in --key {shlex.quote(key)}" for key in whole), "")

    def conditions(self, dialect: str, batch_id: int | None = None) -> list[Condition]:
        """Return the conditions on a row of `jobs`, for ``sqlite`` or ``postgresql``; `ids` looks at the files."""
        chosen: list[Condition] = [] if batch_id is None else [jobs.c.batch_id == batch_id]
        if self.states:
            chosen.append(jobs.c.state.in_(self.states))
        if self.classes:
            chosen.append(jobs.c.error_class.in_(self.classes))
        if self.keys:
            chosen.append(sa.or_(*(_key_fits(glob, dialect) for glob in self.keys)))
        if self.accepted:
            chosen.append(lifecycle.ACCEPTED)
        if self.missing:
            chosen.append(jobs.c.state == State.SUCCEEDED)
        if self.match:
            chosen.append(_message_holds(self.match, dialect))
        return chosen + [_has_label(name, value, dialect) for name, value in self.labels]


def _check(text: str) -> None:
    """Refuse what no database can compare: NUL, and bytes that are no text."""
    if "\0" in texts.check(text):
        raise errors.Mistake(f"the filter {text!a} holds a NUL character")


def _key_fits(glob: str, dialect: str) -> Condition:
    if (key := globs.literal(glob)) is not None:  # the only one that PostgreSQL's index on keys serves
        return jobs.c.key == key
    if dialect == "sqlite":
        return jobs.c.key.op("GLOB", is_comparison=True)(globs.for_sqlite(glob))
    return jobs.c.key.op("~", is_comparison=True)(globs.for_postgresql(glob))


def _message_holds(text: str, dialect: str) -> Condition:
    # All three fold A to Z and nothing else: SQLite always, PostgreSQL in the collation "C", Python for bytes.
    folded = text.encode().lower().decode()
    if dialect == "sqlite":
        return sa.func.instr(sa.func.lower(jobs.c.error_message), folded) > 0
    return sa.func.strpos(sa.func.lower(jobs.c.error_message.collate("C")), folded) > 0


def _has_label(name: str, value: str, dialect: str) -> Condition:
    if dialect == "sqlite":  # its JSON paths cannot name a label with a quotation mark
        each = sa.func.json_each(jobs.c.labels).table_valued("key", "value", name="label")
        same = sa.select(sa.literal(1)).where(each.c.key == name, each.c.value == value)
        return same.correlate(jobs).exists()
    return sa.func.jsonb_extract_path_text(jobs.c.labels, name) == value


def refused(tx: sa.Connection, selection: Selection, batch_id: int) -> int:
    """Count the chosen jobs of a batch whose rows were refused when they were loaded."""
    every = replace(selection, accepted=False).conditions(tx.dialect.name, batch_id)
    chosen = sa.select(sa.func.count()).select_from(jobs).where(*every, ~lifecycle.ACCEPTED)
    return tx.execute(chosen).scalar_one()


def ids(tx: sa.Connection, selection: Selection, batch_id: int | None = None) -> "array[int]":
    """Return the chosen jobs of a batch, or of all batches, in the order of loading.

    Eight bytes a job. Nothing else is held for all of a million, so that rows can be read and written a few
    thousand at a time in short transactions.
    """
    conditions = selection.conditions(tx.dialect.name, batch_id)
    query = sa.select(jobs.c.id).where(*conditions).order_by(jobs.c.id)
    if selection.missing is not None:
        some = batches.every(tx) if batch_id is None else [batches.get(tx, batch_id)]
        folders = {one.id: selection.missing(one.output) for one in some}
        with closing(_without_image(tx, query, folders)) as found:
            return array("q", islice(found, selection.limit))
    if selection.limit is not None:
        query = query.limit(selection.limit)
    return array("q", tx.execute(query.execution_options(yield_per=_FETCHED)).scalars())


def _without_image(tx: sa.Connection, query: sa.Select[int], folders: Mapping[int, Path]) -> Generator[int]:
    """Yield the jobs of a query of which an image is not below the output folder of its batch."""
    required = functools.cache(_required)
    stored = outputs.c.path.is_not(None) & (outputs.c.attempt_id == jobs.c.attempt_id)
    each = query.add_columns(jobs.c.batch_id, outputs.c.path).join(outputs, stored)
    with tx.execute(each.execution_options(yield_per=_LOOKED_FOR)) as found:
        for job, rows in groupby(found, key=itemgetter(0)):
            if any(_is_gone(required(folders[batch]) / path) for _, batch, path in rows):
                yield job


def _required(output: Path) -> Path:
    """Return an output folder; of one that is not there, nobody can tell which images it has."""
    if not presence.is_folder(output):
        raise errors.Unavailable(
            f"output folder {output} is not there; mount its disk, or name another with --output"
        )
    return output


def _is_gone(path: Path) -> bool:
    """Whether there is no file; one that we may not look at is none that is to be bought again."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        raise errors.Unavailable(f"nobody can tell whether {path} is there: {error.strerror}") from error
    return False


def chunks(chosen: "array[int]", size: int = CHUNK) -> Iterator[list[int]]:
    """Yield the ids, ``size`` at a time."""
    for start in range(0, len(chosen), size):
        yield chosen[start : start + size].tolist()


def pages(
    db: Database, query: sa.Select[Any], selection: Selection, batch_id: int | None = None
) -> Iterator[list[sa.Row[Any]]]:
    """Yield a query's rows for the chosen jobs, a page at a time; a job that no longer matches is left out.

    Each page is a transaction of its own: a pager left open overnight must not keep a snapshot alive.
    """
    with db.read() as tx:
        chosen = ids(tx, selection, batch_id)
        conditions = selection.conditions(tx.dialect.name)
    for chunk in chunks(chosen, _PAGE):
        with db.read() as tx:
            page = query.where(jobs.c.id.in_(chunk), *conditions).order_by(jobs.c.id)
            found = list(tx.execute(page).all())
        yield found
