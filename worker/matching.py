"""Which prediction in the list is whose: attempts in doubt first, then what nothing in doubt explains. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs import marker
from jobs.recalling import Owner
from jobs.worklists import Case, Trace
from worker.replies import Prediction

_DEAD = frozenset({"failed", "canceled", "aborted"})
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Matched:
    """What a walk says of the attempts in doubt, and what is left over."""

    found: tuple[tuple[Case, Prediction], ...]
    missing: tuple[Case, ...]
    strange: tuple[Prediction, ...]  # not in `attempts`, and no unsettled attempt explains it


def match(
    cases: Sequence[Case], unknown: Iterable[Prediction], unsettled: Sequence[Mapping[str, Any]] = ()
) -> Matched:
    """Give each attempt in doubt the oldest live prediction with its scalars, or none.

    No two unsettled attempts have the same scalars: the database refuses a twin. But one may have sent a part of
    what another did; then a prediction is of the one that sent more. ``unsettled`` are the inputs of them all:
    of some the answer is still on its way, and their predictions are neither found nor strange.
    """
    rivals = {marker.digest(sent): sent for sent in (*unsettled, *(case.sent for case in cases))}
    left = {prediction.id: prediction for prediction in unknown}
    found: list[tuple[Case, Prediction]] = []
    missing: list[Case] = []
    for case in cases:
        fitting = [p for p in left.values() if _is_of(case.sent, p, rivals.values())]
        if not fitting:
            missing.append(case)
            continue
        best = min(fitting, key=_preference)
        del left[best.id]
        found.append((case, best))
    for case, _ in found:
        del rivals[marker.digest(case.sent)]
    strange = [p for p in left.values() if not any(marker.matches(sent, p.input) for sent in rivals.values())]
    return Matched(tuple(found), tuple(missing), tuple(strange))


def _is_of(sent: Mapping[str, Any], prediction: Prediction, rivals: Iterable[Mapping[str, Any]]) -> bool:
    if not marker.matches(sent, prediction.input):
        return False
    size = len(marker.scalars(sent))
    return not any(len(marker.scalars(r)) > size and marker.matches(r, prediction.input) for r in rivals)


def _preference(prediction: Prediction) -> tuple[bool, datetime, str]:
    return (prediction.status in _DEAD, prediction.created_at or _LAST, prediction.id)


def explain(strange: Iterable[Prediction], traces: Sequence[Trace]) -> list[tuple[Trace, Prediction]]:
    """Say which strange predictions stem from our own closed attempts.

    Only sends with a seed of our making are claimed: anything else may be another client's of the same account.
    """
    ours = [trace for trace in traces if trace.own_seed]
    explained: list[tuple[Trace, Prediction]] = []
    for prediction in strange:
        fitting = [trace for trace in ours if marker.matches(trace.sent, prediction.input)]
        # An attempt without an id has lost exactly such a prediction; one with an id has a surplus twin.
        fitting.sort(key=lambda trace: (trace.prediction_id is not None, trace.fence.attempt))
        if fitting:
            explained.append((fitting[0], prediction))
    return explained


def own(strange: Iterable[Prediction], owners: Sequence[Owner]) -> list[tuple[int, Prediction]]:
    """Say which strange predictions show all that a job wants, its own seed included; the best to adopt first."""
    return [
        (owner.job, prediction)
        for prediction in sorted(strange, key=_preference)
        for owner in owners
        if marker.matches(owner.wanted, prediction.input)
    ]
