"""How a rehearsal is compressed, and how its figures are told."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from jobs import settings
from jobs.reports.status import Counts
from jobs.states import State
from overnight.rehearsal import compression, foretold

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def chosen(**given):
    return settings.Settings(_env_file=None, **given)


@pytest.mark.parametrize(
    ("given", "factor"),
    [
        ({"creates_per_minute": "600"}, 0.2),
        ({"creates_per_minute": "60"}, 0.05),
        ({"creates_per_minute": "unlimited", "max_in_flight": "35"}, 0.1),
        ({"creates_per_minute": "100000", "max_in_flight": "100000"}, 1.0),
    ],
)
def test_a_night_is_compressed_as_far_as_the_machine_can_follow(given, factor):
    assert compression.factor(chosen(**given)) == factor


def test_times_shrink_and_quotas_grow_by_the_same_factor_on_both_sides():
    asked = chosen(creates_per_minute="600", reads_per_minute="unlimited")
    faster, sandbox = compression.compressed(asked), compression.sandbox(asked)
    assert faster.times.settle == pytest.approx(24)
    assert (faster.creates_per_minute, faster.reads_per_minute) == (3000, None)
    assert (sandbox["creates_per_minute"], sandbox["reads_per_minute"]) == (3000, 0)
    assert sandbox["latency"] == pytest.approx(1.4)
    assert sandbox["late"] < faster.times.settle


def figures(**changes):
    batch = SimpleNamespace(name="cats", pause_reason=None, pause_detail=None)
    ended = BEGAN + timedelta(seconds=30)
    harvest = SimpleNamespace(predictions=9, orphans=1, possibly_paid=2, began_at=BEGAN, ended_at=ended)
    progress = SimpleNamespace(
        batch=batch, counts=Counts({State.SUCCEEDED: 7, State.FAILED: 1}), failures={"nsfw": 1}, finished=True
    )
    made = foretold.Foretold(
        progress=progress, harvest=harvest, accepted=10, throttled=3, peak=4, factor=0.1, price=Decimal("0.5")
    )
    return dataclasses.replace(made, **changes)


def test_the_figures_are_told_to_a_person():
    assert figures().lines() == [
        "cats: 8 jobs: 7 succeeded, 1 failed",
        "",
        "failed  class  meaning",
        "     1  nsfw   the safety check dropped every image",
        "",
        "time       about 5m; rehearsed in 30s",
        "bought     10 predictions, 2 of them surplus; 2 jobs possibly paid twice",
        "in flight  4 at most",
        "throttled  3 times",
        "cost       at most 5.0 (10 predictions at 0.5)",
    ]


def test_a_prediction_that_nobody_knows_of_is_surplus_too():
    assert figures(accepted=9).surplus == 1
    assert figures(accepted=12).surplus == 4


def test_without_a_price_the_cost_is_unknown_and_without_a_purchase_there_is_no_time():
    nothing = SimpleNamespace(predictions=0, orphans=0, possibly_paid=0, began_at=None, ended_at=None)
    told = figures(price=None, harvest=nothing)
    assert told.lines()[-1] == "cost       unknown; set OVERNIGHT_PRICE to what a job costs"
    assert (told.as_json()["seconds"], told.as_json()["cost"]) == (0, None)


def test_an_unfinished_night_says_why_in_one_line():
    batch = SimpleNamespace(name="cats", pause_reason="fuse", pause_detail="15 of\n200")
    progress = SimpleNamespace(batch=batch, counts=Counts({State.PENDING: 8}), failures={}, finished=False)
    assert figures(progress=progress).lines()[1] == "not finished: paused, fuse: 15 of 200"


def test_a_night_that_was_left_before_its_end_goes_on_as_it_began_and_what_is_being_sent_is_no_surplus():
    batch = SimpleNamespace(name="cats", pause_reason=None, pause_detail=None)
    counts = Counts({State.PENDING: 29, State.SUBMITTING: 2, State.UNCONFIRMED: 1, State.SUCCEEDED: 8})
    progress = SimpleNamespace(batch=batch, counts=counts, failures={}, finished=False)
    told = figures(progress=progress, ended_after=60.0)
    assert told.lines()[1:3] == [
        "not finished in 1m; for more time: --within",
        "time       about 25m for all; rehearsed in 30s",
    ]
    assert (told.surplus, figures(progress=progress, accepted=13).surplus) == (1, 2)
