from dataclasses import replace
from datetime import timedelta

import pytest

from jobs import marker
from jobs.lifecycle import Fence
from jobs.worklists import Case, Trace
from tests.predictions import BORN, shown
from worker.lookup import matching

FOX = {"prompt": "a fox", "seed": 7}
OWL = {"prompt": "an owl", "seed": 8}


def case(sent, number=1):
    return Case(
        Fence(number, number), 1, sent, BORN, BORN, sent_before=False, own_seed=False, may_resubmit=True
    )


def trace(sent, number=1, prediction_id=None, *, own_seed=True):
    return Trace(Fence(number, number), sent, prediction_id, own_seed)


def found(cases, unknown, unsettled=()):
    """Which prediction each case was given, and what is strange."""
    matched = matching.match(cases, unknown, unsettled)
    given = {one.fence.attempt: prediction.id for one, prediction in matched.found}
    assert given.keys() | {one.fence.attempt for one in matched.missing} == {c.fence.attempt for c in cases}
    return given, {prediction.id for prediction in matched.strange}


def test_each_attempt_in_doubt_is_given_the_prediction_with_its_scalars():
    cases = [case(FOX, 1), case(OWL, 2), case({"seed": 9}, 3)]
    listed = [shown("x", {"seed": 99}), shown("owl", OWL), shown("fox", {**FOX, "num_outputs": 1})]
    assert found(cases, listed) == ({1: "fox", 2: "owl"}, {"x"})


def test_of_several_the_oldest_that_lives_is_taken():
    listed = [
        shown("young", FOX, created_at=BORN + timedelta(seconds=2)),
        shown("old", FOX, created_at=BORN + timedelta(seconds=1), status="processing"),
        *(shown(status, FOX, status=status) for status in ("failed", "canceled", "aborted")),
    ]
    assert found([case(FOX)], listed)[0] == {1: "old"}


def test_a_dead_one_is_better_than_none():
    listed = [shown("late", FOX, status="failed", created_at=None), shown("dead", FOX, status="canceled")]
    assert found([case(FOX)], listed)[0] == {1: "dead"}


def test_what_is_left_beside_the_one_that_was_taken_is_strange():
    assert found([case(FOX)], [shown("a", FOX), shown("b", FOX)]) == ({1: "a"}, {"b"})


def test_a_prediction_whose_answer_may_be_on_its_way_is_neither_found_nor_strange():
    assert found([case(OWL)], [shown("fox", FOX)], [FOX]) == ({}, set())


def test_a_prediction_is_of_the_send_that_says_more():
    listed = [shown("more", {**FOX, "guidance_scale": 9})]
    assert found([case(FOX)], listed, [{**FOX, "guidance_scale": 9.0}]) == ({}, set())
    both = [case(FOX, 1), case({**FOX, "guidance_scale": 9}, 2)]
    assert found(both, [*listed, shown("less", FOX)]) == ({1: "less", 2: "more"}, set())


def test_an_input_that_has_been_wiped_belongs_to_nobody():
    assert found([case(FOX)], [shown("wiped")]) == ({}, {"wiped"})


def test_no_prediction_is_given_away_twice():
    with_same = [case(FOX, 1), case({"seed": 7}, 2)]
    given, strange = found(with_same, [shown("one", FOX)])
    assert (given, strange) == ({1: "one"}, set())


def with_image(sent, name):
    return {**sent, "image": marker.image_digest(f"https://images.example/{name}.png")}


TWINS = [case(with_image(FOX, name), number) for number, name in enumerate("abc")]
SHOWN = [shown(name, {**FOX, "image": f"https://images.example/{name}.png"}) for name in "cbx"]


def test_twins_are_told_apart_by_their_images_where_the_list_shows_them():
    matched = matching.match(TWINS, SHOWN, images=True)
    assert {one.fence.attempt: prediction.id for one, prediction in matched.found} == {1: "b", 2: "c"}
    assert [one.fence.attempt for one in matched.missing] == [0]
    assert [prediction.id for prediction in matched.strange] == ["x"]


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("sent", [FOX, with_image(FOX, "a")])
def test_who_has_no_twin_is_known_by_its_scalars_unless_the_list_would_show_its_image(sent, images):
    signed = shown("a", {**FOX, "image": "https://images.example/a.png?signature=1"})
    matched = matching.match([case(sent)], [signed], images=images)
    assert bool(matched.found) == (sent == FOX or not images)


def test_of_twins_that_nothing_tells_apart_none_is_given_anothers_picture():
    matched = matching.match(TWINS, SHOWN, [OWL])
    assert matched.found == ()
    assert {prediction.id for prediction in matched.strange} == {"c", "b", "x"}


def test_what_shows_all_but_the_image_could_be_any_twins():
    could_be = matching.alike([*TWINS, case(OWL, 9)], SHOWN)
    assert {fence.attempt for fence in could_be} == {0, 1, 2}
    assert all([p.id for p in some] == ["c", "b", "x"] for some in could_be.values())


def test_what_shows_the_seed_of_a_sends_own_could_be_its_though_its_prompt_was_altered():
    own = replace(case({**FOX, "prompt": "a fox 🦊"}), own_seed=True)
    altered = shown("altered", {**FOX, "prompt": "a fox ?"})
    others = [shown("other", {**FOX, "seed": 8}), shown("wiped")]
    assert matching.alike([own], [*others, altered]) == {own.fence: [altered]}
    assert matching.alike([replace(own, own_seed=False)], [*others, altered]) == {}


def test_a_strange_prediction_is_explained_by_a_send_of_our_own_making():
    [(explained, prediction)] = matching.explain([shown("p", FOX)], [trace(OWL, 1), trace(FOX, 2)])
    assert (explained.fence.attempt, prediction.id) == (2, "p")


def test_a_seed_that_a_person_gave_claims_nothing():
    assert matching.explain([shown("p", FOX)], [trace(FOX, own_seed=False)]) == []


def test_an_attempt_without_an_id_is_what_lost_it():
    traces = [trace(FOX, 1, "known"), trace(FOX, 2), trace(FOX, 3)]
    [(explained, _)] = matching.explain([shown("p", FOX)], traces)
    assert explained.fence.attempt == 2


def test_an_attempt_that_was_refused_explains_only_what_nothing_else_does():
    refused = replace(trace(FOX, 1), refused=True)
    [(explained, _)] = matching.explain([shown("p", FOX)], [refused, trace(FOX, 2)])
    assert explained.fence.attempt == 2
    [(explained, _)] = matching.explain([shown("p", FOX)], [refused])
    assert explained.fence.attempt == 1


@pytest.mark.parametrize("sent", [{}, {"seed": 7}, {**FOX, "seed": 99}])
def test_what_does_not_show_everything_that_was_sent_is_not_claimed(sent):
    assert matching.explain([shown("p", sent)], [trace(FOX)]) == []
