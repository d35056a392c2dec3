"""One checker over database, ledger and files: what must hold after any night, whatever happened in it.

Reported as attempts, accepted, lost, unexpected, duplicated; zero is the only number that passes.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from jobs import database, images, marker
from jobs.states import FINAL, OPEN_PHASES, Phase, State
from jobs.tables import attempts, jobs, outputs

# What the sandbox's own model made of a prediction; such a one may rightly be bought again.
FAILED_THERE = frozenset({"fail_transient", "nsfw", "oom", "aborted", "unreadable"})


@dataclass(frozen=True)
class Report:
    """What was found."""

    jobs: int
    accepted: int
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_files: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.unexpected or self.wrong_files)


def check(db: database.Database, ledger: Sequence[Mapping[str, Any]], output: Path) -> Report:
    """Compare what the database says with what the API billed and what lies on disk."""
    with db.read() as tx:
        job_rows = tx.execute(sa.select(jobs)).all()
        attempt_rows = tx.execute(sa.select(attempts)).all()
        output_rows = tx.execute(sa.select(outputs)).all()
    known = {row.prediction_id: row for row in attempt_rows if row.prediction_id}
    return Report(
        jobs=len(job_rows),
        accepted=len(ledger),
        lost=tuple(_lost(job_rows, attempt_rows, output_rows)),
        duplicated=tuple(_duplicated(job_rows, ledger, known)),
        unexpected=tuple(str(line["id"]) for line in ledger if line["id"] not in known),
        wrong_files=tuple(_wrong_files(output_rows, output)),
    )


def _lost(job_rows: Sequence[Any], attempt_rows: Sequence[Any], output_rows: Sequence[Any]) -> list[str]:
    """Jobs that are not final, or succeeded without an image, and attempts left open."""
    with_file = {row.attempt_id for row in output_rows if row.path}
    unfinished = [f"{row.key}: {row.state}" for row in job_rows if State(row.state) not in FINAL]
    empty = [
        f"{row.key}: succeeded without a file"
        for row in job_rows
        if row.state == State.SUCCEEDED and row.attempt_id not in with_file
    ]
    left_open = [f"attempt {row.id}: {row.phase}" for row in attempt_rows if Phase(row.phase) in OPEN_PHASES]
    return unfinished + empty + left_open


def _duplicated(
    job_rows: Sequence[Any], ledger: Sequence[Mapping[str, Any]], known: Mapping[str, Any]
) -> list[str]:
    """Jobs for which the API billed more than one prediction that it did not fail itself."""
    by_digest = {marker.digest(row.input): row.key for row in job_rows}
    bought: Counter[str] = Counter()
    for line in ledger:
        if line["fate"] in FAILED_THERE:
            continue
        row = known.get(line["id"])
        digest = row.input_digest if row else marker.digest(line["input"])
        bought[by_digest.get(digest, digest)] += 1
    return [f"{key}: bought {n} times" for key, n in bought.items() if n > 1]


def _wrong_files(output_rows: Sequence[Any], output: Path) -> list[str]:
    """Files that are missing, broken or not what the row says; temporary ones; and files without a row."""
    wrong = []
    listed = {row.path for row in output_rows if row.path}
    for row in output_rows:
        if row.path is None:
            continue
        content = (output / row.path).read_bytes()
        facts = images.inspect(content)
        told = (row.bytes, row.sha256, row.width, row.height)
        if told != (len(content), hashlib.sha256(content).hexdigest(), facts.width, facts.height):
            wrong.append(f"{row.path}: not what its row says")
    here = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    return wrong + sorted(here - listed)
