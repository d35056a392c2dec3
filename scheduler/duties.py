"""What one tick does, in the lanes' order: each duty is a short transaction that returns what to send.

A row that is due is due, whoever died. Handing it out moves `due_at` one lease ahead; the message that follows
may be lost, and then the row is due again.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs import accounts, batches, database, lifecycle, polling, quota, recalling, settings, stops, worklists
from jobs.attendance import Seat
from jobs.lanes import SLICE, Lane
from jobs.states import IN_FLIGHT, BatchState, State
from jobs.tables import jobs

_AT_ONCE = 1000  # rows that one duty hands out in one tick
_GLANCED = 2000  # rows that one look at the list is for
_DEEPEST = 10_000  # predictions of the list that a look may go through
_LATELY = 10.0  # seconds in which purchases show how busy it is
_PROBE = 1


@dataclass(frozen=True, slots=True)
class Message:
    """A hint for a worker: look at these rows now."""

    lane: Lane
    payload: list[int] | list[tuple[int, str]]
    account_id: int  # whose calls they are
    pages: int = 0  # of the list to read for them; none: ask for each

    @property
    def args(self) -> list[Any]:
        """What the task is called with."""
        pages = [self.pages] if self.lane is Lane.POLL else []
        return [self.payload, *pages, self.account_id]


@dataclass(frozen=True, slots=True)
class Again:
    """A wish to be asked again sooner than at the next tick."""

    after: float  # seconds


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose work is handed out: all of one account's, or of that only some batches' purchases."""

    seat: Seat
    release_only: tuple[int, ...] | None = None

    @property
    def account_id(self) -> int:
        return self.seat.account_id


def rescue(db: database.Database, configured: settings.Settings) -> None:
    """End the leases of workers that went silent: what was not sent is pending again, what may be is looked up.

    What a person cancelled while it was being sent, and came back unbought, ends here.
    """
    times = configured.times
    settle_after = timedelta(seconds=times.post_deadline + times.settle)

    def end(tx: sa.Connection) -> None:
        now = database.now(tx)
        lifecycle.rescue(tx, now)
        lifecycle.expire_sends(tx, now, settle_after)
        lifecycle.cancel_unsent(tx, now)

    db.unit(end)


