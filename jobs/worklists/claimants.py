"""Whose a prediction in the API's list may be that no attempt records: an attempt's without an id, or a job's."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs import marker
from jobs.failures import FailureClass
from jobs.lifecycle import Fence
from jobs.states import UNSETTLED_PHASES, Phase
from jobs.tables import attempts, batches, jobs

_AT_ONCE = 5000  # parameters of one statement; databases accept some ten thousand


@dataclass(frozen=True, slots=True)
class Trace:
    """A settled attempt that a prediction in the list may stem from."""

    fence: Fence
    sent: Mapping[str, Any]
    prediction_id: str | None
    own_seed: bool
    refused: bool = False  # the API answered that it sells nothing, or nothing was sent


def traces(tx: sa.Connection, account_id: int, digests: Collection[str], since: datetime) -> list[Trace]:
    """Return attempts whose sends could explain unknown predictions: same digest, or closed since without an answer.

    An attempt still in doubt explains nothing yet: first it is adopted or found absent.
    """
    ended = (
        sa.select(
            attempts.c.id, attempts.c.job_id, attempts.c.number, attempts.c.input, attempts.c.prediction_id,
            attempts.c.account_id, attempts.c.phase, jobs.c.own_seed, jobs.c.key, jobs.c.input.label("wanted"),
            batches.c.uuid,
        )
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(attempts.c.phase.not_in(UNSETTLED_PHASES))
    )  # fmt: skip
    # Two queries, the one by digest without the account: SQLite would scan all attempts of the account.
    unanswered = (attempts.c.phase == Phase.ABSENT) | (attempts.c.error_class == FailureClass.UNCONFIRMED)
    given_up = ended.where(attempts.c.account_id == account_id, unanswered, attempts.c.intended_at >= since)
    some = list(digests)
    same = [
        ended.where(attempts.c.input_digest.in_(some[start : start + _AT_ONCE]))
        for start in range(0, len(some), _AT_ONCE)
    ]
    rows = {row.id: row for query in (*same, given_up) for row in tx.execute(query)}
    return [
        Trace(Fence(r.job_id, r.id), r.input, r.prediction_id, _had_own_seed(r), r.phase == Phase.REFUSED)
        for _, r in sorted(rows.items())
        if r.account_id == account_id
    ]


def _had_own_seed(row: Any) -> bool:
    """Whether an attempt was sent with a seed of our making; since then its job may have been given another."""
    sent = row.input.get("seed")
    if sent == row.wanted.get("seed"):
        return bool(row.own_seed)
    return marker.is_own(sent, row.uuid, row.key, row.number)


@dataclass(frozen=True, slots=True)
class Owner:
    """A job whose own seed a prediction has."""

    job: int
    wanted: Mapping[str, Any]


def owners(
    tx: sa.Connection, api: str, seeds: Sequence[int], among: Collection[int] | None = None
) -> list[Owner]:
    """Return the jobs at an API, or ``among`` some of its jobs, that have one of these seeds as their own.

    Scans all jobs if it is not told among which, so only for a few seeds, and not where a writer would have to wait.
    """
    found: list[Owner] = []
    some = sa.true() if among is None else jobs.c.id.in_(among)
    for start in range(0, len(seeds), _AT_ONCE):
        rows = tx.execute(
            sa.select(jobs.c.id, jobs.c.input).where(
                some,
                jobs.c.own_seed,
                sa.cast(jobs.c.input["seed"], sa.Text).in_(
                    [str(one) for one in seeds[start : start + _AT_ONCE]]
                ),
                jobs.c.batch_id.in_(sa.select(batches.c.id).where(batches.c.api == api)),
            )
        )
        found += [Owner(row.id, row.input) for row in rows]
    return found
