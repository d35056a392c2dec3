"""Which look-ups in the list are due: for sends in doubt, and for predictions that no attempt records."""

from collections.abc import Iterator

import sqlalchemy as sa

from jobs import accounts, database, lifecycle, settings, worklists
from jobs.lanes import SLICE, Lane
from jobs.states import State
from jobs.tables import jobs
from scheduler.duties import allowance, turns
from scheduler.duties.messages import Message
from scheduler.duties.turns import Scope, Turn

_RUNS_ANY = sa.select(
    sa.exists().where(jobs.c.state == State.RUNNING, jobs.c.due_at.is_not(None), lifecycle.OF_ACCOUNTS)
)


def reconcile(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have sends in doubt looked up once they have settled."""
    ids = db.unit(lambda tx: _in_doubt(turns.locked(tx, configured, scope)))
    if ids:  # one walk serves them all
        yield Message(Lane.RECONCILE, ids[: SLICE[Lane.RECONCILE]], scope.account_id)


def _in_doubt(turn: Turn) -> list[int]:
    """Claim what is due; while the API is away a walk is a probe of several calls, for where no poll can be one.

    A walk takes more reads than one is left, and what it took is counted afterwards. So it waits for that debt, and
    while the API asks to wait: it would only be told to wait for longer, and everything else with it.
    """
    account = turn.account
    if account.must_wait(turn.now):
        return []
    if not account.breaker.is_away:
        owes = account.reads_tokens < 1
        return [] if owes else turn.hand_out(State.UNCONFIRMED)
    told = {"accounts": turn.scope.seat.answers_for}
    if not allowance.may_probe(turn) or turn.tx.execute(_RUNS_ANY, told).scalar_one():
        return []
    ids = turn.hand_out(State.UNCONFIRMED)
    if ids:  # otherwise the probe is left to a purchase
        allowance.probed(turn)
    return ids


def sweep(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have the list searched, now and then, for predictions of ours that no attempt records.

    Sent as a look-up without ids: its walk serves sends in doubt as well.
    """
    if db.unit(lambda tx: _sweeps(turns.locked(tx, configured, scope))):
        yield Message(Lane.RECONCILE, [], scope.account_id)


def sweep_now(db: database.Database, configured: settings.Settings, scope: Scope) -> bool:
    """Whether a sweep may begin now even if none is due: at the end of a batch a last one is wanted."""
    return db.unit(lambda tx: _sweeps(turns.locked(tx, configured, scope), early=True))


def _sweeps(turn: Turn, *, early: bool = False) -> bool:
    if not allowance.reads(turn) or not may_sweep(turn, early=early):
        return False
    accounts.sweep_again(turn.tx, turn.account.id, turn.now + turn.lease)
    return True


def may_sweep(turn: Turn, *, early: bool = False) -> bool:
    """Whether a sweep is due, or may begin ``early``, leaving aside whether there are reads for it."""
    account = turn.account
    if account.can_list is False or account.breaker.is_away or allowance.is_fresh_doubt(turn):
        return False
    if not early and account.sweep_at is not None and account.sweep_at > turn.now:
        return False
    return worklists.may_lack(turn.tx, account, turn.times)
