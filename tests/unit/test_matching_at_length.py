"""The matching that looks each prediction up comes to what comparing each send with each prediction comes to."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobs import marker
from jobs.lifecycle import Fence
from jobs.worklists import Case, Owner, Trace
from tests.predictions import BORN, shown
from worker.lookup import matching

_DEAD = {"failed", "canceled", "aborted"}
# Few of each, so that sends are parts and neighbours of one another, and echoes of several.
SENT = st.fixed_dictionaries(
    {"seed": st.sampled_from([7, 8, 7.0, -0.0, 0, True, 2**31 - 1])},
    optional={
        "prompt": st.sampled_from(["a fox", "an owl", "7"]),
        "guidance_scale": st.sampled_from([7.5, 7, 7.000000001, 1 / 3, 9]),
        "num_outputs": st.sampled_from([1, 0, False, True]),
        "image": st.sampled_from(["https://images.example/1.png", "https://images.example/2.png"]),
    },
)
WITHOUT_SEED = st.dictionaries(
    st.sampled_from(["prompt", "guidance_scale"]), st.sampled_from(["a fox", 7.5, 7, True])
)
SENDS = st.lists(SENT | WITHOUT_SEED, max_size=6, unique_by=marker.digest)
ADDED = st.dictionaries(
    st.sampled_from(["scheduler", "num_outputs", "image", "guidance_scale"]),
    st.sampled_from(["DDIM", 1, 7.5, None, [1], {"a": 1}, 10**400, float("nan")]),
)


def spelt(value, how):
    """A value as some API shows it: whole numbers as fractions, fractions in single precision, or changed."""
    if how == "float" and type(value) is int:
        return float(value)
    if how == "single" and type(value) is float:
        return value * (1 + 2**-25)
    if how == "other":
        return "other"
    return value


@st.composite
def lists(draw, sends):
    """Predictions that show what was sent, more or less, or are another client's."""
    made = []
    for number in range(draw(st.integers(0, 8))):
        source = draw(st.sampled_from(sends)) if sends else {}
        spelling = draw(st.sampled_from(["float", "float", "single", "same", "other"]))
        echoed = {**draw(ADDED), **{name: spelt(value, spelling) for name, value in source.items()}}
        for name in draw(st.lists(st.sampled_from(sorted(echoed)), max_size=1)) if echoed else []:
            del echoed[name]
        status = draw(st.sampled_from(["succeeded", "processing", "failed", "canceled"]))
        born = draw(st.none() | st.integers(0, 3).map(lambda n: BORN + timedelta(seconds=n)))
        made.append(shown(f"p{number}", echoed, status=status, created_at=born))
    return made


@st.composite
def walks(draw):
    """(cases, unsettled besides, predictions)"""
    sends = draw(SENDS)
    cut = draw(st.integers(0, len(sends)))
    return sends[:cut], sends[cut:], draw(lists(sends))


def case(sent, number):
    return Case(
        Fence(number, number), 1, sent, BORN, BORN, sent_before=False, own_seed=False, may_resubmit=True
    )


def preference(prediction):
    born = prediction.created_at or BORN + timedelta(days=1)
    return (prediction.status in _DEAD, born, prediction.id)


def size(sent):
    return len(marker.scalars(sent))


def paired(cases, unknown, rivals):
    """What `match` is to come to, each send compared with each prediction."""
    left, found, missing = list(unknown), [], []
    for one in cases:
        fitting = [
            p
            for p in left
            if marker.matches(one.sent, p.input)
            and not any(size(r) > size(one.sent) and marker.matches(r, p.input) for r in rivals)
        ]
        if not fitting:
            missing.append(one)
            continue
        best = min(fitting, key=preference)
        left.remove(best)
        found.append((one, best))
    settled = [one.sent for one, _ in found]
    open_still = [r for r in rivals if r not in settled]
    strange = [p for p in left if not any(marker.matches(r, p.input) for r in open_still)]
    return matching.Matched(tuple(found), tuple(missing), tuple(strange))


@given(walks())
def test_each_send_is_given_what_comparing_all_pairs_gives_it(walk):
    in_doubt, others, predictions = walk
    cases = [case(sent, number) for number, sent in enumerate(in_doubt)]
    expected = paired(cases, predictions, [*others, *in_doubt])
    assert matching.match(cases, predictions, others) == expected


@given(walks(), st.data())
def test_each_stranger_is_explained_as_comparing_all_pairs_explains_it(walk, data):
    sends, others, predictions = walk
    traces = [
        Trace(Fence(n, n), sent, data.draw(st.sampled_from([None, "known"])), data.draw(st.booleans()))
        for n, sent in enumerate([*sends, *others])
    ]
    expected = []
    for prediction in predictions:
        of = [t for t in traces if t.own_seed and marker.matches(t.sent, prediction.input)]
        of.sort(key=lambda t: (t.prediction_id is not None, t.fence.attempt))
        expected += [(t, prediction) for t in of[:1]]
    assert matching.explain(predictions, traces) == expected


@given(walks())
def test_each_stranger_is_given_to_its_first_owner_as_comparing_all_pairs_gives_it(walk):
    sends, others, predictions = walk
    owners = [Owner(n, sent) for n, sent in enumerate([*sends, *others])]
    expected = []
    for prediction in sorted(predictions, key=preference):
        of = [owner.job for owner in owners if marker.matches(owner.wanted, prediction.input)]
        expected += [matching.Owned(job, prediction, len(of) > 1) for job in of[:1]]
    assert matching.own(predictions, owners) == expected


def test_no_stranger_is_compared_in_full_whose_seed_nobody_sent(monkeypatch):
    compared = []
    whole = marker.matches
    monkeypatch.setattr(marker, "matches", lambda sent, echo: compared.append(echo) or whole(sent, echo))
    cases = [case({"prompt": "a fox", "seed": n, "guidance_scale": 7.5}, n) for n in range(40)]
    strangers = [shown(f"p{n}", {"prompt": "a fox", "seed": n, "extra": 1}) for n in range(30, 2000)]
    matching.match(cases, strangers)
    assert len(compared) == 10
