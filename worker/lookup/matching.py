"""Which prediction in the list belongs to which attempt: first attempts in doubt, then what those do not explain. Pure.

Another client of the account may have tens of thousands there, so nothing compares every send with every one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from jobs import marker
from jobs.lifecycle import Fence
from jobs.worklists import Case, Owner, Trace
from worker.api.replies import Prediction

_DEAD = frozenset({"failed", "canceled", "aborted"})
_Name = TypeVar("_Name", int, str, Fence)  # identifies a send: by its digest, or by its owner
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Matched:
    """What a walk shows about the attempts in doubt, and what is left over."""

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

    If one attempt sent only a part of what another sent, the prediction belongs to the one that sent more.
    ``unsettled`` holds the inputs of all unsettled sends: some may still be answered, and their predictions
    are neither found nor strange. If the list shows ``images`` as they were sent, a send with a seed of a person's
    choice must show its own: others, here or at another client, may differ from it in nothing else. If it does not,
    none of such twins here is found.
    """
    sends = [*unsettled, *(case.sent for case in cases)]
    twins = _twins(sends)

    def compared(sent: Mapping[str, Any]) -> Mapping[str, Any]:
        return marker.with_image(sent) if images or marker.digest(sent) in twins else sent

    digests = [marker.digest(compared(case.sent)) for case in cases]
    told = sends if images else [sent for sent in sends if marker.digest(sent) not in twins]
    rivals = {marker.digest(sent): sent for sent in map(compared, told)}
    left = {prediction.id: prediction for prediction in unknown}
    shows = _shown({one: marker.with_image(prediction.input) for one, prediction in left.items()}, rivals)
    fitting = _of_the_largest(shows, rivals)
    found: list[tuple[Case, Prediction]] = []
    missing: list[Case] = []
    for case, digest in zip(cases, digests, strict=True):
        free = (left[one] for one in fitting.get(digest, ()) if one in left)
        best = min(free, key=preference, default=None)
        if best is None:
            missing.append(case)
            continue
        del left[best.id]
        rivals.pop(digest, None)  # another account's twin may have taken one before
        found.append((case, best))
    strange = [p for p in left.values() if rivals.keys().isdisjoint(shows.get(p.id, ()))]
    return Matched(tuple(found), tuple(missing), tuple(strange))


def _twins(sends: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the digests of those that differ from another only in their images."""
    images: defaultdict[str, set[Any]] = defaultdict(set)
    for sent in sends:
        images[marker.digest(sent)].add(sent.get("image"))
    return {digest for digest, some in images.items() if len(some) > 1}


def alike(cases: Sequence[Case], strange: Sequence[Prediction]) -> dict[Fence, list[Prediction]]:
    """Return, by send, the predictions that could be its: they show all of it but its image, or the seed of its own.

    An API may show a prompt shortened, or in fewer characters than it has.
    """
    shows = _shown(_inputs(strange), {case.fence: case.sent for case in cases})
    owners: defaultdict[Any, list[Fence]] = defaultdict(list)
    for case in cases:
        if case.own_seed:
            owners[marker.scalars(case.sent).get("seed")].append(case.fence)
    found: defaultdict[Fence, list[Prediction]] = defaultdict(list)
    for prediction in strange:
        same = owners.get(marker.scalars(prediction.input).get("seed"), ())
        for fence in {*shows.get(prediction.id, ()), *same}:
            found[fence].append(prediction)
    return found


def _inputs(predictions: Iterable[Prediction]) -> dict[str, Mapping[str, Any]]:
    return {prediction.id: prediction.input for prediction in predictions}


def _shown(
    inputs: Mapping[str, Mapping[str, Any]], sends: Mapping[_Name, Mapping[str, Any]]
) -> dict[str, list[_Name]]:
    """Return which of the named sends each prediction's input shows, in order; predictions that show none are left out.

    Only pairs that agree in the exactly echoed scalars common to all sends are compared. These include at
    least the seed, so few pairs are.
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
    """Return each send's predictions: one that shows several sends belongs to those with the most scalars."""
    fitting: defaultdict[str, list[str]] = defaultdict(list)
    for prediction_id, digests in shows.items():
        sizes = {digest: len(marker.scalars(sends[digest])) for digest in digests}
        most = max(sizes.values())
        for digest, size in sizes.items():
            if size == most:
                fitting[digest].append(prediction_id)
    return fitting


def is_dead(prediction: Prediction) -> bool:
    """Whether it ended without an output."""
    return prediction.status in _DEAD


def preference(prediction: Prediction) -> tuple[bool, datetime, str]:
    """Return by what predictions are sorted, the best to adopt first: the oldest that lives."""
    return (is_dead(prediction), prediction.created_at or _LAST, prediction.id)


def explain(strange: Sequence[Prediction], traces: Sequence[Trace]) -> list[tuple[Trace, Prediction]]:
    """Return which strange predictions stem from which of our settled attempts.

    Only sends with a seed of our making are claimed: others may be another client's of the same account.
    """
    ours = {trace.fence.attempt: trace for trace in traces if trace.own_seed}
    shows = _shown(_inputs(strange), {attempt: trace.sent for attempt, trace in ours.items()})

    def likeliest(attempt: int) -> tuple[bool, bool, int]:
        # An attempt without an id lost exactly such a prediction, unless it had bought nothing at all; one with an
        # id would have a surplus twin.
        return (ours[attempt].prediction_id is not None, ours[attempt].refused, attempt)

    return [(ours[min(shows[p.id], key=likeliest)], p) for p in strange if p.id in shows]


@dataclass(frozen=True, slots=True)
class Owned:
    """A prediction that shows all that a job wants, own seed included; ``shared`` if others want just the same.

    Among some ten thousand jobs, two may by chance have one seed, and differ only in their images.
    """

    job: int
    prediction: Prediction
    shared: bool


def own(strange: Sequence[Prediction], owners: Sequence[Owner]) -> list[Owned]:
    """Return which strange predictions are whose; the best to adopt first, and each once."""
    shows = _shown(_inputs(strange), {owner.job: owner.wanted for owner in owners})
    return [Owned(of[0], p, len(of) > 1) for p in sorted(strange, key=preference) if (of := shows.get(p.id))]
