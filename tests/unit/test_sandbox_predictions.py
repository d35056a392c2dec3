import dataclasses
import math

import pytest

from sandbox import predictions
from sandbox.predictions import Prediction
from worker.api import dates, diagnosis

BASE = "http://127.0.0.1:1"


def prediction(**changes):
    made = Prediction(
        id="p1",
        t=1000.0,
        account="a",
        identity="i",
        attempt=0,
        fault=None,
        fate=None,
        error=None,
        seed=4,
        version="d4" * 32,
        input={"image": None, "num_outputs": 2},
        image="blob:" + "e5" * 32,
        key="k",
        queue=1.0,
        run=10.0,
        deadline=None,
    )
    return dataclasses.replace(made, **changes)


def status(made, now):
    return predictions.stage(made, now).status


def described(made, now, lifetime=3600.0):
    return predictions.describe(made, now, base=BASE, lifetime=lifetime)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (-math.inf, "starting"),
        (1000.5, "starting"),
        (1001, "processing"),
        (1010, "processing"),
        (1011, "succeeded"),
    ],
)
def test_a_prediction_starts_runs_and_succeeds_by_the_clock_alone(now, expected):
    assert status(prediction(), now) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"deadline": 1005.0}, "canceled"),
        ({"deadline": 1000.5}, "aborted"),
        ({"canceled_at": 1000.5}, "canceled"),
        ({"canceled_at": 1005.0}, "canceled"),
        ({"canceled_at": 1011.5}, "succeeded"),
        ({"deadline": 1011.5}, "succeeded"),
        ({"fate": "stuck"}, "processing"),
        ({"fate": "stuck", "deadline": 1012.0}, "canceled"),
        ({"fate": "stuck", "canceled_at": 1012.0}, "canceled"),
        ({"fate": "aborted"}, "aborted"),
        ({"fate": "oom"}, "failed"),
        ({"fate": "unreadable", "error": "cannot identify image file"}, "failed"),
        ({"fate": "unknown_status"}, "succeeded"),
    ],
)
def test_how_a_prediction_ends(changes, expected):
    assert status(prediction(**changes), 1020) == expected


@pytest.mark.parametrize(
    "changes", [{"fate": "stuck"}, {"run": 1800.5}, {"fate": "unknown_end", "run": 1900}]
)
def test_a_run_is_cut_after_half_an_hour(changes):
    made = prediction(**changes)
    assert predictions.ends_at(made) == 1001 + 1800
    assert status(made, 2800) == "processing"
    ended = described(made, 2801)
    assert (ended["status"], ended["output"], ended["metrics"]["predict_time"]) == ("failed", None, 1800)
    assert str(diagnosis.failure_class(ended["error"])) == "timed-out"


def test_what_was_aborted_never_started_and_what_was_canceled_may_have():
    assert predictions.stage(prediction(deadline=1000.5), 1020).started_at is None
    assert predictions.stage(prediction(canceled_at=1000.5), 1020).started_at is None
    assert predictions.stage(prediction(canceled_at=1005.0), 1020).started_at == 1001


@pytest.mark.parametrize("later", [{"deadline": 1005.0}, {"canceled_at": 1005.0}])
def test_what_has_ended_as_aborted_stays_so(later):
    made = prediction(fate="aborted", **later)
    ends = {predictions.stage(made, now) for now in (1001, 1004, 1006, 1020)}
    assert ends == {predictions.Stage("aborted", None, 1001)}
    assert predictions.ends_at(made) == 1001


@pytest.mark.parametrize(
    ("fate", "error_class", "ways"),
    [("fail_transient", "interrupted", 8), ("nsfw", "nsfw", 2), ("oom", "out-of-memory", 2)],
)
def test_a_failure_is_told_in_all_the_ways_of_the_api_and_always_known(fate, error_class, ways):
    made = [prediction(fate=fate, attempt=attempt) for attempt in range(100)]
    told = {described(one, 2000)["error"] for one in made}
    assert len(told) == ways
    assert {str(diagnosis.failure_class(error)) for error in told} == {error_class}
    assert described(made[0], 2000) == described(made[0], 2000)


def test_a_new_object_has_none_of_what_is_not_known_yet():
    new = described(prediction(), -math.inf)
    assert (new["status"], new["output"], new["error"], new["logs"], new["metrics"]) == (
        "starting",
        None,
        None,
        "",
        {},
    )
    assert not {"started_at", "completed_at", "deadline"} & new.keys()
    assert new["created_at"] == "1970-01-01T00:16:40.000000Z"
    assert new["urls"]["cancel"] == f"{BASE}/v1/predictions/p1/cancel"


def test_a_finished_object_has_its_outputs_times_and_seed():
    done = described(prediction(deadline=1500.0), 1011)
    assert done["output"] == [f"{BASE}/output/k/out-0.png", f"{BASE}/output/k/out-1.png"]
    assert done["started_at"] == "1970-01-01T00:16:41.000000Z"
    assert done["completed_at"].startswith("1970-01-01T00:16:51.000")
    assert done["metrics"] == {"predict_time": 10.0, "total_time": 11.0}
    assert done["deadline"] == "1970-01-01T00:25:00.000000Z"
    assert done["logs"] == "Using seed: 4\n"
    assert done["input"] == {"image": f"{BASE}/input/k", "num_outputs": 2}


def test_the_end_has_three_to_nine_fraction_digits():
    ends = [described(prediction(run=10 + n / 1e6), 1012)["completed_at"] for n in range(7)]
    assert sorted(len(end.partition(".")[2]) - 1 for end in ends) == [3, 4, 5, 6, 7, 8, 9]
    for n, end in enumerate(ends):
        read = dates.iso(end.replace("1970", "2026"))  # of a clock's first years, none is taken for a date
        assert abs((read - dates.iso("2026-01-01T00:16:51Z")).total_seconds() - n / 1e6) < 1e-3


def test_a_lifetime_after_completion_everything_is_removed():
    assert described(prediction(), 1011 + 99, lifetime=100)["data_removed"] is False
    gone = described(prediction(), 1011 + 100, lifetime=100)
    assert (gone["data_removed"], gone["output"], gone["input"], gone["status"]) == (
        True,
        None,
        {},
        "succeeded",
    )


def test_a_line_of_the_ledger_is_enough_to_bring_a_prediction_back():
    made = prediction(fate="oom")
    assert Prediction(**made.line()) == made
