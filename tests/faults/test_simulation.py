"""Nights in virtual time: thousands of seeds in which everything that we can name goes wrong.

`SEEDS` in the environment says how many; `make faults` asks for two thousand.
"""

import dataclasses
import os

import pytest

from jobs.crashpoints import Place
from tests.faults import simulated_plan, simulated_spells, simulation

pytestmark = pytest.mark.no_cover  # tracing every line would make it three times as long

SEEDS = int(os.environ.get("SEEDS", "200"))
CHUNKS = 20
TOLD = 80  # events to print of a red night
HALF_AN_HOUR = 1800.0
NIGHTS_FOR_A_PLACE = 12  # within which a process must be struck there


def live(plan):
    """Run a night that must be clean, and return it."""
    night = simulation.Night(plan)
    found = night.live()
    if not found.clean:
        pytest.fail(story(night, found), pytrace=False)
    return night


def story(night, found):
    again = f"again: python -m tests.faults.simulation --seed {night.plan.seed}"
    return "\n".join(["", str(found), repr(night.plan), *night.trace[-TOLD:], again])


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_goes_wrong_nothing_is_lost_and_nothing_is_bought_twice_unseen(chunk):
    for seed in range(chunk, SEEDS, CHUNKS):
        live(simulated_plan.draw(seed))


def test_the_same_seed_is_the_same_night():
    first, second = (live(simulated_plan.draw(11)) for _ in range(2))
    assert first.trace == second.trace
    assert any("dies" in event for event in first.trace)


@pytest.mark.parametrize("place", simulated_plan.PLACES)
def test_every_crash_point_of_a_night_is_struck_and_survived(place):
    # Only predictions that are long overdue are cancelled, which needs a long night.
    more = {Place.AFTER_CANCEL_ANSWER: {"runs": {"stuck": 0.2}, "healed_at": 900.0}}
    for seed in range(NIGHTS_FOR_A_PLACE):
        plan = dataclasses.replace(
            simulated_plan.draw(seed), favourite=place, strikes=6, strike_share=0.0, **more.get(place, {})
        )
        if place in live(plan).house.struck:
            return
    pytest.fail(f"nobody was struck at {place} in {NIGHTS_FOR_A_PLACE} nights")


@pytest.mark.parametrize("kind", ["away", "502", "silent"])
def test_an_outage_of_half_an_hour_costs_a_few_calls_and_no_job(kind):
    plan = simulated_spells.spell(kind, 30, 30 + HALF_AN_HOUR, jobs=300, creates_per_minute="120")
    night = live(plan)
    cost = simulated_spells.toll(night)
    assert cost.until_noticed <= 20
    assert cost.probes <= simulated_spells.most_probes(night)
    assert cost.bought_in_second_minute >= 0.9 * 120
    assert night.states() == {"succeeded": 300}


@pytest.mark.parametrize("kind", ["401", "no_quota"])
def test_an_account_that_is_refused_stops_the_night_within_seconds_and_fails_no_job(kind):
    night = live(simulated_spells.spell(kind, 20, 600, jobs=1000))
    refused = [came_to for _, came_to in night.api.posts].count(kind)
    assert night.moment_of("paused") <= 20 + 5
    assert refused <= night.plan.workers * 50 + simulated_spells.most_probes(night)
    assert night.states() == {"succeeded": 1000}


def test_low_credit_slows_the_night_down_to_what_is_sold_and_stops_nothing():
    night = live(simulated_spells.spell("low_credit", 20, 620, jobs=300))
    sold = sum(20 < line.sent_at < 620 for line in night.api.lines.values())
    assert night.moment_of("paused") is None
    assert sold >= 0.5 * 600 / 10, "the scheduler looks every fifteen seconds at most here"
    assert night.states() == {"succeeded": 300}


@pytest.mark.parametrize("oddity", simulated_plan.ODDITIES)
def test_however_oddly_predictions_are_shown_each_succeeds_and_is_bought_once(oddity):
    plan = dataclasses.replace(
        simulated_spells.spell("calm", 0, 0, jobs=40),
        oddities={oddity: 1.0},
        sends={"answer_lost": 0.3},
        healed_at=60.0,
    )
    night = live(plan)
    assert night.states() == {"succeeded": 40}
    assert len(night.api.lines) == 40
