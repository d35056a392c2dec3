"""What a worker needs to know of the rows it was handed. Reads only; a row that moved on meanwhile is left out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs import lifecycle
from jobs.failures import FailureClass
from jobs.lifecycle import Fence
from jobs.states import UNSETTLED_PHASES, Phase, State
from jobs.tables import accounts, attempts, batches, jobs, outputs

_AT_ONCE = 5000  # parameters of one statement; a database takes some ten thousand
_WITNESSES = 20  # one prediction may have been deleted by hand


@dataclass(frozen=True, slots=True)
class Running:
    """A prediction to ask for."""

    fence: Fence
    account_id: int
    prediction_id: str
    version: str
    attempts: int  # accepted predictions of the job, this one included
    accepted_at: datetime
    cancel_requested: bool
    cancel_sent: bool


@dataclass(frozen=True, slots=True)
class Output:
    """One image still to fetch; ``url`` is None when the reply carried the image itself."""

    index: int
    url: str | None


@dataclass(frozen=True, slots=True)
class Collecting:
    """A paid prediction whose images are not all on disk."""

    fence: Fence
    name: str  # BATCH/KEY
    prediction_id: str
    produced_at: datetime
    stem: str  # the files' name below OUTPUT, without index and suffix
    missing: tuple[Output, ...]
    misses: int  # earlier looks that did not bring them all
    suspect: bool  # a worker that had it before fell silent


@dataclass(frozen=True, slots=True)
class Case:
    """An attempt in doubt."""

    fence: Fence
    account_id: int
    sent: Mapping[str, Any]
    intended_at: datetime
    sent_at: datetime
    sent_before: bool  # a send of the same job was taken for absent: what turns up now may be that one's
    may_resubmit: bool  # without proof: the batch's owner chose so, and it was not done for this job before


def running(tx: sa.Connection, of: Collection[int], ids: Collection[int]) -> list[Running]:
    """Return the jobs among ``ids`` that run at these accounts, with their predictions; nobody else knows those."""
    rows = tx.execute(
        sa.select(
            jobs.c.id, jobs.c.attempt_id, jobs.c.version, jobs.c.attempts, jobs.c.cancel_requested_at,
            attempts.c.account_id, attempts.c.prediction_id, attempts.c.accepted_at, attempts.c.cancel_sent_at,
        )
        .join(attempts, attempts.c.id == jobs.c.attempt_id)
        .where(jobs.c.id.in_(ids), jobs.c.state == State.RUNNING, lifecycle.of_accounts(of))
    )  # fmt: skip
    return [
        Running(
            Fence(row.id, row.attempt_id), row.account_id, row.prediction_id, row.version, row.attempts,
            row.accepted_at, row.cancel_requested_at is not None, row.cancel_sent_at is not None,
        )
        for row in rows
    ]  # fmt: skip


def running_as(tx: sa.Connection, of: Collection[int], prediction_ids: Collection[str]) -> list[Running]:
    """Return the jobs that wait for one of these predictions of these accounts."""
    waiting = sa.select(attempts.c.job_id).where(attempts.c.prediction_id.in_(prediction_ids))
    # Their jobs first: with the ids alone SQLite may look through all jobs for what is running.
    ids = set(tx.execute(waiting).scalars())
    wanted = frozenset(prediction_ids)
    return [row for row in running(tx, of, ids) if row.prediction_id in wanted]


def due(tx: sa.Connection, account_id: int, now: datetime, most: int) -> list[tuple[int, datetime]]:
    """Return (job, intent) of running predictions of an account that are due, the oldest first; not beyond ``most``."""
    some = (
        sa.select(jobs.c.id, jobs.c.attempt_id)
        .where(jobs.c.state == State.RUNNING, jobs.c.due_at <= now, lifecycle.of_accounts([account_id]))
        .limit(most)
        .subquery()
    )
    rows = tx.execute(
        sa.select(some.c.id, attempts.c.intended_at)
        .join_from(some, attempts, attempts.c.id == some.c.attempt_id)
        .order_by(attempts.c.intended_at)
    )
    return [(job, intended_at) for job, intended_at in rows]


def begun_since(tx: sa.Connection, account_id: int, since: datetime, most: int) -> int:
    """Return how many purchases an account has begun since a moment; not beyond ``most``."""
    some = (
        sa.select(attempts.c.id)
        .where(attempts.c.account_id == account_id, attempts.c.intended_at >= since)
        .limit(most)
        .subquery()
    )
    return tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()


def begun_lately(
    tx: sa.Connection, account_id: int, now: datetime, seconds: float, most: int
) -> tuple[int, float]:
    """Return how many purchases an account has begun in the last seconds, and the first of them how long ago."""
    some = (
        sa.select(attempts.c.intended_at)
        .where(
            attempts.c.account_id == account_id, attempts.c.intended_at >= now - timedelta(seconds=seconds)
        )
        .limit(most)
        .subquery()
    )
    row = tx.execute(sa.select(sa.func.count(), sa.func.min(some.c.intended_at)).select_from(some)).one()
    return row[0], (now - row[1]).total_seconds() if row[0] else seconds


def unwanted(
    tx: sa.Connection,
    now: datetime,
    of: Collection[int],
    most: int,
    *,
    overdue: timedelta,
    again: timedelta,
) -> list[tuple[int, str]]:
    """Return (attempt, prediction) of what runs and should not: cancelled by a person, or ``overdue`` since its sale.

    A person is obeyed ``again`` and again, until the prediction's own end is seen.
    """
    running = (
        sa.select(attempts.c.id, attempts.c.prediction_id)
        .join(jobs, jobs.c.attempt_id == attempts.c.id)
        .where(jobs.c.state == State.RUNNING, lifecycle.of_accounts(of))
        .limit(most)
    )
    wished = running.where(
        jobs.c.cancel_requested_at.is_not(None),
        attempts.c.cancel_sent_at.is_(None) | (attempts.c.cancel_sent_at < now - again),
    )
    late = running.where(
        jobs.c.due_at <= now + again,
        attempts.c.accepted_at < now - overdue,
        attempts.c.cancel_sent_at.is_(None),
    )
    return [(row[0], row[1]) for query in (wished, late) for row in tx.execute(query)]


def cancel_requested(tx: sa.Connection, ids: Collection[int]) -> set[int]:
    """Return which of these jobs a person has cancelled."""
    query = sa.select(jobs.c.id).where(jobs.c.id.in_(ids), jobs.c.cancel_requested_at.is_not(None))
    return set(tx.execute(query).scalars()) if ids else set()


def collecting(tx: sa.Connection, of: Collection[int], ids: Collection[int]) -> list[Collecting]:
    """Return the jobs among ``ids`` with images of these accounts to fetch, what expires first first."""
    # An earlier attempt's images may be fewer than it promised; they are kept all the same.
    generation = (
        sa.select(sa.func.count(outputs.c.attempt_id.distinct()))
        .where(
            outputs.c.job_id == jobs.c.id,
            outputs.c.attempt_id != jobs.c.attempt_id,
            outputs.c.path.is_not(None),
        )
        .scalar_subquery()
    )
    rows = tx.execute(
        sa.select(
            jobs.c.id, jobs.c.attempt_id, jobs.c.key, jobs.c.stem, batches.c.name, batches.c.folder,
            attempts.c.prediction_id, attempts.c.produced_at, attempts.c.misses,
            generation.label("generation"), jobs.c.crashes,
        )
        .join(attempts, attempts.c.id == jobs.c.attempt_id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(jobs.c.id.in_(ids), jobs.c.state == State.COLLECTING, lifecycle.of_accounts(of))
        .order_by(attempts.c.produced_at)
    ).all()  # fmt: skip
    missing = _missing(tx, [row.attempt_id for row in rows])
    return [
        Collecting(
            Fence(row.id, row.attempt_id), f"{row.name}/{row.key}", row.prediction_id, row.produced_at,
            _stem(row.folder, row.stem, row.generation), tuple(missing.get(row.attempt_id, ())), row.misses,
            suspect=row.crashes > 1,  # handing it out is counted until it is answered
        )
        for row in rows
    ]  # fmt: skip


def _stem(folder: str, stem: str, earlier: int) -> str:
    """Name the files so that those of earlier attempts stay."""
    return f"{folder}/{stem}" if not earlier else f"{folder}/{stem}.{earlier + 1}"


def _missing(tx: sa.Connection, attempt_ids: Sequence[int]) -> dict[int, list[Output]]:
    rows = tx.execute(
        sa.select(outputs.c.attempt_id, outputs.c["index"], outputs.c.url)
        .where(outputs.c.attempt_id.in_(attempt_ids), outputs.c.path.is_(None))
        .order_by(outputs.c["index"])
    )
    found: dict[int, list[Output]] = {}
    for attempt_id, index, url in rows:
        found.setdefault(attempt_id, []).append(Output(index, url))
    return found


def cases(tx: sa.Connection, of: Collection[int]) -> list[Case]:
    """Return every attempt of these accounts that is in doubt, the oldest first: one walk of the list serves all."""
    other = attempts.alias("other")
    presumed = sa.exists().where(other.c.job_id == attempts.c.job_id, other.c.possibly_paid)
    given_up = sa.exists().where(other.c.job_id == attempts.c.job_id, other.c.phase == Phase.ABSENT)
    rows = tx.execute(
        sa.select(
            attempts.c.id, attempts.c.job_id, attempts.c.account_id, attempts.c.input,
            attempts.c.intended_at, attempts.c.sent_at, presumed.label("presumed"), given_up.label("given_up"),
            batches.c.options,
        )
        .join(jobs, jobs.c.attempt_id == attempts.c.id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            jobs.c.state == State.UNCONFIRMED,
            jobs.c.due_at.is_not(None),
            attempts.c.phase == Phase.UNCONFIRMED,
            attempts.c.account_id.in_(of),
        )
        .order_by(attempts.c.intended_at)
    )  # fmt: skip
    return [
        Case(
            Fence(r.job_id, r.id), r.account_id, r.input, r.intended_at, r.sent_at or r.intended_at,
            sent_before=r.given_up,
            may_resubmit=not r.presumed and r.options.get("when_unconfirmed") != "hold",
        )
        for r in rows
    ]  # fmt: skip


def ours(tx: sa.Connection, of: Collection[int], attempt_ids: Collection[int]) -> set[int]:
    """Return which attempts are these accounts': another one would say that it does not know them."""
    query = sa.select(attempts.c.id, attempts.c.account_id).where(attempts.c.id.in_(attempt_ids))
    return {
        row.id for row in tx.execute(query) if row.account_id in of
    }  # SQLite would look through all of theirs


