"""Which look-ups in the list are due: for sends in doubt, and for predictions that no attempt records."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, database, lifecycle, settings
from jobs.lanes import SLICE, Lane
from jobs.states import State
from jobs.tables import jobs
from jobs.worklists import recalling
from scheduler.duties import allowance
from scheduler.duties.messages import Message
from scheduler.duties.scope import Scope, all_due

_RUNS_ANY = sa.select(
    sa.exists().where(jobs.c.state == State.RUNNING, jobs.c.due_at.is_not(None), lifecycle.OF_ACCOUNTS)
)


def reconcile(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have sends in doubt looked up once they have settled."""
    ids = db.unit(lambda tx: _in_doubt(tx, configured, scope))
    if ids:  # one walk serves them all
        yield Message(Lane.RECONCILE, ids[: SLICE[Lane.RECONCILE]], scope.account_id)


def _in_doubt(tx: sa.Connection, configured: settings.Settings, scope: Scope) -> list[int]:
    """Claim what is due; while the API is away a walk is a probe of several calls, for where no poll can be one.

    A walk takes more reads than one is left, and what it took is counted afterwards. So it waits for that debt, and
    while the API asks to wait: it would only be told to wait for longer, and everything else with it.
    """
    now = database.now(tx)
    account = allowance.refilled(tx, now, configured, scope)
    if account.must_wait(now):
        return []
    if not account.breaker.is_away:
        owes = account.reads_tokens < 1
        return [] if owes else all_due(tx, now, configured, scope, State.UNCONFIRMED)
    told = {"accounts": scope.seat.answers_for}
    if not allowance.may_probe(account, now) or tx.execute(_RUNS_ANY, told).scalar_one():
        return []
    ids = all_due(tx, now, configured, scope, State.UNCONFIRMED)
    if ids:  # otherwise the probe is left to a purchase
        allowance.probed(tx, now, account, configured)
    return ids


def sweep(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have the list searched, now and then, for predictions of ours that no attempt records.

    Sent as a look-up without ids: its walk serves sends in doubt as well.
    """
    if db.unit(lambda tx: _sweeps(tx, configured, scope)):
        yield Message(Lane.RECONCILE, [], scope.account_id)


def sweep_now(db: database.Database, configured: settings.Settings, scope: Scope) -> bool:
    """Whether a sweep may begin now even if none is due: at the end of a batch a last one is wanted."""
    return db.unit(lambda tx: _sweeps(tx, configured, scope, early=True))


def _sweeps(tx: sa.Connection, configured: settings.Settings, scope: Scope, *, early: bool = False) -> bool:
    now = database.now(tx)
    account = allowance.refilled(tx, now, configured, scope)
    if not allowance.reads(account, now) or not may_sweep(tx, now, account, configured, early=early):
        return False
    accounts.sweep_again(tx, account.id, now + timedelta(seconds=configured.times.lease))
    return True


def may_sweep(
    tx: sa.Connection,
    now: datetime,
    account: accounts.Account,
    configured: settings.Settings,
    *,
    early: bool = False,
) -> bool:
    """Whether a sweep is due, or may begin ``early``, leaving aside whether there are reads for it."""
    if account.can_list is False or account.breaker.is_away:
        return False
    if allowance.is_fresh_doubt(account, now, configured):
        return False
    if not early and account.sweep_at is not None and account.sweep_at > now:
        return False
    return recalling.may_lack(tx, account, configured.times)
