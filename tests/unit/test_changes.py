"""What `--set` and `--new-seed` make of an input."""

import pytest

from jobs import errors, marker
from jobs.by_hand import changes

UUID = "00000000-0000-4000-8000-000000000001"
SENT = {"prompt": "a fox", "seed": 7, "negative_prompt": "dogs"}


def applied(change, earlier=(), *, own_seed=True):
    return change.applied(SENT, earlier, own_seed=own_seed, batch_uuid=UUID, key="tom")


def test_a_value_is_read_as_the_model_wants_it():
    change = changes.read([("num_inference_steps", "25.0"), ("prompt_strength", " .5 ")], new_seed=False)
    assert applied(change) == SENT | {"num_inference_steps": 25, "prompt_strength": 0.5}


def test_an_empty_value_takes_an_input_away():
    change = changes.read([("negative_prompt", "")], new_seed=False)
    assert applied(change) == {"prompt": "a fox", "seed": 7}


def test_the_last_word_on_an_input_counts():
    change = changes.read([("negative_prompt", ""), ("negative_prompt", "owls")], new_seed=False)
    assert applied(change)["negative_prompt"] == "owls"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("promt", "x", "--set promt=x: is no input that can be set: did you mean prompt?"),
        ("image", "x.png", "--set image=x.png: is no input that can be set: export --manifest"),
        ("key", "x", "--set key=x: is no input that can be set: export --manifest"),
        ("label.a", "x", "--set label.a=x: is no input that can be set"),
        ("prompt", "", "--set prompt=: has no value"),
        ("prompt", "  ", "--set prompt=  : has no value"),
        ("seed", "", "--set seed=: has no value: --new-seed chooses one"),
        ("num_outputs", "99", "--set num_outputs: 99 is more than 8"),
        ("prompt_strength", "0,5", "--set prompt_strength=0,5: has a decimal comma: write 0.5"),
        ("num_outputs", "\x1b[2J", r"--set num_outputs=\x1b[2J: is not a whole number"),
    ],
)
def test_a_value_that_cannot_be_is_one_sentence(name, text, sentence):
    with pytest.raises(errors.Mistakes) as caught:
        changes.read([(name, text)], new_seed=False)
    assert str(caught.value).startswith(sentence)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(errors.Mistakes) as caught:
        changes.read([("promt", "x"), ("num_outputs", "99"), ("seed", "1")], new_seed=True)
    assert len(caught.value.lines) == 3


def test_an_unknown_scheduler_is_only_a_warning():
    change = changes.read([("scheduler", "DREAM")], new_seed=False)
    assert applied(change)["scheduler"] == "DREAM"
    assert "may fail at the API" in change.warnings[0]


def test_a_new_seed_is_one_that_the_job_never_had():
    earlier = [marker.seed(UUID, "tom")]
    for tries in (1, 1, 2, 2, 7):
        seed = marker.fresh_seed(UUID, "tom", tries, earlier)
        assert seed not in earlier
        assert 0 <= seed < 2**31
        earlier.append(seed)


@pytest.mark.parametrize(
    ("written", "new_seed", "before", "after"),
    [
        ([("seed", "7")], False, True, False),
        ([("prompt", "x")], False, True, True),
        ([("prompt", "x")], False, False, False),
        ([], True, False, True),
    ],
)
def test_whose_a_seed_is(written, new_seed, before, after):
    assert changes.read(written, new_seed=new_seed).owns_seed(before) is after


def test_an_input_that_says_less_than_what_was_sent_gets_another_seed():
    # The list shows of the earlier prediction all that the new one would say.
    change = changes.read([("negative_prompt", "")], new_seed=False)
    assert applied(change, [SENT])["seed"] != SENT["seed"]
    assert applied(change, [SENT], own_seed=False)["seed"] == SENT["seed"]


def test_an_input_that_the_list_tells_apart_keeps_its_seed():
    change = changes.read([("prompt", "an owl")], new_seed=False)
    assert applied(change, [SENT])["seed"] == SENT["seed"]


def test_nothing_said_changes_nothing():
    change = changes.read([], new_seed=False)
    assert not change
    assert applied(change, [SENT]) == SENT
