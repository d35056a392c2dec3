"""What the status of a prediction means for its job: the API's words in, an outcome to record out."""

import functools
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from jobs import retry
from jobs.failures import FailureClass
from jobs.lifecycle import Failure, Interrupted, Produced
from jobs.worklists import Running
from worker import context
from worker.api import diagnosis, replies
from worker.api.replies import Prediction

log = structlog.get_logger(__name__)

_UNDER_WAY = frozenset({"starting", "processing"})
_UNSEEN = 0.2  # of a prediction's age: looks then cost and come about as if the API said when it ended
_MOST_UNSEEN = timedelta(seconds=5)  # below what disproves a list that still shows it running
GIVEN_UP = 2  # deadlines after which we stop waiting for a prediction that does not end


@dataclass(frozen=True, slots=True)
class Waiting:
    """Still running, or unknown: look again."""

    running: Running
    among: int = 1  # running predictions that one look shows together
    unshown: bool = False  # it has succeeded, and its image is yet to be shown


@dataclass(frozen=True, slots=True)
class Canceled:
    """The API says that the prediction was canceled: at a person's request, at its deadline, or from elsewhere."""

    failure: Failure


Outcome = Waiting | Produced | Failure | Interrupted | Canceled


def is_given_up(here: context.Context, accepted_at: datetime, now: datetime) -> bool:
    """Whether a prediction was sold so long ago that it is no longer waited for."""
    return now > accepted_at + timedelta(seconds=GIVEN_UP * here.times.prediction_deadline)


def ended(here: context.Context, row: Running, prediction: Prediction, now: datetime) -> Outcome:
    """Return what a prediction's status means for its job; an unknown one is not final before the deadline."""
    match prediction.status:
        case "succeeded":
            return _succeeded(here, row, prediction, now)
        case "failed":
            return _failed(here, row, prediction, now)
        case "canceled":
            early = _ended_early(prediction, here.times.prediction_deadline)
            when = "at the API before its deadline, and not from here" if early else "at its deadline"
            message = f"it was canceled {when}"
            return Canceled(_failure(here, row, prediction, FailureClass.DEADLINE, message))
        case "aborted":
            again = now + timedelta(seconds=here.times.poll_first)
            message = "its deadline passed before it started"
            free = None if here.cost is None else 0.0
            return Interrupted(row.fence, FailureClass.INTERRUPTED, message, again, cost=free, counted=False)
        case _:
            return _unended(here, row, prediction, now)


def _ended_early(prediction: Prediction, deadline: float) -> bool:
    """Whether a prediction surely ended before its deadline, by the API's own clock; that is sent in whole seconds."""
    if prediction.created_at is None or prediction.completed_at is None:
        return False
    return (prediction.completed_at - prediction.created_at).total_seconds() < deadline - 1


def _unended(here: context.Context, row: Running, prediction: Prediction, now: datetime) -> Outcome:
    """Wait for a prediction that runs, or whose status nobody knows, but not for ever."""
    if prediction.status not in _UNDER_WAY:
        report(prediction.status)
        overdue = now > row.accepted_at + timedelta(seconds=here.times.prediction_deadline)
        if row.cancel_sent and overdue and prediction.output:
            # Its deadline and a cancel have ended whatever still ran, and the outputs will soon be deleted.
            return _succeeded(here, row, prediction, now)
    if not (row.cancel_sent and is_given_up(here, row.accepted_at, now)):
        return Waiting(row)
    message = f"it was {prediction.status} long after its deadline, and could not be canceled"
    return _failure(here, row, prediction, FailureClass.DEADLINE, message)


@functools.lru_cache(maxsize=100)
def report(status: str) -> None:
    """Log a status that nobody knows: once in each process, since every prediction may have it."""
    log.warning("status-unknown", status=status)


def is_explained(prediction: Prediction) -> bool:
    """Whether it says how it ended, and not only that it did: an entry of a list may be an excerpt.

    What a job's end and the next purchase depend on is asked of the prediction itself.
    """
    match prediction.status:
        case "succeeded":
            return bool(prediction.output) or prediction.data_removed
        case "failed":
            return prediction.error is not None
        case _:
            return True


def _succeeded(here: context.Context, row: Running, prediction: Prediction, now: datetime) -> Outcome:
    if not prediction.output:
        gone = prediction.data_removed
        if not gone and _may_yet_be_shown(here, row, prediction, now):
            return Waiting(row, unshown=True)
        error_class = FailureClass.EXPIRED if gone else FailureClass.EMPTY_OUTPUT
        message = "its outputs were deleted already" if gone else "it succeeded without an image"
        return _failure(here, row, prediction, error_class, message)
    urls = tuple(None if replies.is_inline(url) else url for url in prediction.output)
    # The API's clock may be wrong: too early a time would leave no second try for a download.
    produced_at = min(now, max(prediction.completed_at or _ended_unseen(row, now), row.accepted_at))
    return Produced(row.fence, urls, produced_at, prediction.predict_time, here.cost)


def _may_yet_be_shown(here: context.Context, row: Running, prediction: Prediction, now: datetime) -> bool:
    """Whether outputs that are not shown may only be late: what is given up now, and is there later, was paid for.

    An end that lies ahead is by a wrong clock, and would be waited for as long.
    """
    ended_at = prediction.completed_at
    since = ended_at if ended_at and ended_at <= now else row.accepted_at
    return now < since + timedelta(seconds=here.times.gone_patience)


def _ended_unseen(row: Running, now: datetime) -> datetime:
    """Guess when a prediction ended whose API does not say it: somewhat before this look.

    Looks come when others had ended. If the moment of a look were taken for the end, each look would thus make the next
    a little later: of two seconds that each runs, fifteen are waited for after some thousand.
    """
    return now - min(_UNSEEN * (now - row.accepted_at), _MOST_UNSEEN)


def _failed(here: context.Context, row: Running, prediction: Prediction, now: datetime) -> Outcome:
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
    here: context.Context, row: Running, prediction: Prediction, error_class: FailureClass, message: str
) -> Failure:
    return Failure(row.fence, error_class, message, prediction.predict_time, here.cost)
