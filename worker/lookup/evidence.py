"""Is the list to be believed? Whether it shows what we sent, how far behind it is, and whether it is ours at all.

Judged by predictions that we know: an absence from a list that hides or lacks those means nothing.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from jobs import accounts, marker, worklists
from jobs.worklists import recalling
from worker import process
from worker.lookup import walk

log = structlog.get_logger(__name__)


def learn(
    here: process.Process, tx: sa.Connection, taken: walk.Walk, known: set[str], started: datetime
) -> accounts.Account:
    """Remember what a walk shows of the list, and return the account as it is known now."""
    account = accounts.get(tx, here.account.id)
    learned = accounts.list_learned(
        tx, account, echoes=_echoes(here, tx, taken, known, started), lag=_lag(here, tx, taken, started)
    )
    if learned.list_echoes is False and account.list_echoes is not False:
        log.warning("list-hides-inputs", api=account.api)
    return learned


def _echoes(
    here: process.Process, tx: sa.Connection, taken: walk.Walk, known: set[str], started: datetime
) -> bool | None:
    """Whether each witness shows what was sent for it; None without one. What the API has deleted is none."""
    shown = [p for p in taken.seen.values() if p.id in known and not p.data_removed][: walk.WITNESSES]
    fresh = started - timedelta(seconds=here.times.proof_window)
    sent = recalling.sent(tx, here.account.id, [p.id for p in shown], fresh)
    found = [marker.matches(sent[p.id], p.input) for p in shown if p.id in sent]
    return all(found) if found else None


def _lag(here: process.Process, tx: sa.Connection, taken: walk.Walk, started: datetime) -> float:
    """Return for how many seconds a purchase has been missing; what is missing for longer has been deleted."""
    since = started - timedelta(seconds=here.times.settle)
    if not taken.covers(since):
        return 0.0
    bought = recalling.bought(tx, here.account.id, since, started)
    missing = [(started - at).total_seconds() for one, at in bought.items() if not taken.showed(one)]
    return max(missing, default=0.0)


def shows_ours(here: process.Process, tx: sa.Connection, taken: walk.Walk, since: datetime) -> bool:
    """Whether an absence from this walk means anything: what must be in the list is there."""
    tolerated = timedelta(seconds=here.times.list_margin / 2)
    expected = worklists.first_known(tx, here.account.id, since - tolerated)
    if not expected or any(taken.showed(one) for one in expected):
        return True
    log.warning("list-lacks-ours", expected=expected[0], pages=taken.pages)
    return False