def unsettled(tx: sa.Connection, api: str) -> list[Mapping[str, Any]]:
    """Return what was sent by every attempt at an API of which nobody knows yet whether it was accepted.

    Whichever account sent it: two tokens may share one list, which then shows the one what the other has sent.
    """
    there = sa.select(accounts.c.id).where(accounts.c.api == api)
    rows = tx.execute(
        sa.select(attempts.c.input)
        .join(jobs, jobs.c.attempt_id == attempts.c.id)  # whose state is the phase of its open attempt
        .where(
            jobs.c.state.in_([State.SUBMITTING, State.UNCONFIRMED]),
            jobs.c.due_at.is_not(None),
            attempts.c.account_id.in_(there),
        )
    )
    return list(rows.scalars())


def known(tx: sa.Connection, prediction_ids: Sequence[str]) -> set[str]:
    """Return which of these predictions are in `attempts` already."""
    found: set[str] = set()
    for start in range(0, len(prediction_ids), _AT_ONCE):
        some = prediction_ids[start : start + _AT_ONCE]
        query = sa.select(attempts.c.prediction_id).where(attempts.c.prediction_id.in_(some))
        found.update(tx.execute(query).scalars())
    return found


def bought_since(tx: sa.Connection, account_id: int, since: datetime) -> set[str]:
    """Return the predictions that an account is known to have bought since a moment."""
    query = sa.select(attempts.c.prediction_id).where(
        attempts.c.account_id == account_id,
        attempts.c.intended_at >= since,
        attempts.c.prediction_id.is_not(None),
    )
    return set(tx.execute(query).scalars())


