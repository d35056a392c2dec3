"""Everything known about one job: its row, attempts and files. Reads only; `waits` says what it waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs import accounts, batches, database, lifecycle
from jobs.batches import Batch
from jobs.states import Phase, State
from jobs.tables import accounts as buyers
from jobs.tables import attempts, jobs, outputs


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as its row stands."""

    id: int
    key: str
    row: int | None
    image: str
    input: Mapping[str, Any]
    version: str
    own_seed: bool
    labels: Mapping[str, str]
    priority: int
    state: State
    due_at: datetime | None
    attempt_id: int | None
    attempts: int
    absences: int
    cancel_requested_at: datetime | None
    error_class: str | None
    error_message: str | None
    refused: bool  # its row was, when it was loaded: see `lifecycle.ACCEPTED`
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to buy the job's prediction."""

    id: int
    number: int
    account: str
    phase: Phase
    input: Mapping[str, Any]
    prediction_id: str | None
    intended_at: datetime
    sent_at: datetime | None
    accepted_at: datetime | None
    produced_at: datetime | None
    absent_at: datetime | None
    finished_at: datetime | None
    cancel_sent_at: datetime | None
    cancel_refused: str | None
    predict_time: float | None  # seconds
    cost: float | None
    possibly_paid: bool
    error_class: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class File:
    """One image that an attempt made; ``path`` is relative to OUTPUT and None until it is fetched."""

    attempt_id: int
    index: int
    path: str | None
    media_type: str | None
    bytes: int | None
    width: int | None
    height: int | None
    sha256: str | None
    collected_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dossier:
    """A job with its history, at one moment."""

    batch: Batch
    job: Job
    attempts: Sequence[Attempt]
    files: Sequence[File]
    at: datetime

    @property
    def name(self) -> str:
        return f"{self.batch.name}/{self.job.key}"

    @property
    def current(self) -> Attempt | None:
        """The attempt that the job's fence names."""
        return next((one for one in self.attempts if one.id == self.job.attempt_id), None)


def read(tx: sa.Connection, job_id: int) -> Dossier:
    """Collect what is known about a job."""
    refused = (~lifecycle.ACCEPTED).label("refused")
    of_job: sa.Select[Any] = sa.select(*_columns(Job, jobs), refused, jobs.c.batch_id).where(
        jobs.c.id == job_id
    )
    tries: sa.Select[Any] = (
        sa.select(*_columns(Attempt, attempts), buyers.c.name, buyers.c.label)
        .join(buyers, buyers.c.id == attempts.c.account_id)
        .where(attempts.c.job_id == job_id)
        .order_by(attempts.c.number)
    )
    files: sa.Select[Any] = (
        sa.select(*_columns(File, outputs))
        .where(outputs.c.job_id == job_id)
        .order_by(outputs.c.attempt_id, outputs.c["index"])
    )
    job = dict(tx.execute(of_job).mappings().one())
    return Dossier(
        batch=batches.get(tx, job.pop("batch_id")),
        job=Job(**job | {"state": State(job["state"])}),
        attempts=[_attempt(row) for row in tx.execute(tries).mappings()],
        files=[File(**row) for row in tx.execute(files).mappings()],
        at=database.now(tx),
    )


def _attempt(row: sa.RowMapping) -> Attempt:
    told = dict(row)
    account = accounts.shown(told.pop("name"), told.pop("label"))
    return Attempt(**told | {"phase": Phase(row["phase"]), "account": account})


def _columns(record: type, table: sa.Table) -> list[sa.Column[Any]]:
    """Return the columns for which a record has a field."""
    return [column for column in table.c if column.name in record.__annotations__]
