"""How many jobs may be bought now, and of which batches."""

import math
import random
from collections.abc import Iterator, Sequence

from jobs import accounts, batches, database, lifecycle, settings, worklists
from jobs.accounts import quota
from jobs.lanes import Lane
from jobs.states import State
from scheduler.duties import allowance, turns
from scheduler.duties.messages import Again, Message, fills_one, sliced
from scheduler.duties.turns import Scope, Turn


def release(db: database.Database, configured: settings.Settings, scope: Scope) -> Iterator[Message | Again]:
    """Hand out as many purchases as quota, in-flight cap and breaker allow: batches in turn, each by priority.

    If only the in-flight cap holds jobs back, it asks to run again soon, so that freed places are filled at once.
    """
    ids, full = db.unit(lambda tx: _released(turns.locked(tx, configured, scope)))
    yield from sliced(Lane.SUBMIT, ids, scope)
    if full:
        yield Again()


def _released(turn: Turn) -> tuple[list[int], bool]:
    """Release what may be released; also return whether only the in-flight cap holds others back."""
    tx, account, only = turn.tx, turn.account, turn.scope.release_only
    if account.breaker.is_closed:
        batches.unblock(tx, turn.now, account, only)
    open_batches = batches.releasable(tx, account, only)
    if not account.breaker.is_closed:
        open_batches += batches.blocked(tx, account, only)
    room, fills = _room(turn)
    ids = _dealt(turn, open_batches, room)
    if ids:
        accounts.spend(tx, account, creates=len(ids), reads=0)
        if not account.breaker.is_sound:
            allowance.probed(turn, under_way=_being_bought(turn))
    return ids, fills and len(ids) == room


def _dealt(turn: Turn, batch_ids: Sequence[int], room: int) -> list[int]:
    """Release an even share of the room for each batch with jobs to release, and share out what others leave.

    The order is drawn at random each time; otherwise a room of one would always go to the same batch.
    """
    tx, now, account_id = turn.tx, turn.now, turn.account.id
    wanting = lifecycle.wanting(tx, now, batch_ids) if room else []
    random.shuffle(wanting)
    ids: list[int] = []
    while wanting and len(ids) < room:
        want_more = []
        for place, batch_id in enumerate(wanting):
            if len(ids) == room:
                break
            share = math.ceil((room - len(ids)) / (len(wanting) - place))
            released = lifecycle.release(tx, now, batch_id, share, turn.lease, account_id=account_id)
            ids += released
            if len(released) == share:
                want_more.append(batch_id)
        wanting = want_more
    return ids


def _room(turn: Turn) -> tuple[int, bool]:
    """Return how many jobs may be released, and whether they would reach the in-flight cap."""
    account = turn.account
    if account.must_wait(turn.now):
        return 0, False
    if not account.breaker.is_sound:
        return allowance.PROBE if _may_probe(turn) else 0, False
    limits = quota.in_force(turn.configured, account.own_limits)
    counts = worklists.under_way(turn.tx, turn.scope.seat.answers_for)
    collecting = counts.pop(State.COLLECTING, 0)
    in_flight = sum(counts.values())
    rate = quota.rate(limits, account.rate)
    room = quota.room(
        account.creates_tokens,
        rate,
        queued=counts.get(State.QUEUED, 0),
        in_flight=in_flight + quota.behind(collecting, limits.max_in_flight),
        most_in_flight=limits.max_in_flight,
    )
    fills = in_flight + room >= limits.max_in_flight
    # With more than half a bucket waiting, tokens might be lost.
    return room if fills_one(room, counts.get(State.SUBMITTING, 0), quota.capacity(rate) / 2) else 0, fills


def _may_probe(turn: Turn) -> bool:
    """Whether a create may leave as a probe; in doubt, only while the creates at risk stay few."""
    if not allowance.may_probe(turn):
        return False
    breaker = turn.account.breaker
    return not breaker.in_doubt or breaker.may_try(_being_bought(turn), turn.now, turn.times)


def _being_bought(turn: Turn) -> int:
    counts = worklists.under_way(turn.tx, turn.scope.seat.answers_for)
    return counts.get(State.QUEUED, 0) + counts.get(State.SUBMITTING, 0)
