"""Which prediction in the list is whose: attempts in doubt first, then what nothing in doubt explains. Pure.

Another client of the account may have tens of thousands there: nothing here compares each send with each of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from jobs import marker
from jobs.lifecycle import Fence
from jobs.worklists import Case, Trace
from jobs.worklists.recalling import Owner
from worker.api.replies import Prediction

_DEAD = frozenset({"failed", "canceled", "aborted"})
_Name = TypeVar("_Name", int, str, Fence)  # of a send: its digest, or whose it is
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Matched:
    """What a walk says of the attempts in doubt, and what is left over."""

    found: tuple[tuple[Case, Prediction], ...]
    missing: tuple[Case, ...]
    strange: tuple[Prediction, ...]  # not in `attempts`, and no unsettled attempt explains it


def match(
    cases: Sequence[Case],
    unknown: Iterable[Prediction],
    unsettled: Sequence[Mapping[str, Any]] = (),
    *,
    images: bool = False,
) -> Matched:
    """Give each attempt in doubt the oldest live prediction with its scalars, or none.

    One may have sent a part of what another did; then a prediction is of the one that sent more. ``unsettled`` are
    the inputs of all whose send has not settled: of some the answer is still on its way, and their predictions are
    neither found nor strange. Twins, which differ in their images alone, are told apart by these if the list shows
    ``images`` as they were sent; else none of them is found.
    """
    sends = [*unsettled, *(case.sent for case in cases)]
    twins = _twins(sends)

    def compared(sent: Mapping[str, Any]) -> Mapping[str, Any]:
        return marker.with_image(sent) if marker.digest(sent) in twins else sent

    digests = [marker.digest(compared(case.sent)) for case in cases]
    told = sends if images else [sent for sent in sends if marker.digest(sent) not in twins]
    rivals = {marker.digest(sent): sent for sent in map(compared, told)}
    left = {prediction.id: prediction for prediction in unknown}
    shows = _shown({one: marker.with_image(prediction.input) for one, prediction in left.items()}, rivals)
    fitting = _of_the_largest(shows, rivals)
    found: list[tuple[Case, Prediction]] = []
    missing: list[Case] = []
    for case, digest in zip(cases, digests, strict=True):
        best = min(
            (left[one] for one in fitting.get(digest, ()) if one in left), key=_preference, default=None
        )
        if best is None:
            missing.append(case)
            continue
        del left[best.id]
        rivals.pop(digest, None)  # a twin of another account's may have been given one before
        found.append((case, best))
    strange = [p for p in left.values() if rivals.keys().isdisjoint(shows.get(p.id, ()))]
    return Matched(tuple(found), tuple(missing), tuple(strange))


def _twins(sends: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the digests of those that differ from another in their images alone."""
    images: defaultdict[str, set[Any]] = defaultdict(set)
    for sent in sends:
        images[marker.digest(sent)].add(sent.get("image"))
    return {digest for digest, some in images.items() if len(some) > 1}


def alike(cases: Sequence[Case], strange: Sequence[Prediction]) -> dict[Fence, list[Prediction]]:
    """Return the predictions that show all that each send said but for its image: they could be that send's."""
    shows = _shown(_inputs(strange), {case.fence: case.sent for case in cases})
    found: defaultdict[Fence, list[Prediction]] = defaultdict(list)
    for prediction in strange:
        for fence in shows.get(prediction.id, ()):
            found[fence].append(prediction)
    return found


def _inputs(predictions: Iterable[Prediction]) -> dict[str, Mapping[str, Any]]:
    return {prediction.id: prediction.input for prediction in predictions}


def _shown(
    inputs: Mapping[str, Mapping[str, Any]], sends: Mapping[_Name, Mapping[str, Any]]
) -> dict[str, list[_Name]]:
    """Return which of the named sends each prediction's input shows, in their order; not those that show none.

    Compared are only those that agree in what all the sends have and no echo changes: it is the job's own seed at
    the least, so that hardly any pair is.
    """
    exact = {name: marker.exact(sent) for name, sent in sends.items()}
    common = set.intersection(*map(set, exact.values())) if exact else set()
    same_so_far: defaultdict[frozenset[tuple[str, Any]], list[_Name]] = defaultdict(list)
    for name, scalars in exact.items():
        same_so_far[frozenset((one, scalars[one]) for one in common)].append(name)
    found: dict[str, list[_Name]] = {}
    for prediction_id, shown in inputs.items():
        echoed = {one: shown[one] for one in common if one in shown}
        near = same_so_far.get(frozenset(marker.scalars(echoed).items()), ())
        if same := [name for name in near if marker.matches(sends[name], shown)]:
            found[prediction_id] = same
    return found


def _of_the_largest(
    shows: Mapping[str, Sequence[str]], sends: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Sequence[str]]:
    """Return which predictions are of each send: of those that one shows, it is of the one that said most."""
    fitting: defaultdict[str, list[str]] = defaultdict(list)
    for prediction_id, digests in shows.items():
        sizes = {digest: len(marker.scalars(sends[digest])) for digest in digests}
        most = max(sizes.values())
        for digest, size in sizes.items():
            if size == most:
                fitting[digest].append(prediction_id)
    return fitting


def is_dead(prediction: Prediction) -> bool:
    """Whether it came to an end without an output."""
    return prediction.status in _DEAD


def _preference(prediction: Prediction) -> tuple[bool, datetime, str]:
    return (is_dead(prediction), prediction.created_at or _LAST, prediction.id)


def explain(strange: Sequence[Prediction], traces: Sequence[Trace]) -> list[tuple[Trace, Prediction]]:
    """Say which strange predictions stem from our own closed attempts.

    Only sends with a seed of our making are claimed: anything else may be another client's of the same account.
    """
    ours = {trace.fence.attempt: trace for trace in traces if trace.own_seed}
    shows = _shown(_inputs(strange), {attempt: trace.sent for attempt, trace in ours.items()})

    def likeliest(attempt: int) -> tuple[bool, int]:
        # An attempt without an id has lost exactly such a prediction; one with an id has a surplus twin.
        return (ours[attempt].prediction_id is not None, attempt)

    return [(ours[min(shows[p.id], key=likeliest)], p) for p in strange if p.id in shows]


def own(strange: Sequence[Prediction], owners: Sequence[Owner]) -> list[tuple[int, Prediction]]:
    """Say which strange predictions show all that a job wants, its own seed included; the best to adopt first."""
    shows = _shown(_inputs(strange), {owner.job: owner.wanted for owner in owners})
    return [(job, p) for p in sorted(strange, key=_preference) for job in shows.get(p.id, ())]
