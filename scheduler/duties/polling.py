"""Which running predictions to poll now, and by which calls."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from jobs import accounts, database, lifecycle, polling, settings, worklists
from jobs.accounts import quota
from jobs.lanes import Lane
from jobs.states import State
from scheduler.duties import allowance, turns
from scheduler.duties.messages import Message, sliced
from scheduler.duties.turns import AT_ONCE, Scope, Turn

_GLANCED = 2000  # most rows that one look at the list serves
_LATELY = 10.0  # seconds whose purchases show how busy the account is


def poll(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have running predictions polled, by list or one by one, as reads allow; one as a probe while the API is away."""
    alone, listed, pages = db.unit(lambda tx: _polled(turns.locked(tx, configured, scope)))
    if listed:
        yield Message(Lane.POLL, listed, scope.account_id, pages)
    yield from sliced(Lane.POLL, alone, scope)


def _polled(turn: Turn) -> tuple[list[int], list[int], int]:
    """Hand out what is due: jobs to ask for one by one, jobs to find in the list, and how many pages to read."""
    tx, account, reads = turn.tx, turn.account, allowance.reads(turn)
    if not reads or is_early(turn):
        return [], [], 0
    late = allowance.longest_doubt(turn.times) if allowance.creates_in_doubt(account) else timedelta()
    moment = turn.now - late
    look, stuck = None, set[int]()
    if _may_glance(turn):
        look, stuck = _look(turn, moment)
        if look and look.calls > reads:  # single answers would use up the reads for ever, and tell less
            return [], [], 0
        pages = look.pages if look else 1
        account = replace(account, poll_at=turn.now + _interval(turn, pages))
    most, of = _GLANCED if look else reads, turn.scope.seat.answers_for
    ids = lifecycle.hand_out(tx, moment, State.RUNNING, most, late + turn.lease, of=of)
    if not look and len(ids) == reads:
        # The rest waits only for reads, which will refill in a moment.
        account = replace(account, poll_at=None)
    if ids:
        accounts.spend(tx, account, creates=0, reads=look.calls if look else len(ids))
        if account.breaker.is_away or (account.breaker.in_doubt and not late):
            allowance.probed(turn)
    if look is None:
        return ids, [], 0
    return [job for job in ids if job in stuck], [job for job in ids if job not in stuck], look.pages


def is_early(turn: Turn) -> bool:
    """Whether due polls should wait for more to become due, since a page of the list serves them all.

    A `poll_at` further ahead than is ever set dates from before the clock was set back, and is ignored.
    """
    poll_at = turn.account.poll_at
    if poll_at is None or not _may_glance(turn):
        return False
    return turn.now < poll_at <= turn.now + timedelta(seconds=turn.times.poll_most)


def _look(turn: Turn, moment: datetime) -> tuple[polling.Look | None, set[int]]:
    """Choose how to look at what is due; also return the jobs that lie too deep in the list."""
    tx, account = turn.tx, turn.account
    due = worklists.due(tx, account.id, moment, _GLANCED)
    running = worklists.under_way(tx, [account.id]).get(State.RUNNING, 0) if due else 0
    limits = quota.in_force(turn.configured, account.own_limits)
    look = polling.look(
        len(due),
        running,
        lambda n: worklists.begun(tx, account.id, due[n][1], polling.DEEPEST)[0],
        most=int(min(quota.capacity(limits.reads_per_minute), AT_ONCE)),
    )
    return look, {job for job, _ in due[: look.alone]} if look else set()


def _interval(turn: Turn, pages: int) -> timedelta:
    """Return the time after a look at so many pages: the busier, the shorter, at the same number of calls per job."""
    times, told = turn.times, _is_told(turn)
    lately = timedelta(seconds=_LATELY * turn.configured.time_scale)
    bought, first = worklists.begun(turn.tx, turn.account.id, turn.now - lately, _GLANCED)
    seconds = polling.interval(
        bought,
        (turn.now - first).total_seconds(),
        least=times.tick_least,
        most=times.poll_told if told else times.poll_first,
        together=polling.HARVEST_TOLD if told else polling.HARVEST,
    )
    return timedelta(seconds=min(pages * seconds, times.poll_most))


def _is_told(turn: Turn) -> bool:
    """Whether webhooks really arrive; that they are configured is not enough, since a tunnel may be down."""
    silent, hinted_at = timedelta(seconds=polling.SILENT * turn.times.poll_most), turn.account.hinted_at
    return hinted_at is not None and turn.now - hinted_at < silent


def _may_glance(turn: Turn) -> bool:
    """Whether the list may be read: it exists, has not failed or lied lately, and the breaker is not in doubt."""
    account = turn.account
    if not account.can_list or not account.breaker.is_sound:
        return False
    return account.glance_at is None or account.glance_at <= turn.now
