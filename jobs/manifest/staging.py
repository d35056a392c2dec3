"""Keeps checked rows on disk between the two passes, so that a million rows cost no memory.

Only here is the whole manifest known, so keys and stems are made unique here.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from jobs.manifest import assemble, keys, pictures, problems, rows

_BUFFERED_ROWS = 2000
# Tried in turn until no two stems are alike; six digits nearly always suffice.
_STEM_DIGITS = (6, 16, 64)

# The unnamed database dies with the process, so a journal would protect nothing.
_SET_UP = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16000;
CREATE TABLE rows (
    seq INTEGER PRIMARY KEY, key_given INTEGER, folded TEXT, travel TEXT, line INTEGER, key TEXT, image TEXT,
    input TEXT, seeded INTEGER, version TEXT, labels TEXT, priority INTEGER, outputs INTEGER, digest TEXT, stem TEXT,
    problem TEXT, unusable TEXT
);
BEGIN;
"""
# In the order of the fields of `rows.Row`.
_ROW = "line, key, image, input, seeded, version, labels, priority, outputs, digest, stem, problem, unusable, travel"
_INSERT = f"INSERT INTO rows (key_given, folded, {_ROW}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608  the columns above

_INDEX_KEYS = "CREATE INDEX rows_by_key ON rows (key)"
_FIND_REPEATED = """
CREATE TABLE repeated AS SELECT * FROM (
    SELECT seq AS later, line, key, first_value(line) OVER same AS first_line, row_number() OVER same AS nth
    FROM rows
    WHERE key_given AND key IN (SELECT key FROM rows WHERE key_given GROUP BY key HAVING count(*) > 1)
    WINDOW same AS (PARTITION BY key ORDER BY seq)
) WHERE nth > 1
"""
# A row whose key is taken counts as one with a derived key, so that it can still be listed as failed.
_SPOIL_REPEATED = """
UPDATE rows SET key_given = 0, key = substr(rows.key, 1, 180),
    problem = repeated_key(repeated.line, repeated.key, repeated.first_line), unusable = NULL
FROM repeated WHERE seq = later
"""
_NUMBER_DERIVED = """
UPDATE rows SET key = key || '-' || nth, stem = slug(key || '-' || nth), folded = fold(slug(key || '-' || nth))
FROM (
    SELECT seq AS later, row_number() OVER (PARTITION BY key ORDER BY key_given DESC, seq) AS nth FROM rows
    WHERE key IN (SELECT key FROM rows GROUP BY key HAVING count(*) > 1)
) WHERE seq = later AND nth > 1
"""
_INDEX_STEMS = "CREATE INDEX rows_by_stem ON rows (folded)"
_TELL_STEMS_APART = """
UPDATE rows SET stem = apart(key, :digits), folded = fold(apart(key, :digits))
WHERE folded IN (SELECT folded FROM rows GROUP BY folded HAVING count(*) > 1)
"""
_SELECT = f"SELECT {_ROW} FROM rows ORDER BY seq"  # noqa: S608  the columns above
_SELECT_UNUSABLE = f"SELECT {_ROW} FROM rows WHERE unusable IS NOT NULL ORDER BY seq"  # noqa: S608  the same

# Where the file has no column of pictures, that is told once for all rows.
_COUNT_SOUND = """
SELECT travel, count(*), sum(outputs) FROM rows WHERE problem IS NULL AND travel IS NOT NULL GROUP BY travel
"""


class Staging:
    """A temporary database of rows: filled once, then settled, then read."""

    def __init__(self) -> None:
        self._file = ""
        self._buffer: list[tuple[Any, ...]] = []
        # With an empty name SQLite uses an unlinked temporary file, and writes to it once the cache is full.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_SET_UP)
        self._database.create_function("slug", 1, keys.slug)
        self._database.create_function("fold", 1, str.casefold)
        self._database.create_function("apart", 2, _apart)
        self._database.create_function("repeated_key", 3, self._repeated_key)

    def add(self, draft: assemble.Draft) -> None:
        problem = draft.problem and draft.problem.of_row()
        unusable = draft.unusable and draft.unusable.to_json()
        stem = keys.slug(draft.key)
        self._buffer.append((
            draft.key_given, stem.casefold(), draft.line, draft.key, draft.image, draft.input_json,
            draft.seeded, draft.version, draft.labels_json, draft.priority, draft.outputs, draft.digest,
            stem, problem, unusable, draft.travel,
        ))  # fmt: skip
        if len(self._buffer) >= _BUFFERED_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._database.executemany(_INSERT, self._buffer)
        self._buffer.clear()

    def settle(self, file: str) -> Iterator[problems.Problem]:
        """Make keys and stems unique, then yield the given keys that are not.

        The second of two identical rows gets ``-2``: they are interchangeable, so their order does not matter. Of
        stems that clash, all get digits of their keys' hashes, so that none depends on which came first.
        """
        self._file = file
        self._flush()
        for statement in (_INDEX_KEYS, _FIND_REPEATED, _SPOIL_REPEATED):
            self._database.execute(statement)
        while self._database.execute(_NUMBER_DERIVED).rowcount:
            pass  # a numbered key may be one that somebody gave
        self._database.execute(_INDEX_STEMS)
        for digits in _STEM_DIGITS:
            if not self._database.execute(_TELL_STEMS_APART, {"digits": digits}).rowcount:
                break
        for found in self._database.execute("SELECT line, key, first_line FROM repeated ORDER BY line"):
            yield self._repeated(*found)

    def _repeated(self, line: int, key: str, first_line: int) -> problems.Problem:
        message = "is the key of an earlier row too"
        return problems.Problem(
            self._file, line, "key", message, key, f"line {first_line}; give each row a key of its own"
        )

    def _repeated_key(self, line: int, key: str, first_line: int) -> str:
        return self._repeated(line, key, first_line).of_row()

    def sound(self) -> list[tuple[pictures.Travel, int, int]]:
        """Return, of the rows without a problem, how many pictures travel how, and how many images they ask for.

        Only valid after `settle`, which finds further problems.
        """
        found = self._database.execute(_COUNT_SOUND)
        return [(pictures.Travel(travel), count, outputs) for travel, count, outputs in found]

    def unusable(self, chunk: int) -> Iterator[list[rows.Row]]:
        """Yield the rows with nothing wrong but their picture, ``chunk`` at a time."""
        return self._select(_SELECT_UNUSABLE, chunk)

    def _select(self, query: str, chunk: int) -> Iterator[list[rows.Row]]:
        self._flush()  # a file that breaks off is never settled
        cursor = self._database.execute(query)
        while found := cursor.fetchmany(chunk):
            yield [rows.Row._make(columns) for columns in found]

    def rows(self, chunk: int) -> Iterator[list[rows.Row]]:
        """Yield all rows in the manifest's order, ``chunk`` at a time."""
        return self._select(_SELECT, chunk)

    def has(self, key: str) -> bool:
        """Whether a row has this key; only valid after `settle`."""
        found = self._database.execute("SELECT 1 FROM rows WHERE key = ? LIMIT 1", (key,))
        return found.fetchone() is not None

    def close(self) -> None:
        self._database.close()


def _apart(key: str, digits: int) -> str:
    return f"{keys.slug(key)}-{hashlib.sha256(key.encode()).hexdigest()[:digits]}"
