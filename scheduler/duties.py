"""What one tick does, in the lanes' order: each duty is a short transaction that returns what to send.

A row that is due is due, whoever died. Handing it out moves `due_at` one lease ahead; the message that follows
may be lost, and then the row is due again.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, batches, database, lifecycle, quota, settings, stops
from jobs.lanes import SLICE, Lane
from jobs.states import IN_FLIGHT, State
from jobs.tables import attempts, jobs

_AT_ONCE = 1000  # rows that one duty hands out in one tick
_PROBE = 1


@dataclass(frozen=True, slots=True)
class Message:
    """A hint for a worker: look at these rows now."""

    lane: Lane
    payload: list[int] | list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose work is handed out: all of one API's, or of that only some batches' purchases."""

    api: str
    release_only: tuple[int, ...] | None = None


def rescue(db: database.Database, configured: settings.Settings) -> None:
    """End the leases of workers that went silent: what was not sent is pending again, what may be is looked up.

    What a person cancelled while it was being sent, and came back unbought, ends here.
    """
    times = configured.times
    settle_after = timedelta(seconds=times.post_deadline + times.settle)
    with db.write() as tx:
        now = database.now(tx)
        lifecycle.rescue(tx, now)
        lifecycle.expire_sends(tx, now, settle_after)
        lifecycle.cancel_unsent(tx, now)


