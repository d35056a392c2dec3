"""Ask how running predictions stand, and record how they ended."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from celery import shared_task

from jobs import accounts, crashpoints, database, errors, lifecycle, polling, worklists
from jobs.crashpoints import Place
from jobs.failures import FailureClass
from jobs.lanes import SLICE, Lane
from jobs.lifecycle import Failure, Fence, Interrupted, Produced
from jobs.states import State
from jobs.worklists import Running
from worker import app, context, endings, loop, tally
from worker.endings import Canceled, Outcome, Waiting
from worker.lookup import adopting, glance

log = structlog.get_logger(__name__)

_LIFETIME = 3600.0  # seconds for which the API keeps outputs
_AT_ONCE = SLICE[Lane.POLL]


@shared_task(name=Lane.POLL)
def poll(ids: list[int], pages: int, account_id: int) -> None:
    """Look for these predictions on ``pages`` of the list, or ask for each once if that is 0.

    If the API may be away, one question comes first, and all else only if that is answered: the message may
    be older than the doubt. What is not asked for is due again after its lease.
    """
    if (here := app.held(account_id)) is None:
        return
    with here.database.read() as tx:
        now = database.now(tx)
        seat = here.seat(tx)
        rows = worklists.running(tx, seat.answers_for, ids)
    # The tick plans no deeper look. What is left of the pages is given back below, so another number, which is not the
    # tick's, would empty the bucket of reads for days.
    pages = max(0, min(pages, polling.DEEPEST // polling.PAGE))
    slice_ = _Slice(here, now, tally.Counter())
    breaker = seat.account.breaker
    if breaker.is_away:
        rows = rows if _is_back(here, slice_, rows) else []
    elif breaker.in_doubt:
        _ask(here, slice_, rows[:1])
        rows = rows[1:] if slice_.answered else []
    if pages and rows:
        rows = _glance(here, slice_, rows, pages)
    if rows:
        _ask(here, slice_, rows)


def _glance(here: context.Context, slice_: "_Slice", rows: Sequence[Running], pages: int) -> list[Running]:
    """Look at the list, record what it shows, and return what must be asked for one by one."""
    seen = glance.look(here, rows, slice_.now, pages)
    crashpoints.reach(Place.AFTER_POLL_RESPONSE)
    _settle_all(here, seen.outcomes)
    adopting.adopt_in_passing(here, seen.shown)
    if seen.pages:
        slice_.counter.answered()
    if seen.error:
        slice_.counter.failed(seen.error)
        _find_fault(here, slice_, seen.unseen)
        return []
    slice_.answered = True
    here.observe(slice_.counter.take())
    left = list(seen.unseen[:_AT_ONCE])
    _settle_all(here, [Waiting(row) for row in seen.unseen[_AT_ONCE:]])
    if seen.proof:
        slice_.proof = seen.proof.fence
        left.append(seen.proof)
    fails = len(seen.unseen) > len(rows) / 2
    _account_for(here, seen.pages + len(left) - pages, fails=fails)
    return left


def _find_fault(here: context.Context, slice_: "_Slice", unseen: Sequence[Running]) -> None:
    """Ask for one prediction to find out whether only the list fails; the others wait either way."""
    _ask(here, slice_, unseen[:1])
    _settle_all(here, [Waiting(row) for row in unseen[1:]])
    _account_for(here, 1, fails=slice_.answered)


def _settle_all(here: context.Context, outcomes: Sequence[Outcome]) -> None:
    for start in range(0, len(outcomes), _AT_ONCE):
        settle(here, outcomes[start : start + _AT_ONCE])


def _account_for(here: context.Context, reads: int, *, fails: bool) -> None:
    """Record the reads that a look cost beyond those the tick has spent; if the list ``fails``, leave it aside."""
    pause = timedelta(seconds=here.times.sweep)

    def write(tx: sa.Connection) -> None:
        accounts.glanced(
            tx, here.account.id, reads=reads, again_at=database.now(tx) + pause if fails else None
        )

    if fails:
        log.info("list-left-aside", seconds=pause.total_seconds())
    if fails or reads:
        here.database.unit(write)


def _ask(here: context.Context, slice_: "_Slice", rows: Sequence[Running]) -> None:
    for group in here.loop.outcomes(slice_.ask, rows, within=here.times.lease / 2, group=loop.WIDE):
        settle(here, group)
        here.observe(slice_.counter.take())
        if any(glance.disproves(outcome, slice_.proof, slice_.now) for outcome in group):
            _account_for(here, 0, fails=True)
    if slice_.unanswered and not slice_.counter.stopped:
        _find_out(here, slice_)


def _find_out(here: context.Context, slice_: "_Slice") -> None:
    """Find out whether it is the API that does not answer, or only what was asked of it.

    One prediction alone says nothing of the API: its failure counts if nothing else is answered either. And
    it is given up only if something else is: an outage, however long, ends no job.
    """
    unanswered, slice_.unanswered = slice_.unanswered, {}
    if not slice_.answered:
        slice_.answered = here.answers_otherwise([row.prediction_id for row in unanswered])
    if slice_.answered:
        slice_.counter.answered()
        outcomes = [slice_.withheld(row, error) for row, error in unanswered.items()]
        settle(here, [one for one in outcomes if isinstance(one, Failure)])
    else:
        for error in unanswered.values():
            slice_.counter.failed(error)
    here.observe(slice_.counter.take())


def _is_back(here: context.Context, slice_: "_Slice", rows: Sequence[Running]) -> bool:
    """Whether an API that was away answers again, asked about another prediction: one of these may never be answered.

    If not, they are due again as if they had been asked for.
    """
    slice_.answered = here.answers_otherwise([row.prediction_id for row in rows])
    if slice_.answered:
        slice_.counter.answered()
    else:
        _settle_all(here, [Waiting(row) for row in rows])
    here.observe(slice_.counter.take())
    return slice_.answered


@dataclass
class _Slice:
    here: context.Context
    now: datetime
    counter: tally.Counter
    answered: bool = False
    unanswered: dict[Running, errors.Unanswered] = field(default_factory=dict)
    proof: Fence | None = None  # asked for to check the list, which shows it running

    async def ask(self, row: Running) -> Outcome:
        if self.counter.stopped:
            return Waiting(row)
        try:
            prediction = await self.here.api.get(row.prediction_id)
            crashpoints.reach(Place.AFTER_POLL_RESPONSE)
        except errors.Missing as error:
            self.counter.failed(error)
            self.answered = True
            return self.withheld(row, error)
        except errors.Refused as error:  # not counted: it tells nothing of how the API is
            return self.withheld(row, error)
        except errors.ApiError as error:
            self.counter.failed_alone(error)
            if isinstance(error, errors.Unanswered):
                self.unanswered[row] = error
            return Waiting(row)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):  # the slice's time is up
                log.exception("poll-broke", prediction=row.prediction_id)
            return Waiting(row)
        self.counter.answered()
        self.answered = True
        return endings.ended(self.here, row, prediction, self.now)

    def withheld(self, row: Running, error: errors.Missing | errors.Refused | errors.Unanswered) -> Outcome:
        """Give up a prediction, long after its deadline, if the API tells nothing of it, nor did at its cancel.

        A single refusal may pass, and so may a 404; the cancel, which asks for the prediction too, was the first of
        two. Silence may pass at any time, so it is borne until the outputs must have been deleted.
        """
        deadline = self.here.times.prediction_deadline
        silent = isinstance(error, errors.Unanswered)
        patience = deadline + _LIFETIME if silent else endings.GIVEN_UP * deadline
        if not row.cancel_sent or self._age(row) < patience:
            return Waiting(row)
        message = f"the API tells nothing of prediction {row.prediction_id} any more: {error}"
        return Failure(row.fence, FailureClass.EXPIRED, message)

    def _age(self, row: Running) -> float:
        """Return how many seconds ago it was sold; an hour less for another account's, which may still exist there.

        So that one is waited for until its outputs must have been deleted.
        """
        foreign = 0.0 if row.account_id == self.here.account.id else _LIFETIME
        return (self.now - row.accepted_at).total_seconds() - foreign


def settle(here: context.Context, group: Sequence[Outcome]) -> None:
    """Record the outcomes of some looks, in one transaction."""

    def write(tx: sa.Connection) -> None:
        now = database.now(tx)
        produced = [o for o in group if isinstance(o, Produced)]
        lifecycle.settle(tx, now, lifecycle.produced, produced)
        ended = [o.failure for o in group if isinstance(o, Canceled)]
        # Read only now: a person may have cancelled while the answer was on its way.
        wished = worklists.cancel_requested(tx, [item.fence.job for item in ended])
        lifecycle.cancelled(tx, now, [item.fence for item in ended if item.fence.job in wished])
        failed = [o for o in group if isinstance(o, Failure)]
        failed += [item for item in ended if item.fence.job not in wished]
        lifecycle.settle(tx, now, lifecycle.failed, failed)
        interrupted = [o for o in group if isinstance(o, Interrupted)]
        lifecycle.settle(tx, now, lifecycle.interrupted, interrupted)
        waiting = [o for o in group if isinstance(o, Waiting)]
        lifecycle.look_again(tx, State.RUNNING, {o.running.fence: _next(here, tx, o, now) for o in waiting})
        lifecycle.not_shown(tx, [o.running.fence for o in waiting if o.unshown])
        crashpoints.reach(Place.BEFORE_ENDS_COMMIT)

    here.database.unit(write)
    crashpoints.reach(Place.AFTER_ENDS_COMMIT)
    if not all(isinstance(outcome, Waiting) for outcome in group):
        here.freed()


def _next(here: context.Context, tx: sa.Connection, waiting: Waiting, now: datetime) -> datetime:
    row = waiting.running
    return now + here.foresight.next_look(tx, now, row.version, now - row.accepted_at, waiting.among)
