import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import settings
from jobs.accounts import quota

rates = st.integers(1, 100_000)
amounts = st.floats(0, 1e6)


# Buckets


@given(rates, amounts, amounts)
def test_a_bucket_fills_up_to_a_second_of_its_rate_or_one_call(rate, tokens, seconds):
    holds = quota.refilled(tokens, rate, seconds)
    assert holds <= max(1, rate / 60, tokens)
    assert holds <= max(1, rate / 10), "whatever it was given"
    assert holds <= max(1, rate / 60) or seconds < 5


@given(st.integers(0, 100_000), rates, st.integers(0, 1000))
def test_a_second_of_the_rate_and_what_is_not_answered_stay_at_the_api(left, rate, unanswered):
    granted = quota.granted(left, rate, unanswered)
    assert granted == 0 or granted + unanswered + max(1, rate / 60) <= left + 1e-6


def spent_in_a_minute(rate, tick=0.25):
    tokens, spent = 0.0, 0
    for _ in range(round(60 / tick)):
        tokens = quota.refilled(tokens, rate, tick)
        spent += int(tokens)
        tokens -= int(tokens)
    return spent


@given(rates)
def test_a_minute_brings_no_more_than_the_rate(rate):
    assert spent_in_a_minute(rate) <= rate


@given(st.integers(120, 100_000))
def test_a_minute_brings_the_whole_rate_but_for_what_is_left_in_the_bucket(rate):
    assert spent_in_a_minute(rate) >= rate - quota.capacity(rate) - 1


def test_a_clock_that_steps_back_takes_nothing_away():
    assert quota.refilled(5, 600, -3600) == 5


def test_without_a_limit_the_bucket_is_always_full():
    assert quota.refilled(0, None, 0) == math.inf


@pytest.mark.parametrize(
    ("tokens", "rate", "queued", "in_flight", "room"),
    [
        (10, 600, 0, 0, 10),
        (10, 600, 15, 50, 5),  # two seconds' worth is queued at the most
        (10, 600, 25, 50, 0),
        (10, 600, 0, 195, 5),  # the cap in flight
        (10, 600, 0, 250, 0),
        (0.99, 600, 0, 0, 0),  # half a create is none
        (-5, 600, 0, 0, 0),
        (1, 6, 0, 0, 1),  # an account low on credit
        (1, 6, 1, 1, 0),
        (math.inf, None, 0, 0, 200),
        (math.inf, None, 480, 100, 20),
    ],
)
def test_the_room_is_the_narrowest_of_tokens_cap_and_queue(tokens, rate, queued, in_flight, room):
    assert quota.room(tokens, rate, queued=queued, in_flight=in_flight, most_in_flight=200) == room


def test_one_tick_never_releases_more_than_a_transaction_bears():
    assert quota.room(math.inf, None, queued=0, in_flight=0, most_in_flight=10**6) == quota.AT_ONCE


# The rate after a 429


def test_each_episode_of_429_takes_a_fifth_of_the_rate():
    assert quota.slowed(None, 600, 0) == pytest.approx(480)
    assert quota.slowed(480, 600, 0) == pytest.approx(384)


def test_the_rate_never_falls_to_nothing():
    rate = None
    for _ in range(100):
        rate = quota.slowed(rate, 600, 0)
    assert rate == pytest.approx(6)


def test_the_rate_climbs_back_and_is_then_the_configured_one():
    assert 300 < quota.climbed(300, 600, 1) < 600
    assert quota.climbed(300, 600, 3600) is None


@given(st.floats(1, 600), st.floats(-1e6, 1e6))
def test_a_rate_only_climbs(rate, seconds):
    climbed = quota.climbed(rate, 600, seconds)
    assert climbed is None or climbed >= rate


def test_a_limit_that_nobody_told_is_found_between_what_is_sold_and_what_is_refused():
    limit, rate, over, calm = 600, None, 0, 0
    for _ in range(3600):
        rate, calm = quota.climbed(rate, None, 1, calm), calm + 1
        if rate is None or rate > limit:
            rate, over, calm = quota.slowed(rate, None, lately=limit), over + 1, 0
        assert rate >= 0.8 * limit * 0.99
    assert over < 3600 / 15


def test_a_limit_that_was_guessed_too_low_is_found_within_a_minute():
    rate = 150
    for calm in range(60):
        rate = quota.climbed(rate, None, 1, calm)
    assert rate > 600


def test_a_limit_that_was_found_and_is_never_met_again_is_forgotten():
    rate, seconds = 300, 0
    while rate is not None:
        rate, seconds = quota.climbed(rate, None, 60), seconds + 60
    assert seconds < 3600


def test_who_sells_nothing_is_tried_again_all_the_same():
    assert quota.slowed(None, None, lately=0) > 0


def test_a_rate_above_a_limit_that_a_person_has_lowered_is_slowed_from_the_limit():
    assert quota.slowed(480, 300, 0) == pytest.approx(240)


# Limits of an account's own


def test_a_limit_of_the_accounts_own_goes_before_the_settings_and_leaves_the_others():
    configured = settings.Settings(creates_per_minute="600", max_in_flight="200", _env_file=None)
    limits = quota.in_force(configured, {"creates_per_minute": None, "max_in_flight": 400})
    assert (limits.creates_per_minute, limits.max_in_flight) == (None, 400)
    assert limits.reads_per_minute == configured.reads_per_minute
    assert quota.in_force(configured, {}) == configured
