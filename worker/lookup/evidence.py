"""Whether the list can be trusted: does it show what we sent, how far does it lag, and is it ours at all.

Judged by predictions that we know: absence from a list that hides or lacks those proves nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from jobs import accounts, marker, worklists
from worker import context
from worker.api.replies import Prediction
from worker.lookup import walk

log = structlog.get_logger(__name__)


def learn(
    here: context.Context, tx: sa.Connection, taken: walk.Walk, known: set[str], started: datetime
) -> accounts.Account:
    """Record what a walk shows about the list, and return the account with it."""
    account = accounts.get(tx, here.account.id)
    fresh = started - timedelta(seconds=here.times.proof_window)
    witnesses = _witnesses(here, tx, [p for p in taken.seen.values() if p.id in known], fresh)
    learned = accounts.list_learned(
        tx,
        account,
        echoes=all(marker.matches(sent, p.input) for sent, p in witnesses) if witnesses else None,
        images=_shows_images(witnesses),
        lag=_lag(here, tx, taken, started),
    )
    if learned.list_echoes is False and account.list_echoes is not False:
        log.warning("list-hides-inputs", api=account.api)
    return learned


# What was sent for a known prediction, and what the list shows of it.
_Witness = tuple[Mapping[str, Any], Prediction]


def _witnesses(
    here: context.Context, tx: sa.Connection, shown: Iterable[Prediction], fresh: datetime
) -> list[_Witness]:
    """Return the predictions that show what the list reveals; deleted ones do not."""
    some = [p for p in shown if not p.data_removed][: walk.WITNESSES]
    sent = worklists.inputs(tx, here.account.id, [p.id for p in some], fresh)
    return [(sent[p.id], p) for p in some if p.id in sent]


def _shows_images(witnesses: Iterable[_Witness]) -> bool | None:
    """Whether every image whose digest we know is shown as it was sent; None if we know of none."""
    found = [
        marker.matches(marker.with_image(sent), marker.with_image(p.input))
        for sent, p in witnesses
        if "image" in sent
    ]
    return all(found) if found else None


def _lag(here: context.Context, tx: sa.Connection, taken: walk.Walk, started: datetime) -> float:
    """Return for how many seconds purchases have been missing from the list.

    One that has been missing for longer than the settle time was deleted, unless everything bought after it
    is missing too: then the list lags by that much.
    """
    settling = started - timedelta(seconds=here.times.settle)
    if not taken.covers(settling):
        return 0.0
    long_ago = started - timedelta(seconds=here.times.list_margin)
    since = long_ago if taken.covers(long_ago) else settling
    latest_shown: datetime | None = None
    missing: list[datetime] = []
    for one in worklists.purchases(tx, here.account.id, since, started):
        if not taken.showed(one.prediction_id, one.attempt):
            missing.append(one.accepted_at)
        elif latest_shown is None or latest_shown < one.accepted_at:
            latest_shown = one.accepted_at
    deleted_before = min(latest_shown or settling, settling)
    return max(((started - at).total_seconds() for at in missing if at > deleted_before), default=0.0)


def shows_ours(here: context.Context, tx: sa.Connection, taken: walk.Walk, since: datetime) -> bool:
    """Whether absence from this walk proves anything: what must be in the list is there."""
    tolerated = timedelta(seconds=here.times.list_margin / 2)
    expected = worklists.first_known(tx, here.account.id, since - tolerated)
    if not expected or any(taken.showed(*one) for one in expected):
        return True
    log.warning("list-lacks-ours", expected=expected[0][0], pages=taken.pages)
    return False


def shown_until(
    here: context.Context, tx: sa.Connection, taken: walk.Walk, since: datetime, started: datetime
) -> datetime:
    """Return up to when the list is current; it may yet show what was sent later.

    If known purchases later than the last one shown are missing, that is the last one's time, otherwise the
    walk's start.
    """
    latest = shown = since
    for one in worklists.purchases(tx, here.account.id, since, started):
        latest = max(latest, one.intended_at)
        if taken.showed(one.prediction_id, one.attempt):
            shown = max(shown, one.intended_at)
    return started if shown == latest else shown
