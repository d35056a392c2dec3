"""Check that jobs move legally, and fail only by their own fault: I9 and I10, from rows and moves."""

from typing import Any

from jobs.failures import FailureClass
from jobs.states import TRANSITIONS, Phase, State
from tests.faults.evidence import Evidence
from tests.faults.history import Move
from tests.faults.report import Finding

# The failure class that each fate of a prediction explains.
_EXPLAINS = {
    "nsfw": FailureClass.NSFW,
    "oom": FailureClass.OUT_OF_MEMORY,
    "stuck": FailureClass.DEADLINE,
    "fail_transient": FailureClass.INTERRUPTED,
    "unreadable": FailureClass.INPUT_UNREACHABLE,
}
_SENDS = 5  # that came to nothing: enough


def fails_of_its_own(seen: Evidence) -> Finding:
    """No job fails because of a refused account, a throttle, a gateway or an outage; none is tried too often."""
    against = []
    for row in seen.jobs:
        if row.state == State.FAILED and not _explained(seen, row):
            against.append(f"{row.key}: {row.error_class}: {row.error_message}")
        if seen.terms.most_attempts and row.attempts > seen.terms.most_attempts:
            against.append(f"{row.key}: {row.attempts} attempts")
    return Finding("I9", "jobs fail of what is their own, after enough tries", len(seen.jobs), tuple(against))


def _explained(seen: Evidence, row: Any) -> bool:
    if row.error_class in seen.terms.excused:
        return True
    if row.error_class == FailureClass.EXPIRED:
        return any(seen.terms.removed(line) for line in seen.purchases.get(row.id, ()))
    if row.error_class == FailureClass.UNCONFIRMED:
        return _could_be_lost(seen, row)
    if row.error_class == FailureClass.UNSUBMITTABLE:
        absent = [
            attempt for attempt in seen.attempts if (attempt.job_id, attempt.phase) == (row.id, Phase.ABSENT)
        ]
        return len(absent) >= _SENDS and not seen.purchases.get(row.id)
    last = seen.purchases.get(row.id, ())[-1:]
    enough = row.error_class != FailureClass.INTERRUPTED or row.attempts == seen.terms.most_attempts
    return enough and any(_EXPLAINS.get(line["fate"]) == row.error_class for line in last)


def _could_be_lost(seen: Evidence, row: Any) -> bool:
    """Whether one of a job's sends may have bought what the API had deleted, and no row knew, when the job failed.

    It may be known since then: what a fault deletes is shown again when the faults have ended.
    """
    sends = [attempt.intended_at.timestamp() for attempt in seen.attempts if attempt.job_id == row.id]
    strange = (
        line for line in seen.ledger if seen.terms.removed(line) and not seen.was_known(line, row.finished_at)
    )
    return any(abs(line["t"] - send) <= seen.terms.in_doubt for line in strange for send in sends)


def moves_are_legal(seen: Evidence) -> Finding:
    """Every move is an arrow of the life cycle, and an older attempt's write never wins over a newer attempt."""
    stale = [f"{seen.name[move.job]}: {move}" for move in seen.moves if not _is_legal(move)]
    return Finding("I10", "every move is legal, and no stale writer won", len(seen.moves), tuple(stale))


def _is_legal(move: Move) -> bool:
    if move.source != move.target and move.target not in TRANSITIONS[move.source]:
        return False
    if move.target is State.SUBMITTING:
        return move.after is not None and (move.before is None or move.after > move.before)
    late = move.target is State.RUNNING and move.source in {State.PENDING, State.QUEUED, State.FAILED}
    return late or move.after == move.before
