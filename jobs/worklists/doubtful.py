"""Sends that may or may not have arrived, and jobs whose sends could be taken for one another's."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs.failures import FailureClass
from jobs.lifecycle import Fence
from jobs.states import Phase, State
from jobs.tables import accounts, attempts, batches, jobs


@dataclass(frozen=True, slots=True)
class Case:
    """An attempt in doubt."""

    fence: Fence
    account_id: int
    sent: Mapping[str, Any]
    intended_at: datetime
    sent_at: datetime
    sent_before: bool  # an earlier send of the job was given up: what turns up now may be that send's
    own_seed: bool  # of our making, so that no other send has it
    may_resubmit: bool  # without proof: the batch's setting allows it, and the job has not used it before


_OTHER = attempts.alias("other")
_PRESUMED = sa.exists().where(_OTHER.c.job_id == attempts.c.job_id, _OTHER.c.possibly_paid)
_GIVEN_UP = sa.exists().where(
    _OTHER.c.job_id == attempts.c.job_id,
    (_OTHER.c.phase == Phase.ABSENT) | (_OTHER.c.error_class == FailureClass.UNCONFIRMED),
)
_CASES = (
    sa.select(
        attempts.c.id, attempts.c.job_id, attempts.c.account_id, attempts.c.input,
        attempts.c.intended_at, attempts.c.sent_at, _PRESUMED.label("presumed"), _GIVEN_UP.label("given_up"),
        batches.c.options, jobs.c.own_seed,
    )
    .join(jobs, jobs.c.attempt_id == attempts.c.id)
    .join(batches, batches.c.id == jobs.c.batch_id)
    .where(
        jobs.c.state == State.UNCONFIRMED,
        jobs.c.due_at.is_not(None),
        attempts.c.phase == Phase.UNCONFIRMED,
        attempts.c.account_id.in_(sa.bindparam("accounts", expanding=True)),
    )
    .order_by(attempts.c.intended_at)
)  # fmt: skip


def cases(tx: sa.Connection, of: Collection[int]) -> list[Case]:
    """Return every attempt of these accounts in doubt, oldest first: one walk of the list serves them all."""
    rows = tx.execute(_CASES, {"accounts": of})
    return [
        Case(
            Fence(r.job_id, r.id), r.account_id, r.input, r.intended_at, r.sent_at or r.intended_at,
            sent_before=r.given_up,
            own_seed=r.own_seed,
            may_resubmit=not r.presumed and r.options.get("when_unconfirmed") != "hold",
        )
        for r in rows
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seeded:
    """A job handed out whose seed a person chose: others may differ from it only in their images."""

    job: int
    image: str
    images_root: str


def seeded(tx: sa.Connection, ids: Collection[int]) -> list[Seeded]:
    """Return which of these jobs may have twins, except those that may have killed a worker."""
    rows = tx.execute(
        sa.select(jobs.c.id, jobs.c.image, batches.c.options)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            jobs.c.id.in_(ids), jobs.c.state == State.QUEUED, jobs.c.own_seed.is_(False), jobs.c.crashes == 0
        )
    )
    return [Seeded(row.id, row.image, row.options["images_root"]) for row in rows]


_UNSETTLED = (
    sa.select(attempts.c.input)
    .join(jobs, jobs.c.attempt_id == attempts.c.id)  # a job's state is its open attempt's phase
    .where(
        jobs.c.state.in_([State.SUBMITTING, State.UNCONFIRMED]),
        jobs.c.due_at.is_not(None),
        attempts.c.account_id.in_(sa.select(accounts.c.id).where(accounts.c.api == sa.bindparam("api"))),
    )
)


def unsettled(tx: sa.Connection, api: str) -> list[Mapping[str, Any]]:
    """Return the input of every unsettled attempt at an API.

    Of all accounts: two tokens may share one list, which then shows each what the other has sent.
    """
    return list(tx.execute(_UNSETTLED, {"api": api}).scalars())
