import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import settings
from jobs.accounts import quota
from jobs.accounts.quota import Breaker, Tally
from jobs.errors import BlockReason
from jobs.settings.times import Times

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
TIMES = Times()
CREDIT = (BlockReason.CREDIT, "Insufficient credit")
TOKEN = (BlockReason.TOKEN, "Unauthenticated")

rates = st.integers(1, 100_000)
amounts = st.floats(0, 1e6)


def later(seconds):
    return NOW + timedelta(seconds=seconds)


# Buckets


@given(rates, amounts, amounts)
def test_a_bucket_never_holds_more_than_a_second_of_its_rate_or_one_call(rate, tokens, seconds):
    assert quota.refilled(tokens, rate, seconds) <= max(1, rate / 60)


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


# The breaker: outage


def outage(at=NOW):
    return Breaker("outage", "no answer", at, at + timedelta(seconds=TIMES.canary), 12, at)


def test_ten_failures_in_ten_seconds_without_a_success_are_an_outage():
    first = quota.judge(Breaker(), Tally(failed=5, message="No answer"), NOW, TIMES)
    assert (first.state, first.failures, first.failing_since) == ("closed", 5, NOW)
    opened = quota.judge(first, Tally(failed=5, message="No answer"), later(10), TIMES)
    assert (opened.state, opened.reason, opened.since) == ("outage", "No answer", later(10))
    assert opened.probe_at == later(10 + TIMES.canary)


@pytest.mark.parametrize(("failed", "after"), [(8, 3600), (1000, 9.9)])
def test_few_failures_or_a_short_while_are_no_outage(failed, after):
    first = quota.judge(Breaker(), Tally(failed=1), NOW, TIMES)
    assert quota.judge(first, Tally(failed=failed), later(after), TIMES).state == "closed"


@pytest.mark.parametrize("success", [Tally(answered=1), Tally(bought=1), Tally(answered=1, failed=50)])
def test_any_answer_ends_the_count_and_the_outage(success):
    failing = quota.judge(Breaker(), Tally(failed=9), NOW, TIMES)
    assert quota.judge(failing, success, later(60), TIMES) == Breaker()
    assert quota.judge(outage(), success, later(60), TIMES) == Breaker()


def test_a_canary_that_dies_is_followed_by_another_half_a_minute_later():
    after = quota.judge(outage(), Tally(failed=1), later(45), TIMES)
    assert (after.state, after.since, after.probe_at) == ("outage", NOW, later(45 + TIMES.canary))


def test_nothing_observed_changes_nothing():
    for breaker in (Breaker(), outage(), quota.judge(Breaker(), Tally(blocked=TOKEN), NOW, TIMES)):
        assert quota.judge(breaker, Tally(), later(60), TIMES) == breaker


# The breaker: blocked


@pytest.mark.parametrize("breaker", [Breaker(), outage()])
@pytest.mark.parametrize("reason", BlockReason)
def test_one_refusal_of_the_account_blocks_it(breaker, reason):
    after = quota.judge(breaker, Tally(blocked=(reason, "No."), bought=3, answered=9), later(5), TIMES)
    assert (after.state, after.reason, after.since) == ("blocked", f"{reason}: No.", later(5))


def test_only_a_create_that_is_accepted_ends_a_block():
    blocked = quota.judge(Breaker(), Tally(blocked=CREDIT), NOW, TIMES)
    assert quota.judge(blocked, Tally(answered=100), later(5), TIMES) == blocked
    assert quota.judge(blocked, Tally(bought=1), later(5), TIMES) == Breaker()


def test_a_credit_is_asked_for_again_for_two_hours_and_then_no_more():
    blocked = quota.judge(Breaker(), Tally(blocked=CREDIT), NOW, TIMES)
    assert blocked.probe_at == later(TIMES.canary)
    patient = quota.judge(blocked, Tally(blocked=CREDIT), later(7199), TIMES)
    assert (patient.since, patient.probe_at) == (NOW, later(7199 + TIMES.canary))
    assert quota.judge(patient, Tally(blocked=CREDIT), later(7200), TIMES).probe_at is None


@pytest.mark.parametrize("reason", sorted(set(BlockReason) - {BlockReason.CREDIT}))
def test_any_other_refusal_may_be_a_gateways_bad_moment_and_is_asked_for_minutes(reason):
    refusal = Tally(blocked=(reason, "No."))
    blocked = quota.judge(Breaker(), refusal, NOW, TIMES)
    assert blocked.probe_at == later(TIMES.canary)
    assert quota.judge(blocked, refusal, later(180), TIMES).probe_at is None


