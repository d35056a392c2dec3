"""What a webhook changes: the job that waits for its prediction is polled soon. The only writer of `hints`.

It never changes more than that. How the prediction stands is read from the API, as at any other look, so a
webhook that is lost, doubled, late or forged costs one look at most.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, dialects, figures, lifecycle, tables
from jobs.lifecycle import Fence
from jobs.settings.times import Times
from jobs.states import Phase
from jobs.tables import attempts, hints

_KEPT = timedelta(hours=24)
_LATELY = timedelta(hours=1)
_EXPECTED = 10  # predictions that ended; of one or two, a webhook may be on its way


@dataclass(frozen=True, slots=True)
class Hint:
    """A webhook whose signature was right."""

    webhook_id: str
    prediction_id: str


def take(tx: sa.Connection, now: datetime, apis: Collection[str], some: Sequence[Hint], times: Times) -> int:
    """Make running jobs at these APIs due now if they wait for these predictions; return how many there were.

    A hint may arrive before the purchase's answer is committed. No attempt has its prediction's id yet, and
    the hint is lost. That does no harm: the job is still polled, only later.
    """
    waiting = _waiting(tx, apis, _not_known(tx, now, some))
    # Write all jobs before any account: the tick and the tasks need the account rows too, and lock them briefly.
    for _account_id, fences in sorted(waiting.items()):
        lifecycle.look_sooner(tx, fences, now)
    for account_id in sorted(waiting):
        accounts.hinted(tx, now, account_id, timedelta(seconds=times.poll_first))
    return sum(map(len, waiting.values()))


def missed(tx: sa.Connection, now: datetime) -> str:
    """Say that predictions end and no webhook comes, and what to do; empty if there is no sign of it.

    Nothing is lost by that, so nobody would notice: they are polled as if there were no webhooks.
    """
    last: datetime | None = tx.execute(sa.select(sa.func.max(hints.c.received_at))).scalar_one()
    since = max(now - _LATELY, last or now - _LATELY)
    ended = (
        sa.select(attempts.c.id)
        .where(
            attempts.c.account_id.in_(sa.select(tables.accounts.c.id)),  # as `attempts_by_age` needs it
            attempts.c.intended_at > since,
            attempts.c.produced_at.is_not(None),
        )
        .limit(_EXPECTED)
    )
    if len(tx.execute(ended).all()) < _EXPECTED:
        return ""
    when = f"since {figures.moment(last)}" if last else "yet"
    return (
        f"none has come {when}, and predictions have ended: is `overnight webhook` running, "
        "and does OVERNIGHT_WEBHOOK_URL lead to it?"
    )


def _not_known(tx: sa.Connection, now: datetime, some: Sequence[Hint]) -> Collection[str]:
    """Store these webhooks and delete old ones; return the predictions of those not seen before."""
    tx.execute(sa.delete(hints).where(hints.c.received_at < now - _KEPT))
    by_id = {hint.webhook_id: hint.prediction_id for hint in some}
    noted = dialects.insert(tx, hints).values(
        [{"webhook_id": one, "received_at": now} for one in sorted(by_id)]
    )
    new = tx.execute(noted.on_conflict_do_nothing().returning(hints.c.webhook_id)).scalars()
    return {by_id[one] for one in new}


def _waiting(
    tx: sa.Connection, apis: Collection[str], predictions: Collection[str]
) -> dict[int, list[Fence]]:
    """Return, by account at these APIs, the running attempts that have one of these predictions."""
    rows = tx.execute(
        sa.select(attempts.c.account_id, attempts.c.job_id, attempts.c.id)
        .join(tables.accounts, tables.accounts.c.id == attempts.c.account_id)
        .where(
            attempts.c.prediction_id.in_(predictions),
            attempts.c.phase == Phase.RUNNING,
            tables.accounts.c.api.in_(apis),
        )
    )
    found: dict[int, list[Fence]] = defaultdict(list)
    for account_id, job_id, attempt_id in rows:
        found[account_id].append(Fence(job_id, attempt_id))
    return found
