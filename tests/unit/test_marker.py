import json

from hypothesis import given
from hypothesis import strategies as st

from jobs import marker

NAMES = st.sampled_from(["seed", "prompt", "guidance_scale", "num_outputs", "scheduler", "disable"])
NUMBERS = st.integers(-(2**31), 2**31) | st.floats(-1e6, 1e6)
SCALARS = st.text(max_size=8) | NUMBERS | st.booleans()
INPUTS = st.dictionaries(NAMES, SCALARS)
# As some APIs echo them: whole numbers as floats, more fields, an image under another URL.
ADDED = st.dictionaries(
    st.sampled_from(["image", "added", "nothing"]), SCALARS | st.none() | st.lists(NUMBERS)
)


def echo_of(sent):
    """What a JSON API with floats only makes of an input."""
    return json.loads(json.dumps({k: float(v) if type(v) is int else v for k, v in sent.items()}))


@given(INPUTS, INPUTS)
def test_digests_are_equal_exactly_when_the_scalars_are(one, other):
    typed = [{k: (type(v), v) for k, v in marker.scalars(sent).items()} for sent in (one, other)]
    assert (marker.digest(one) == marker.digest(other)) == (typed[0] == typed[1])


@given(INPUTS)
def test_a_number_is_the_same_however_it_is_written(sent):
    assert marker.digest(echo_of(sent)) == marker.digest(sent)


@given(INPUTS, st.randoms())
def test_the_order_of_the_inputs_says_nothing(sent, random):
    shuffled = list(sent.items())
    random.shuffle(shuffled)
    assert marker.digest(dict(shuffled)) == marker.digest(sent)


@given(INPUTS, st.text(), st.text())
def test_the_image_is_no_part_of_the_marker(sent, image, echoed):
    assert marker.digest({**sent, "image": image}) == marker.digest(sent)
    assert marker.matches({**sent, "image": image}, {**sent, "image": echoed})


@given(INPUTS, ADDED)
def test_an_echo_matches_whatever_the_api_added(sent, added):
    assert marker.matches(sent, {**added, **echo_of(sent)})


@given(INPUTS, NAMES)
def test_an_echo_that_lacks_one_scalar_does_not_match(sent, name):
    echoed = echo_of(sent)
    if name in echoed:
        del echoed[name]
        assert not marker.matches(sent, echoed)


@given(INPUTS, NAMES, SCALARS)
def test_an_echo_with_another_value_does_not_match(sent, name, value):
    changed = {**sent, name: value}
    if name in sent and marker.digest(changed) != marker.digest(sent):
        assert not marker.matches(sent, changed)


def test_a_whole_number_of_any_length_is_a_number():
    assert marker.matches({"seed": 7}, {"seed": 7, "theirs": -(10**400)})
    assert not marker.matches({"seed": 7}, {"seed": 10**400})


def test_zero_is_zero_whatever_its_sign():
    assert marker.digest({"guidance_scale": -0.0}) == marker.digest({"guidance_scale": 0})


def test_a_number_is_no_text():
    assert not marker.matches({"seed": 7}, {"seed": "7"})


def test_an_input_that_has_been_wiped_matches_nothing_that_was_sent():
    assert not marker.matches({"seed": 7, "prompt": "a fox"}, {})


def test_no_control_character_and_no_lone_surrogate_breaks_a_digest():
    assert len(marker.digest({"prompt": "a\0\ud800\n"})) == 32


@given(st.text(), st.text(), st.integers(0, 9))
def test_a_seed_fits_31_bits_and_is_the_same_at_every_load(uuid, key, generation):
    seed = marker.seed(uuid, key, generation)
    assert 0 <= seed < 2**31
    assert seed == marker.seed(uuid, key, generation)


def test_other_batches_keys_and_generations_have_other_seeds():
    seeds = [marker.seed(uuid, key, n) for uuid in ("a", "b") for key in ("x", "y") for n in range(50)]
    assert len(set(seeds)) == len(seeds)
