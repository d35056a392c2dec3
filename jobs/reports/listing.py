"""One line per job, for people and scripts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs.database import Database
from jobs.selecting.selection import Selection, pages
from jobs.tables import batches, jobs


@dataclass(frozen=True, slots=True)
class Line:
    """What a list shows of a job."""

    batch: str
    key: str
    state: str
    attempts: int
    error_class: str | None
    error_message: str | None
    due_at: datetime | None
    finished_at: datetime | None

    @property
    def name(self) -> str:
        return f"{self.batch}/{self.key}"


def lines(db: Database, selection: Selection, batch_id: int | None = None) -> Iterator[list[Line]]:
    """Yield pages of the chosen jobs of a batch, or of all batches, in the order of loading."""
    query: sa.Select[Any] = sa.select(
        batches.c.name, jobs.c.key, jobs.c.state, jobs.c.attempts, jobs.c.error_class, jobs.c.error_message,
        jobs.c.due_at, jobs.c.finished_at,
    ).join(batches, batches.c.id == jobs.c.batch_id)  # fmt: skip
    for page in pages(db, query, selection, batch_id):
        yield [Line(*list(row)) for row in page]
