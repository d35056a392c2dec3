import pytest

from sandbox import damage, problems, views


def test_a_rewritten_input_means_the_same_to_a_model_and_not_to_a_comparison():
    sent = {"image": "https://a.invalid/a.png", "prompt": "hills", "prompt_strength": 0.6, "seed": 7}
    stored = views.rewritten(sent)
    assert stored["prompt_strength"] != 0.6
    assert stored["prompt_strength"] == pytest.approx(0.6)
    assert {name: stored[name] for name in ("image", "prompt", "seed")} == {
        name: sent[name] for name in ("image", "prompt", "seed")
    }
    assert (stored["num_outputs"], stored["num_inference_steps"]) == (1, 25)
    assert stored.keys() - sent.keys() > {"guidance_scale", "scheduler", "safety_tolerance"}


@pytest.mark.parametrize(
    ("wait", "unit", "told"), [(0.2, 1, "1"), (4.1, 1, "5"), (0.2, 0.25, "0.25"), (0.6, 0.25, "0.75")]
)
def test_a_throttle_asks_for_whole_units(wait, unit, told):
    problem = problems.throttled(wait, {}, unit=unit)
    assert problem.headers["retry-after"] == told
    assert str(problem.body["retry_after"]) == told
    assert f"~{told}s" in str(problem)


def test_a_bomb_is_small_on_the_wire():
    answer = damage.spoilt("bomb", "pixels", b"", None)
    assert len(answer.body) < 1_000_000