def first_known(tx: sa.Connection, account_id: int, since: datetime) -> list[str]:
    """Return some predictions that a list since a moment must show: the first that the account bought then."""
    query = (
        sa.select(attempts.c.prediction_id)
        .where(
            attempts.c.account_id == account_id,
            attempts.c.intended_at >= since,
            attempts.c.prediction_id.is_not(None),
        )
        .order_by(attempts.c.intended_at)
        .limit(_WITNESSES)
    )
    return list(tx.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class Trace:
    """A closed attempt that a prediction in the list may stem from."""

    fence: Fence
    sent: Mapping[str, Any]
    prediction_id: str | None
    own_seed: bool


def traces(tx: sa.Connection, account_id: int, digests: Collection[str], since: datetime) -> list[Trace]:
    """Return attempts whose sends could explain strange predictions: same digest, or closed since without an answer.

    An attempt that is still in doubt explains nothing yet: it is adopted, or found absent, first.
    """
    ended = (
        sa.select(
            attempts.c.id, attempts.c.job_id, attempts.c.input, attempts.c.prediction_id, jobs.c.own_seed,
            attempts.c.account_id,
        )
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(attempts.c.phase.not_in(UNSETTLED_PHASES))
    )  # fmt: skip
    # Two queries, and the digests asked without their account: SQLite would look through all of the account's.
    unanswered = (attempts.c.phase == Phase.ABSENT) | (attempts.c.error_class == FailureClass.UNCONFIRMED)
    given_up = ended.where(attempts.c.account_id == account_id, unanswered, attempts.c.intended_at >= since)
    some = list(digests)
    same = [
        ended.where(attempts.c.input_digest.in_(some[start : start + _AT_ONCE]))
        for start in range(0, len(some), _AT_ONCE)
    ]
    rows = {row.id: row for query in (*same, given_up) for row in tx.execute(query)}
    return [
        Trace(Fence(r.job_id, r.id), r.input, r.prediction_id, r.own_seed)
        for _, r in sorted(rows.items())
        if r.account_id == account_id
    ]


def witness(tx: sa.Connection, account_id: int) -> str | None:
    """Return a prediction that the API must know if it is one: the account's latest."""
    found: str | None = tx.execute(
        sa.select(attempts.c.prediction_id)
        .where(attempts.c.account_id == account_id, attempts.c.prediction_id.is_not(None))
        .order_by(attempts.c.intended_at.desc())
        .limit(1)
    ).scalar_one_or_none()
    return found
