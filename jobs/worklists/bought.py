"""What an account is known to have bought: predictions that its API's list must show, or that explain what it shows."""

from collections.abc import Collection, Iterator, Mapping, Sequence
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
_WITNESSES = 20  # one prediction may have been deleted by hand


@dataclass(frozen=True, slots=True)
class Trace:
    """A settled attempt that a prediction in the list may stem from."""

    fence: Fence
    sent: Mapping[str, Any]
    prediction_id: str | None
    own_seed: bool
    refused: bool = False  # the API answered that it sells nothing, or nothing was sent


def known(tx: sa.Connection, prediction_ids: Sequence[str]) -> set[str]:
    """Return which of these predictions `attempts` already records."""
    return {row.prediction_id for row in _of(tx, prediction_ids)}


def bought_by(tx: sa.Connection, account_id: int, prediction_ids: Sequence[str]) -> dict[str, int]:
    """Return those of a page's predictions that an account is known to have bought, each with its attempt."""
    # Filtered here: SQLite would scan all attempts of the account.
    return {row.prediction_id: row.id for row in _of(tx, prediction_ids) if row.account_id == account_id}


def _of(tx: sa.Connection, prediction_ids: Sequence[str]) -> Iterator[Any]:
    """Yield what `attempts` records of these predictions; an API may list any number on a page."""
    columns = attempts.c.prediction_id, attempts.c.id, attempts.c.account_id
    for start in range(0, len(prediction_ids), _AT_ONCE):
        some = prediction_ids[start : start + _AT_ONCE]
        yield from tx.execute(sa.select(*columns).where(attempts.c.prediction_id.in_(some)))


def first_known(tx: sa.Connection, account_id: int, since: datetime) -> list[tuple[str, int]]:
    """Return the first predictions bought since a moment, with their attempts: a list back to then must show them."""
    query = (
        sa.select(attempts.c.prediction_id, attempts.c.id)
        .where(
            attempts.c.account_id == account_id,
            attempts.c.intended_at >= since,
            attempts.c.prediction_id.is_not(None),
        )
        .order_by(attempts.c.intended_at)
        .limit(_WITNESSES)
    )
    return [(row.prediction_id, row.id) for row in tx.execute(query)]


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


def witness(tx: sa.Connection, account_id: int, than: Collection[str] = ()) -> str | None:
    """Return the account's latest prediction other ``than`` these: anything that is the API must know it."""
    found: str | None = tx.execute(
        sa.select(attempts.c.prediction_id)
        .where(
            attempts.c.account_id == account_id,
            attempts.c.prediction_id.is_not(None),
            attempts.c.prediction_id.not_in(than),
        )
        .order_by(attempts.c.intended_at.desc())
        .limit(1)
    ).scalar_one_or_none()
    return found
