"""Which running predictions to poll now, and by which calls."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, database, lifecycle, polling, settings, worklists
from jobs.accounts import quota
from jobs.lanes import Lane
from jobs.states import State
from scheduler.duties import allowance
from scheduler.duties.messages import Message, sliced
from scheduler.duties.scope import AT_ONCE, Scope

_GLANCED = 2000  # most rows that one look at the list serves
_LATELY = 10.0  # seconds whose purchases show how busy the account is


def poll(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have running predictions polled, by list or one by one, as reads allow; one as a probe while the API is away."""
    alone, listed, pages = db.unit(lambda tx: _polled(tx, configured, scope))
    if listed:
        yield Message(Lane.POLL, listed, scope.account_id, pages)
    yield from sliced(Lane.POLL, alone, scope)


def _polled(
    tx: sa.Connection, configured: settings.Settings, scope: Scope
) -> tuple[list[int], list[int], int]:
    """Hand out what is due: jobs to ask for one by one, jobs to find in the list, and how many pages to read."""
    now = database.now(tx)
    account = allowance.refilled(tx, now, configured, scope)
    reads = allowance.reads(account, now)
    if not reads or is_early(account, now, configured):
        return [], [], 0
    late = allowance.longest_doubt(configured) if allowance.creates_in_doubt(account) else timedelta()
    lease = timedelta(seconds=configured.times.lease)
    moment = now - late
    look, stuck = None, set[int]()
    if _may_glance(account, now):
        look, stuck = _look(tx, account, moment, configured)
        if look and look.calls > reads:  # single answers would use up the reads for ever, and tell less
            return [], [], 0
        pages = look.pages if look else 1
        account = replace(account, poll_at=now + _interval(tx, now, account, configured, pages))
    most = _GLANCED if look else reads
    ids = lifecycle.hand_out(tx, moment, State.RUNNING, most, late + lease, of=scope.seat.answers_for)
    if not look and len(ids) == reads:
        # The rest waits only for reads, which will refill in a moment.
        account = replace(account, poll_at=None)
    if ids:
        accounts.spend(tx, account, creates=0, reads=look.calls if look else len(ids))
        if account.breaker.is_away or (account.breaker.in_doubt and not late):
            allowance.probed(tx, now, account, configured)
    if look is None:
        return ids, [], 0
    return [job for job in ids if job in stuck], [job for job in ids if job not in stuck], look.pages


def is_early(account: accounts.Account, now: datetime, configured: settings.Settings) -> bool:
    """Whether due polls should wait for more to become due, since a page of the list serves them all.

    A `poll_at` further ahead than is ever set dates from before the clock was set back, and is ignored.
    """
    if account.poll_at is None or not _may_glance(account, now):
        return False
    return now < account.poll_at <= now + timedelta(seconds=configured.times.poll_most)


def _look(
    tx: sa.Connection, account: accounts.Account, moment: datetime, configured: settings.Settings
) -> tuple[polling.Look | None, set[int]]:
    """Choose how to look at what is due; also return the jobs that lie too deep in the list."""
    due = worklists.due(tx, account.id, moment, _GLANCED)
    running = worklists.under_way(tx, [account.id]).get(State.RUNNING, 0) if due else 0
    limits = quota.in_force(configured, account.own_limits)
    look = polling.look(
        len(due),
        running,
        lambda n: worklists.begun(tx, account.id, due[n][1], polling.DEEPEST)[0],
        most=int(min(quota.capacity(limits.reads_per_minute), AT_ONCE)),
    )
    return look, {job for job, _ in due[: look.alone]} if look else set()


def _interval(
    tx: sa.Connection,
    now: datetime,
    account: accounts.Account,
    configured: settings.Settings,
    pages: int,
) -> timedelta:
    """Return the time after a look at so many pages: the busier, the shorter, at the same number of calls per job."""
    times = configured.times
    lately = timedelta(seconds=_LATELY * configured.time_scale)
    bought, first = worklists.begun(tx, account.id, now - lately, _GLANCED)
    told = _is_told(account, now, configured)
    seconds = polling.interval(
        bought,
        (now - first).total_seconds(),
        least=times.tick_least,
        most=times.poll_told if told else times.poll_first,
        together=polling.HARVEST_TOLD if told else polling.HARVEST,
    )
    return timedelta(seconds=min(pages * seconds, times.poll_most))


def _is_told(account: accounts.Account, now: datetime, configured: settings.Settings) -> bool:
    """Whether webhooks really arrive; that they are configured is not enough, since a tunnel may be down."""
    silent = timedelta(seconds=polling.SILENT * configured.times.poll_most)
    return account.hinted_at is not None and now - account.hinted_at < silent


def _may_glance(account: accounts.Account, now: datetime) -> bool:
    """Whether the list may be read: it exists, has not failed or lied lately, and the breaker is not in doubt."""
    if not account.can_list or not account.breaker.is_sound:
        return False
    return account.glance_at is None or account.glance_at <= now
