"""What a night has left behind, read once: rows, ledger, files, moves. `checker` judges it."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from jobs import marker, tables
from jobs.database import Database
from jobs.events import EventKind
from tests.faults import history
from tests.faults.history import Move

Line = Mapping[str, Any]  # of the sandbox's ledger

_LONGEST = 3600.0  # seconds that a test's night may last
# Fates by which a prediction failed at the API; such a one may rightly be bought again.
FAILED_THERE = frozenset({"fail_transient", "nsfw", "oom", "aborted", "unreadable"})


@dataclass(frozen=True)
class Terms:
    """What else is known about the night; an invariant that lacks its part of it is reported as looked at 0 times."""

    keys: Sequence[str] = ()  # of the manifest
    served: Callable[[Line, int], bytes | None] | None = None  # what the API delivers for the n-th output
    price: float | None = None
    most_attempts: int | None = None
    excused: frozenset[str] = frozenset()  # failure classes that the night's faults explain, of any job
    # Whether the API may have deleted it as soon as it ended.
    removed: Callable[[Line], bool] = lambda _: False
    # Seconds around a send in which what the list does not explain could be of that send.
    in_doubt: float = 0.0
    slots: int | None = None  # sends that may be under way when the buying stops
    probe_every: float = math.inf  # seconds
    folder: Path | None = None  # no file in it may hold the secret
    secret: str = ""

    def probes_in(self, seconds: float) -> int:
        """Return how many probes a stopped account may send in this time."""
        return 1 + int(min(seconds, _LONGEST) / self.probe_every)


@dataclass(frozen=True)
class Evidence:
    """Rows, ledger and files, and what connects them."""

    jobs: Sequence[Any]
    attempts: Sequence[Any]
    outputs: Sequence[Any]
    batches: Sequence[Any]
    events: Sequence[Any]
    moves: Sequence[Move]
    ledger: Sequence[Line]
    output: Path
    terms: Terms = field(default_factory=Terms)

    @cached_property
    def known(self) -> Mapping[str, Any]:
        """Attempts by the id of their prediction."""
        return {row.prediction_id: row for row in self.attempts if row.prediction_id}

    @cached_property
    def lines(self) -> Mapping[str, Line]:
        return {str(line["id"]): line for line in self.ledger}

    @cached_property
    def purchases(self) -> Mapping[int, Sequence[Line]]:
        """What was bought for each job, the oldest first; matched by its input if no row knows the id."""
        by_digest = {marker.digest(row.input): row.id for row in self.jobs}
        found: dict[int, list[Line]] = defaultdict(list)
        for line in sorted(self.ledger, key=lambda line: line["t"]):
            attempt = self.known.get(line["id"])
            job = attempt.job_id if attempt else by_digest.get(marker.digest(line["input"]))
            if job is not None:
                found[job].append(line)
        return found

    @cached_property
    def found_late(self) -> frozenset[str]:
        """Predictions that turned up when nobody waited for them: an event tells, or a later attempt took them."""
        kinds = {EventKind.FOUND, EventKind.ORPHANED}
        told = [event.detail for event in self.events if event.kind in kinds]
        return frozenset(
            id_
            for id_, line in self.lines.items()
            if any(id_ in one for one in told) or self._was_sent_before_its_attempt(line)
        )

    def _was_sent_before_its_attempt(self, line: Line) -> bool:
        row = self.known.get(line["id"])
        return row is not None and bool(line["t"] < row.intended_at.timestamp())

    def was_known(self, line: Line, moment: datetime) -> bool:
        """Whether a row had a prediction's id by then."""
        attempt = self.known.get(line["id"])
        return attempt is not None and attempt.accepted_at is not None and bool(attempt.accepted_at < moment)

    @cached_property
    def name(self) -> Mapping[int, str]:
        """The key of each job."""
        return {row.id: row.key for row in self.jobs}


def read(db: Database, ledger: Sequence[Line], output: Path, terms: Terms) -> Evidence:
    """Read what the database holds, in one snapshot."""
    with db.read() as tx:
        rows = [
            tx.execute(sa.select(table).order_by(table.c.id)).all()
            for table in (tables.jobs, tables.attempts, tables.outputs, tables.batches, tables.events)
        ]
    return Evidence(*rows, history.moves(db), ledger, output, terms)