def reconcile(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have sends in doubt looked up once they have settled."""
    ids = db.unit(lambda tx: _in_doubt(tx, configured, scope))
    if ids:  # one walk serves them all
        yield Message(Lane.RECONCILE, ids[: SLICE[Lane.RECONCILE]], scope.account_id)


def _in_doubt(tx: sa.Connection, configured: settings.Settings, scope: Scope) -> list[int]:
    """Claim what is due; while the API is away a walk is a probe of several calls, for where no poll can be one."""
    now = database.now(tx)
    account = accounts.get(tx, scope.account_id)
    if not account.breaker.is_away:
        return _all_due(tx, configured, scope, State.UNCONFIRMED)
    running = sa.exists().where(jobs.c.state == State.RUNNING, jobs.c.due_at.is_not(None), _under_way(scope))
    if not _may_probe(account, now) or tx.execute(sa.select(running)).scalar_one():
        return []
    accounts.probed(tx, account.id, now + timedelta(seconds=configured.times.canary))
    return _all_due(tx, configured, scope, State.UNCONFIRMED)


def sweep(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have the list looked through for predictions of ours that nobody knows of, now and then.

    A look-up without ids: the walk serves what is in doubt as well.
    """
    if db.unit(lambda tx: _sweeps(tx, configured, scope)):
        yield Message(Lane.RECONCILE, [], scope.account_id)


def sweep_now(db: database.Database, configured: settings.Settings, scope: Scope) -> bool:
    """Whether a sweep may begin now although none is due: the last one of a batch is asked for at its end."""
    return db.unit(lambda tx: _sweeps(tx, configured, scope, early=True))


def _sweeps(tx: sa.Connection, configured: settings.Settings, scope: Scope, *, early: bool = False) -> bool:
    now = database.now(tx)
    account = _refilled(tx, now, configured, scope)
    if account.can_list is False:
        return False
    if account.breaker.is_away or account.breaker.in_doubt or not _reads(account, now):
        return False
    if not early and account.sweep_at is not None and account.sweep_at > now:
        return False
    if not recalling.may_lack(tx, account, configured.times):
        return False
    accounts.sweep_again(tx, account.id, now + timedelta(seconds=configured.times.lease))
    return True


def collect(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have paid images fetched before they expire."""
    ids = db.unit(lambda tx: _all_due(tx, configured, scope, State.COLLECTING))
    yield from _sliced(Lane.COLLECT, ids, scope)


def _all_due(tx: sa.Connection, configured: settings.Settings, scope: Scope, state: State) -> list[int]:
    lease = timedelta(seconds=configured.times.lease)
    return lifecycle.hand_out(tx, database.now(tx), state, _AT_ONCE, lease, of=scope.seat.answers_for)


def _under_way(scope: Scope) -> sa.ColumnElement[bool]:
    return lifecycle.of_accounts(scope.seat.answers_for)


def poll(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have running predictions looked at, by list or one by one, as the reads allow; as a probe while it is away."""
    alone, listed, pages = db.unit(lambda tx: _polled(tx, configured, scope))
    if listed:
        yield Message(Lane.POLL, listed, scope.account_id, pages)
    yield from _sliced(Lane.POLL, alone, scope)


def _polled(
    tx: sa.Connection, configured: settings.Settings, scope: Scope
) -> tuple[list[int], list[int], int]:
    """Hand out what is due: what to ask for one by one, and what to look for on how many pages of the list."""
    now = database.now(tx)
    account = _refilled(tx, now, configured, scope)
    reads = _reads(account, now)
    if not reads:
        return [], [], 0
    # For longer than a doubt lasts: by then it is an outage, or dispelled.
    late = timedelta(seconds=2 * configured.times.outage_after if _creates_in_doubt(account) else 0)
    lease = timedelta(seconds=configured.times.lease)
    moment = now - late
    look: polling.Look | None = None
    stuck: set[int] = set()
    if _may_glance(account, now):
        moment = polling.beat(now, _interval(tx, now, account, configured))
        look, stuck = _look(tx, account, moment, reads)
    most = _GLANCED if look else reads
    ids = lifecycle.hand_out(tx, moment, State.RUNNING, most, now - moment + lease, of=scope.seat.answers_for)
    if ids:
        accounts.spend(tx, account, creates=0, reads=look.pages + len(stuck) if look else len(ids))
        if account.breaker.is_away or (account.breaker.in_doubt and not late):
            _probed(tx, now, account, configured)
    if look is None:
        return ids, [], 0
    return [job for job in ids if job in stuck], [job for job in ids if job not in stuck], look.pages


def _look(
    tx: sa.Connection, account: accounts.Account, moment: datetime, reads: int
) -> tuple[polling.Look | None, set[int]]:
    """Choose how to look at what is due; return with it the jobs that lie too deep in the list."""
    due = worklists.due(tx, account.id, moment, _GLANCED)
    look = polling.look(len(due), lambda n: worklists.begun_since(tx, account.id, due[n][1], _DEEPEST), reads)
    return look, {job for job, _ in due[: look.alone]} if look else set()


def _interval(
    tx: sa.Connection, now: datetime, account: accounts.Account, configured: settings.Settings
) -> float:
    """Return the seconds between two looks at the list: the busier, the oftener, and no more calls a job."""
    times = configured.times
    lately = _LATELY * configured.time_scale
    bought, within = worklists.begun_lately(tx, account.id, now, lately, _GLANCED)
    return polling.interval(bought, within, least=times.tick_least, most=times.poll_first)


def _may_glance(account: accounts.Account, now: datetime) -> bool:
    """Whether the list may be read instead: it is there, it told the truth lately, and nothing is in doubt."""
    if not account.can_list or account.breaker.state != "closed" or account.breaker.in_doubt:
        return False
    return account.glance_at is None or account.glance_at <= now


def _creates_in_doubt(account: accounts.Account) -> bool:
    """Whether polls had better come late: they would fail as well, and would be no proof."""
    return account.breaker.in_doubt and account.breaker.failing == "creates"


def _probed(
    tx: sa.Connection, now: datetime, account: accounts.Account, configured: settings.Settings
) -> None:
    """Remember that a probe has left, and when the next one may: soon, while it is a mere doubt."""
    times = configured.times
    wait = times.poll_first if account.breaker.in_doubt else times.canary
    accounts.probed(tx, account.id, now + timedelta(seconds=wait))


def _reads(account: accounts.Account, now: datetime) -> int:
    if account.not_before is not None and account.not_before > now:
        return 0
    if account.breaker.is_away or (account.breaker.in_doubt and not _creates_in_doubt(account)):
        return _PROBE if _may_probe(account, now) else 0
    return max(0, int(min(account.reads_tokens, _AT_ONCE)))


def _may_probe(account: accounts.Account, now: datetime) -> bool:
    """Whether the next probe is due; in a stop without a time for one a person must ask for it."""
    if account.breaker.probe_at is None:
        return account.breaker.in_doubt
    return account.breaker.probe_at <= now


def cancel(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have predictions ended that nobody wants: cancelled by a person, past their deadline, or orphans."""
    targets = db.unit(lambda tx: _unwanted(tx, configured, scope))
    if targets:
        yield Message(Lane.CANCEL, targets, scope.account_id)


def _unwanted(tx: sa.Connection, configured: settings.Settings, scope: Scope) -> list[tuple[int, str]]:
    now = database.now(tx)
    account = _refilled(tx, now, configured, scope)
    most = _reads(account, now)
    if not most or account.breaker.in_doubt:
        return []
    # The API was told the deadline, too; half a lease later it has had its time.
    overdue = timedelta(seconds=configured.times.prediction_deadline + configured.times.lease / 2)
    again = timedelta(seconds=configured.times.lease)
    of, most_at_once = scope.seat.answers_for, SLICE[Lane.CANCEL]
    running = worklists.unwanted(tx, now, of, most_at_once, overdue=overdue, again=again)
    surplus = lifecycle.orphans(tx, most_at_once, of=of)
    targets = dict([*running, *surplus][:most])
    accounts.spend(tx, account, creates=0, reads=len(targets))
    return list(targets.items())


def release(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message | Again]:
    """Hand out as many purchases as quota, in-flight cap and breaker allow: by batch in turn, by priority within.

    A place in flight that becomes free is to be filled at once, where nothing else keeps jobs back.
    """
    ids, full = db.unit(lambda tx: _released(tx, configured, scope))
    yield from _sliced(Lane.SUBMIT, ids, scope)
    if full:
        yield Again(configured.times.tick_least)


def _released(tx: sa.Connection, configured: settings.Settings, scope: Scope) -> tuple[list[int], bool]:
    """Release what may be; return with it whether the cap in flight alone keeps others back."""
    now = database.now(tx)
    account = _refilled(tx, now, configured, scope)
    open_batches = batches.releasable(tx, account, scope.release_only)
    if account.breaker.state != "closed":
        open_batches += batches.blocked(tx, account, scope.release_only)
    room, fills = _room(tx, now, account, configured, scope)
    ids = _dealt(tx, now, open_batches, room, configured, scope)
    if ids:
        accounts.spend(tx, account, creates=len(ids), reads=0)
        if account.breaker.state != "closed" or account.breaker.in_doubt:
            _probed(tx, now, account, configured)
    return ids, fills and len(ids) == room


def _dealt(
    tx: sa.Connection,
    now: datetime,
    batch_ids: Sequence[int],
    room: int,
    configured: settings.Settings,
    scope: Scope,
) -> list[int]:
    """Release for each batch that wants something its even share of the room, and what others leave of theirs.

    Who comes first is drawn anew each time: a room of one would always be the same batch's otherwise.
    """
    lease = timedelta(seconds=configured.times.lease)
    turn = lifecycle.wanting(tx, now, batch_ids)
    random.shuffle(turn)
    ids: list[int] = []
    while turn and len(ids) < room:
        want_more = []
        for place, batch_id in enumerate(turn):
            share = math.ceil((room - len(ids)) / (len(turn) - place))
            released = lifecycle.release(tx, now, batch_id, share, lease, account_id=scope.account_id)
            ids += released
            if len(released) == share:
                want_more.append(batch_id)
        turn = want_more
    return ids


def _room(
    tx: sa.Connection,
    now: datetime,
    account: accounts.Account,
    configured: settings.Settings,
    scope: Scope,
) -> tuple[int, bool]:
    """Return how many jobs may be released, and whether they would fill every place in flight."""
    if account.not_before is not None and account.not_before > now:
        return 0, False
    if account.breaker.state != "closed" or account.breaker.in_doubt:
        return _PROBE if _may_probe(account, now) else 0, False
    limits = quota.in_force(configured, account.own_limits)
    counts = _in_flight(tx, scope)
    in_flight = sum(counts.values())
    room = quota.room(
        account.creates_tokens,
        limits.creates_per_minute if account.rate is None else account.rate,
        queued=counts.get(State.QUEUED, 0),
        in_flight=in_flight,
        most_in_flight=limits.max_in_flight,
    )
    return room, in_flight + room >= limits.max_in_flight


def _in_flight(tx: sa.Connection, scope: Scope) -> dict[State, int]:
    rows = tx.execute(
        sa.select(jobs.c.state, sa.func.count())
        .where(jobs.c.state.in_(IN_FLIGHT), jobs.c.due_at.is_not(None), _under_way(scope))
        .group_by(jobs.c.state)
    )
    return {State(state): n for state, n in rows}


def _refilled(
    tx: sa.Connection, now: datetime, configured: settings.Settings, scope: Scope
) -> accounts.Account:
    return accounts.refill(accounts.get(tx, scope.account_id), now, configured)


def limit_losses(db: database.Database) -> None:
    """Pause batches of whose jobs too many fail. Counting reads; only a stop takes the writers' turn."""
    with db.read() as tx:
        open_batches = [one for one in batches.every(tx) if one.state is BatchState.OPEN]
        judged = [one for one in open_batches if batches.unfinished(tx, one.id)]
        stopping = [batch for batch in judged if batches.losses(tx, batch).stopping]
    for batch in stopping:
        with db.write() as tx:
            stops.limit_losses(tx, database.now(tx), batch)


def _sliced(lane: Lane, ids: Sequence[int], scope: Scope) -> Iterator[Message]:
    size = SLICE[lane]
    for start in range(0, len(ids), size):
        yield Message(lane, list(ids[start : start + size]), scope.account_id)
