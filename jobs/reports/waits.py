"""What one job waits for, since when and until when, in a phrase. Pure.

A pending job waits for whatever limits its batch; `limits` says what that is, and callers pass it in.
"""

from datetime import datetime

from jobs import lifecycle
from jobs.batches import Batch
from jobs.reports.dossier import Dossier, Job
from jobs.reports.limits import Limit
from jobs.states import FINAL, BatchState, State

_LATE = "without one two minutes after its end, it fails as empty-output"
_HOUR = "the API deletes them one hour after they were made"


def of(dossier: Dossier, limit: Limit) -> str | None:
    """Return what a job waits for; None if it is final."""
    job = dossier.job
    if job.state in FINAL:
        return None
    asked = job.cancel_requested_at
    cancelling = f"; cancellation requested at {moment(asked)}" if asked else ""
    deserted = f"; {limit}" if limit.deserted else ""
    return f"{_phrase(dossier, limit)}{cancelling}{deserted}"


def since(dossier: Dossier) -> datetime | None:
    """Return when the job entered its state, as far as that is recorded."""
    job, attempt = dossier.job, dossier.current
    if job.state in FINAL:
        return job.finished_at
    if job.state is State.PENDING:
        return max((one.finished_at for one in dossier.attempts if one.finished_at), default=job.created_at)
    if attempt is None:
        return None
    began = {
        State.SUBMITTING: attempt.intended_at,
        State.UNCONFIRMED: attempt.sent_at or attempt.intended_at,
        State.RUNNING: attempt.accepted_at,
        State.COLLECTING: attempt.produced_at,
    }
    return began.get(job.state)


def moment(when: datetime | None) -> str:
    """Return a time as the wall clock shows it, to the second, with its zone."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S %Z}" if when else "an unknown time"


def _phrase(dossier: Dossier, limit: Limit) -> str:
    job = dossier.job
    match job.state:
        case State.PENDING:
            return _pending(job, dossier.batch, dossier.at, limit)
        case State.QUEUED:
            return f"a worker to send it; handed out again at {moment(job.due_at)}"
        case State.SUBMITTING:
            return f"the answer to its purchase; in doubt from {moment(job.due_at)}"
        case State.UNCONFIRMED:
            return f"a look-up at {moment(job.due_at)}: nobody knows yet whether it was bought"
        case State.RUNNING:
            return f"{_prediction(dossier)}; next look at {moment(job.due_at)}"
        case _:
            return f"its images, to be fetched at {moment(job.due_at)}; {_HOUR}"


def _prediction(dossier: Dossier) -> str:
    attempt = dossier.current
    if attempt is None or attempt.error_message != lifecycle.NOT_SHOWN:
        return "the prediction"
    return f"its image: the prediction succeeded, but shows none yet; {_LATE}"


def _pending(job: Job, batch: Batch, now: datetime, limit: Limit) -> str:
    if batch.state is BatchState.OPEN and job.due_at and job.due_at > now:
        return f"its next try, not before {moment(job.due_at)}"
    return "its turn" if limit.deserted else f"its turn: {limit}"