@pytest.mark.parametrize("reason", [TOKEN, CREDIT])
def test_a_read_that_fails_while_blocked_sends_no_canary_out(reason):
    blocked = quota.judge(Breaker(), Tally(blocked=reason), NOW, TIMES)
    given_up = replace(blocked, probe_at=None)
    assert quota.judge(given_up, Tally(failed=40), later(3600), TIMES) == given_up


@given(
    st.lists(st.builds(Tally, bought=st.integers(0, 2), answered=st.integers(0, 2), failed=st.integers(0, 9)))
)
def test_jobs_own_failures_and_a_dead_wire_never_block(tallies):
    breaker = Breaker()
    for seconds, tally in enumerate(tallies):
        breaker = quota.judge(breaker, tally, later(seconds), TIMES)
        assert breaker.state in {"closed", "outage"}
        assert (breaker.state == "closed") == (breaker.reason is None)


def test_an_outage_of_creates_alone_opens_though_reads_are_answered_and_ends_with_a_create_only():
    lost = quota.judge(quota.Breaker(), quota.Tally(lost=6, message="502"), NOW, TIMES)
    listed = quota.judge(lost, quota.Tally(answered=3), NOW + timedelta(seconds=5), TIMES)
    assert listed == lost, "a list that answers says nothing of creates"

    opened = quota.judge(listed, quota.Tally(lost=6, message="502"), NOW + timedelta(seconds=11), TIMES)
    assert opened.state == "outage"
    assert opened.is_away, "nobody knows yet that reads are answered"

    heard = quota.judge(opened, quota.Tally(answered=1), NOW + timedelta(seconds=42), TIMES)
    assert heard.state == "outage"
    assert not heard.is_away, "what is in flight is polled"
    assert quota.judge(heard, quota.Tally(answered=9), NOW + timedelta(seconds=43), TIMES) == heard
    assert quota.judge(heard, quota.Tally(failed=1), NOW + timedelta(seconds=44), TIMES).is_away
    assert quota.judge(heard, quota.Tally(bought=1), NOW + timedelta(seconds=50), TIMES) == quota.Breaker()
    assert quota.judge(heard, quota.Tally(declined=1), NOW + timedelta(seconds=50), TIMES) == quota.Breaker()


def test_after_a_few_failures_in_a_row_of_either_kind_it_is_in_doubt_until_an_answer():
    failing = quota.judge(Breaker(), Tally(failed=2), NOW, TIMES)
    assert not failing.in_doubt
    doubtful = quota.judge(failing, Tally(lost=1), NOW, TIMES)
    assert doubtful.in_doubt
    assert doubtful.failing == "creates"
    assert quota.judge(doubtful, Tally(failed=1), NOW, TIMES).failures == 4
    assert quota.judge(doubtful, Tally(answered=1), NOW, TIMES) == doubtful
    assert not quota.judge(doubtful, Tally(bought=1), NOW, TIMES).in_doubt
    outage = quota.judge(doubtful, Tally(lost=7), later(TIMES.outage_after), TIMES)
    assert outage.state == "outage"
    assert not outage.in_doubt


def lived_through(under_way, takes, tick=0.25):
    """Lose all creates from now on, each so many seconds after it left; return how many left until it opened."""
    breaker, probe_at, sent = Breaker(), NOW, [0.0] * under_way
    lost = [min(takes, 0.5)] * under_way  # when: what was under way at the beginning left before
    for n in range(round(60 / tick)):
        seconds = n * tick
        if ended := [at for at in lost if at <= seconds]:
            lost = [at for at in lost if at > seconds]
            breaker = quota.judge(breaker, Tally(lost=len(ended)), later(seconds), TIMES)
        if breaker.state == "outage":
            return len(sent)
        if (
            breaker.in_doubt
            and probe_at <= later(seconds)
            and breaker.may_try(len(lost), later(seconds), TIMES)
        ):
            sent.append(seconds)
            lost.append(seconds + takes)
            probe_at = breaker.try_again_at(len(lost), later(seconds), TIMES)
    raise AssertionError("it never opened")


@pytest.mark.parametrize("takes", [0.0, 1.5, 20.0])
@pytest.mark.parametrize("under_way", range(3, 31))
def test_an_outage_costs_seventeen_creates_or_what_was_under_way_and_one_more(under_way, takes):
    assert lived_through(under_way, takes) <= max(17, under_way + 1)
