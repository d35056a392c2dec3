"""Ask how running predictions are, and write down how they ended."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from celery import shared_task

from jobs import accounts, crashpoints, database, errors, lifecycle, polling, retry, worklists
from jobs.crashpoints import Place
from jobs.failures import FailureClass
from jobs.lanes import Lane
from jobs.lifecycle import Failure, Interrupted, Produced
from jobs.states import State
from jobs.worklists import Running
from worker import app, diagnosis, loop, process, tally
from worker.replies import Prediction

log = structlog.get_logger(__name__)

_GIVEN_UP = 2  # deadlines after which a prediction that nothing ends is waited for no more
_LIFETIME = 3600.0  # seconds for which the API keeps outputs


@dataclass(frozen=True, slots=True)
class Waiting:
    """Still under way, or nobody could tell: look again."""

    running: Running


@dataclass(frozen=True, slots=True)
class Canceled:
    """The API's object says that it was canceled: as a person asked, or at its deadline."""

    failure: Failure


Outcome = Waiting | Produced | Failure | Interrupted | Canceled


@shared_task(name=Lane.POLL)
def poll(ids: list[int]) -> None:
    """Ask for each of these predictions once; at an API that may be away, for one, and then for the others.

    The message may have been sent before anybody doubted: what is not asked for is due again after its lease.
    """
    here = app.held()
    with here.database.read() as tx:
        now = database.now(tx)
        rows = worklists.running(tx, here.account.api, ids)
        breaker = accounts.known(tx, here.account.id).breaker
    slice_ = _Slice(here, now, tally.Counter())
    if breaker.is_away or breaker.in_doubt:
        _ask(here, slice_, rows[:1])
        rows = rows[1:] if slice_.answered else []
    if rows:
        _ask(here, slice_, rows)


def _ask(here: process.Process, slice_: "_Slice", rows: Sequence[Running]) -> None:
    for group in here.loop.outcomes(slice_.ask, rows, within=here.times.lease / 2, group=loop.WIDE):
        settle(here, group)
        here.observe(slice_.counter.take())


@dataclass
class _Slice:
    here: process.Process
    now: datetime
    counter: tally.Counter
    answered: bool = False

    async def ask(self, row: Running) -> Outcome:
        if self.counter.stopped:
            return Waiting(row)
        try:
            prediction = await self.here.api.get(row.prediction_id)
            crashpoints.reach(Place.AFTER_POLL_RESPONSE)
        except errors.Missing as error:
            self.counter.failed(error)
            self.answered = True
            return self._unknown(row)
        except errors.ApiError as error:
            self.counter.failed(error)
            return Waiting(row)
        except BaseException:
            log.exception("poll-broke", prediction=row.prediction_id)
            return Waiting(row)
        self.counter.answered()
        self.answered = True
        return ended(self.here, row, prediction, self.now)

    def _unknown(self, row: Running) -> Outcome:
        """A fresh id may not be known yet; one that stays unknown past its deadline has been deleted.

        Another account's may be there all the same, until no output of it can be there any more.
        """
        known_for = (self.now - row.accepted_at).total_seconds()
        foreign = 0.0 if row.account_id == self.here.account.id else _LIFETIME
        if known_for < self.here.times.prediction_deadline + foreign:
            return Waiting(row)
        message = f"the API does not know prediction {row.prediction_id} any more"
        return Failure(row.fence, FailureClass.EXPIRED, message)


def ended(here: process.Process, row: Running, prediction: Prediction, now: datetime) -> Outcome:
    """Say what a prediction's own words mean for its job; a word that we do not know is not an end."""
    match prediction.status:
        case "succeeded":
            return _succeeded(here, row, prediction, now)
        case "failed":
            return _failed(here, row, prediction, now)
        case "canceled":
            message = "it was canceled at its deadline"
            return Canceled(_failure(here, row, prediction, FailureClass.DEADLINE, message))
        case "aborted":
            again = now + timedelta(seconds=here.times.poll_first)
            message = "its deadline passed before it started"
            return Interrupted(row.fence, FailureClass.INTERRUPTED, message, again, counted=False)
        case _ if row.cancel_sent and now > row.accepted_at + timedelta(
            seconds=_GIVEN_UP * here.times.prediction_deadline
        ):
            message = f"it was {prediction.status} long after its deadline, and could not be canceled"
            return _failure(here, row, prediction, FailureClass.DEADLINE, message)
        case _:
            return Waiting(row)


def _succeeded(here: process.Process, row: Running, prediction: Prediction, now: datetime) -> Outcome:
    if not prediction.output:
        gone = prediction.data_removed
        error_class = FailureClass.EXPIRED if gone else FailureClass.EMPTY_OUTPUT
        message = "its outputs were deleted already" if gone else "it succeeded without an image"
        return _failure(here, row, prediction, error_class, message)
    urls = tuple(None if url[:5].lower() == "data:" else url for url in prediction.output)
    # By the API's clock, which may be wrong: too early a time would leave no second try for a download.
    produced_at = min(now, max(prediction.completed_at or now, row.accepted_at))
    return Produced(row.fence, urls, produced_at, prediction.predict_time, here.cost)


def _failed(here: process.Process, row: Running, prediction: Prediction, now: datetime) -> Outcome:
    error_class = diagnosis.failure_class(prediction.error)
    message = prediction.error or "no reason given"
    again = retry.when(
        error_class,
        row.attempts,
        now,
        random.Random(),  # noqa: S311  jitter, no secret
        most_attempts=here.settings.max_attempts,
        scale=here.settings.time_scale,
    )
    if again is None or row.cancel_requested:
        return _failure(here, row, prediction, error_class, message)
    return Interrupted(
        row.fence, error_class, message, again, predict_time=prediction.predict_time, cost=here.cost
    )


def _failure(
    here: process.Process, row: Running, prediction: Prediction, error_class: FailureClass, message: str
) -> Failure:
    return Failure(row.fence, error_class, message, prediction.predict_time, here.cost)


def settle(here: process.Process, group: Sequence[Outcome]) -> None:
    """Write what some looks came to, in one transaction."""

    def write(tx: sa.Connection) -> None:
        now = database.now(tx)
        produced = [o for o in group if isinstance(o, Produced)]
        lifecycle.settle(tx, lambda some: lifecycle.produced(tx, now, some), produced)
        ended = [o.failure for o in group if isinstance(o, Canceled)]
        # Asked now: a person may have cancelled while the answer was on its way.
        wished = worklists.cancel_requested(tx, [item.fence.job for item in ended])
        lifecycle.cancelled(tx, now, [item.fence for item in ended if item.fence.job in wished])
        failed = [o for o in group if isinstance(o, Failure)]
        failed += [item for item in ended if item.fence.job not in wished]
        lifecycle.settle(tx, lambda some: lifecycle.failed(tx, now, some), failed)
        interrupted = [o for o in group if isinstance(o, Interrupted)]
        lifecycle.settle(tx, lambda some: lifecycle.interrupted(tx, now, some), interrupted)
        waiting = [o.running for o in group if isinstance(o, Waiting)]
        lifecycle.look_again(tx, State.RUNNING, {row.fence: _next(here, row, now) for row in waiting})
        crashpoints.reach(Place.BEFORE_ENDS_COMMIT)

    here.database.unit(write)
    crashpoints.reach(Place.AFTER_ENDS_COMMIT)


def _next(here: process.Process, row: Running, now: datetime) -> datetime:
    age = (now - row.accepted_at).total_seconds()
    wait = polling.next_look(age, first=here.times.poll_first, most=here.times.poll_most)
    return now + timedelta(seconds=wait)