def reconcile(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have sends in doubt looked up once they have settled."""
    lease = timedelta(seconds=configured.times.lease)
    with db.write() as tx:
        ids = lifecycle.hand_out(tx, database.now(tx), State.UNCONFIRMED, _AT_ONCE, lease, api=scope.api)
    if ids:  # one walk serves them all
        yield Message(Lane.RECONCILE, ids[: SLICE[Lane.RECONCILE]])


def collect(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have paid images fetched before they expire."""
    lease = timedelta(seconds=configured.times.lease)
    with db.write() as tx:
        ids = lifecycle.hand_out(tx, database.now(tx), State.COLLECTING, _AT_ONCE, lease, api=scope.api)
    yield from _sliced(Lane.COLLECT, ids)


def poll(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have running predictions looked at, as many as the reads allow; while the API is away, one as a probe."""
    lease = timedelta(seconds=configured.times.lease)
    with db.write() as tx:
        now = database.now(tx)
        account = _refilled(tx, now, configured, scope)
        most = 0 if account is None else _reads(account, now)
        if account is None or not most:
            return
        ids = lifecycle.hand_out(tx, now, State.RUNNING, most, lease, api=scope.api)
        if not ids:
            return
        accounts.spend(tx, account, creates=0, reads=len(ids))
        if account.breaker.is_away:
            accounts.probed(tx, account.id, now + timedelta(seconds=configured.times.canary))
    yield from _sliced(Lane.POLL, ids)


def _reads(account: accounts.Account, now: datetime) -> int:
    if account.not_before is not None and account.not_before > now:
        return 0
    if account.breaker.is_away:
        return _PROBE if _may_probe(account, now) else 0
    return max(0, int(min(account.reads_tokens, _AT_ONCE)))


def _may_probe(account: accounts.Account, now: datetime) -> bool:
    return account.breaker.probe_at is not None and account.breaker.probe_at <= now


def cancel(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Have predictions ended that nobody wants: cancelled by a person, past their deadline, or orphans."""
    times = configured.times
    overdue = timedelta(seconds=times.prediction_deadline + times.settle)
    again = timedelta(seconds=times.lease)
    with db.write() as tx:
        now = database.now(tx)
        account = _refilled(tx, now, configured, scope)
        most = 0 if account is None else _reads(account, now)
        if account is None or not most:
            return
        wanted = tx.execute(
            sa.select(attempts.c.id, attempts.c.prediction_id)
            .join(jobs, jobs.c.attempt_id == attempts.c.id)
            .where(jobs.c.state == State.RUNNING, jobs.c.cancel_requested_at.is_not(None))
            .where(lifecycle.at_api(scope.api))
            .where(attempts.c.cancel_sent_at.is_(None) | (attempts.c.cancel_sent_at < now - again))
            .limit(SLICE[Lane.CANCEL])
        ).all()
        late = tx.execute(
            sa.select(attempts.c.id, attempts.c.prediction_id)
            .join(jobs, jobs.c.attempt_id == attempts.c.id)
            .where(jobs.c.state == State.RUNNING, jobs.c.due_at <= now + again)
            .where(lifecycle.at_api(scope.api))
            .where(attempts.c.accepted_at < now - overdue, attempts.c.cancel_sent_at.is_(None))
            .limit(SLICE[Lane.CANCEL])
        ).all()
        surplus = lifecycle.orphans(tx, SLICE[Lane.CANCEL], api=scope.api)
        targets = dict([(row[0], row[1]) for row in [*wanted, *late, *surplus]][:most])
        accounts.spend(tx, account, creates=0, reads=len(targets))
    if targets:
        yield Message(Lane.CANCEL, list(targets.items()))


def release(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message]:
    """Hand out as many purchases as quota, in-flight cap and breaker allow: by batch in turn, by priority within."""
    lease = timedelta(seconds=configured.times.lease)
    with db.write() as tx:
        now = database.now(tx)
        account = _refilled(tx, now, configured, scope)
        if account is None:
            return
        open_batches = batches.releasable(tx, account.api, scope.release_only)
        if account.breaker.state != "closed":
            open_batches += batches.blocked(tx, account.api, scope.release_only)
        ids = _dealt(tx, now, open_batches, _room(tx, now, account, configured), lease)
        if not ids:
            return
        accounts.spend(tx, account, creates=len(ids), reads=0)
        if account.breaker.state != "closed":
            accounts.probed(tx, account.id, now + timedelta(seconds=configured.times.canary))
    yield from _sliced(Lane.SUBMIT, ids)


def _dealt(
    tx: sa.Connection, now: datetime, batch_ids: Sequence[int], room: int, lease: timedelta
) -> list[int]:
    """Release for each batch that wants something its even share of the room, and what others leave of theirs.

    Who comes first is drawn anew each time: a room of one would always be the same batch's otherwise.
    """
    turn = lifecycle.wanting(tx, now, batch_ids)
    random.shuffle(turn)
    ids: list[int] = []
    while turn and len(ids) < room:
        want_more = []
        for place, batch_id in enumerate(turn):
            share = math.ceil((room - len(ids)) / (len(turn) - place))
            released = lifecycle.release(tx, now, batch_id, share, lease)
            ids += released
            if len(released) == share:
                want_more.append(batch_id)
        turn = want_more
    return ids


def _room(tx: sa.Connection, now: datetime, account: accounts.Account, configured: settings.Settings) -> int:
    if account.not_before is not None and account.not_before > now:
        return 0
    if account.breaker.state != "closed":
        return _PROBE if _may_probe(account, now) else 0
    counts = _in_flight(tx, account.api)
    return quota.room(
        account.creates_tokens,
        configured.creates_per_minute if account.rate is None else account.rate,
        queued=counts.get(State.QUEUED, 0),
        in_flight=sum(counts.values()),
        most_in_flight=configured.max_in_flight,
    )


def _in_flight(tx: sa.Connection, api: str) -> dict[State, int]:
    rows = tx.execute(
        sa.select(jobs.c.state, sa.func.count())
        .where(jobs.c.state.in_(IN_FLIGHT), jobs.c.due_at.is_not(None), lifecycle.at_api(api))
        .group_by(jobs.c.state)
    )
    return {State(state): n for state, n in rows}


def _refilled(
    tx: sa.Connection, now: datetime, configured: settings.Settings, scope: Scope
) -> accounts.Account | None:
    account = accounts.current(tx, scope.api)
    if account is None:
        return None
    return accounts.refill(account, now, configured.creates_per_minute, configured.reads_per_minute)


def limit_losses(db: database.Database, scope: Scope) -> None:
    """Pause batches of whose jobs too many fail. Counting reads; only a stop takes the writers' turn."""
    with db.read() as tx:
        open_batches = batches.releasable(tx, scope.api)
        judged = [batches.get(tx, one) for one in open_batches if batches.unfinished(tx, one)]
        stopping = [batch for batch in judged if batches.losses(tx, batch).stopping]
    for batch in stopping:
        with db.write() as tx:
            stops.limit_losses(tx, database.now(tx), batch)


def _sliced(lane: Lane, ids: Sequence[int]) -> Iterator[Message]:
    size = SLICE[lane]
    for start in range(0, len(ids), size):
        yield Message(lane, list(ids[start : start + size]))
