from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.accounts.breaker import Breaker, BreakerState, judge
from jobs.accounts.tally import Tally
from jobs.errors import BlockReason
from jobs.settings.times import Times

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
TIMES = Times()
CREDIT = (BlockReason.CREDIT, "Insufficient credit")
TOKEN = (BlockReason.TOKEN, "Unauthenticated")


def later(seconds):
    return NOW + timedelta(seconds=seconds)


# Outage


def outage(at=NOW):
    return Breaker(BreakerState.OUTAGE, "no answer", at, at + timedelta(seconds=TIMES.canary), 12, at)


def test_ten_failures_in_ten_seconds_without_a_success_are_an_outage():
    first = judge(Breaker(), Tally(failed=5, message="No answer"), NOW, TIMES)
    assert (first.state, first.failures, first.failing_since) == (BreakerState.CLOSED, 5, NOW)
    opened = judge(first, Tally(failed=5, message="No answer"), later(10), TIMES)
    assert (opened.state, opened.reason, opened.since) == (BreakerState.OUTAGE, "No answer", later(10))
    assert opened.probe_at == later(10 + TIMES.canary)


@pytest.mark.parametrize(("failed", "after"), [(8, 3600), (1000, 9.9)])
def test_few_failures_or_a_short_while_are_no_outage(failed, after):
    first = judge(Breaker(), Tally(failed=1), NOW, TIMES)
    assert judge(first, Tally(failed=failed), later(after), TIMES).state == BreakerState.CLOSED


@pytest.mark.parametrize("success", [Tally(answered=1), Tally(bought=1), Tally(answered=1, failed=50)])
def test_any_answer_ends_the_count_and_the_outage(success):
    failing = judge(Breaker(), Tally(failed=9), NOW, TIMES)
    assert judge(failing, success, later(60), TIMES) == Breaker()
    assert judge(outage(), success, later(60), TIMES) == Breaker()


def test_a_canary_that_dies_is_followed_by_another_half_a_minute_later():
    after = judge(outage(), Tally(failed=1), later(45), TIMES)
    assert (after.state, after.since, after.probe_at) == (BreakerState.OUTAGE, NOW, later(45 + TIMES.canary))


def test_nothing_observed_changes_nothing():
    for breaker in (Breaker(), outage(), judge(Breaker(), Tally(blocked=TOKEN), NOW, TIMES)):
        assert judge(breaker, Tally(), later(60), TIMES) == breaker


# Block


@pytest.mark.parametrize("breaker", [Breaker(), outage()])
@pytest.mark.parametrize("reason", BlockReason)
def test_one_refusal_of_the_account_blocks_it(breaker, reason):
    after = judge(breaker, Tally(blocked=(reason, "No."), bought=3, answered=9), later(5), TIMES)
    assert (after.state, after.reason, after.since) == (BreakerState.BLOCKED, f"{reason}: No.", later(5))


def test_only_a_create_that_is_accepted_ends_a_block():
    blocked = judge(Breaker(), Tally(blocked=CREDIT), NOW, TIMES)
    assert judge(blocked, Tally(answered=100), later(5), TIMES) == blocked
    assert judge(blocked, Tally(bought=1), later(5), TIMES) == Breaker()


def test_a_credit_is_asked_for_again_for_two_hours_and_then_no_more():
    blocked = judge(Breaker(), Tally(blocked=CREDIT), NOW, TIMES)
    assert blocked.probe_at == later(TIMES.canary)
    patient = judge(blocked, Tally(blocked=CREDIT), later(7199), TIMES)
    assert (patient.since, patient.probe_at) == (NOW, later(7199 + TIMES.canary))
    assert judge(patient, Tally(blocked=CREDIT), later(7200), TIMES).probe_at is None


@pytest.mark.parametrize("reason", sorted(set(BlockReason) - {BlockReason.CREDIT}))
def test_any_other_refusal_may_be_a_gateways_bad_moment_and_is_asked_for_minutes(reason):
    refusal = Tally(blocked=(reason, "No."))
    blocked = judge(Breaker(), refusal, NOW, TIMES)
    assert blocked.probe_at == later(TIMES.canary)
    assert judge(blocked, refusal, later(180), TIMES).probe_at is None


@pytest.mark.parametrize("reason", [TOKEN, CREDIT])
def test_a_read_that_fails_while_blocked_sends_no_canary_out(reason):
    blocked = judge(Breaker(), Tally(blocked=reason), NOW, TIMES)
    given_up = replace(blocked, probe_at=None)
    assert judge(given_up, Tally(failed=40), later(3600), TIMES) == given_up


@given(
    st.lists(st.builds(Tally, bought=st.integers(0, 2), answered=st.integers(0, 2), failed=st.integers(0, 9)))
)
def test_jobs_own_failures_and_a_dead_wire_never_block(tallies):
    breaker = Breaker()
    for seconds, tally in enumerate(tallies):
        breaker = judge(breaker, tally, later(seconds), TIMES)
        assert breaker.state in {BreakerState.CLOSED, BreakerState.OUTAGE}
        assert (breaker.state == BreakerState.CLOSED) == (breaker.reason is None)


def test_an_outage_of_creates_alone_opens_though_reads_are_answered_and_ends_with_a_create_only():
    lost = judge(Breaker(), Tally(lost=6, message="502"), NOW, TIMES)
    listed = judge(lost, Tally(answered=3), NOW + timedelta(seconds=5), TIMES)
    assert listed == lost, "a list that answers says nothing of creates"

    opened = judge(listed, Tally(lost=6, message="502"), NOW + timedelta(seconds=11), TIMES)
    assert opened.state == BreakerState.OUTAGE
    assert opened.is_away, "nobody knows yet that reads are answered"

    heard = judge(opened, Tally(answered=1), NOW + timedelta(seconds=42), TIMES)
    assert heard.state == BreakerState.OUTAGE
    assert not heard.is_away, "what is in flight is polled"
    assert judge(heard, Tally(answered=9), NOW + timedelta(seconds=43), TIMES) == heard
    assert judge(heard, Tally(failed=1), NOW + timedelta(seconds=44), TIMES).is_away
    assert judge(heard, Tally(bought=1), NOW + timedelta(seconds=50), TIMES) == Breaker()
    assert judge(heard, Tally(declined=1), NOW + timedelta(seconds=50), TIMES) == Breaker()


def test_after_a_few_failures_in_a_row_of_either_kind_it_is_in_doubt_until_an_answer():
    failing = judge(Breaker(), Tally(failed=2), NOW, TIMES)
    assert not failing.in_doubt
    doubtful = judge(failing, Tally(lost=1), NOW, TIMES)
    assert doubtful.in_doubt
    assert doubtful.failing == "creates"
    assert judge(doubtful, Tally(failed=1), NOW, TIMES).failures == 4
    assert judge(doubtful, Tally(answered=1), NOW, TIMES) == doubtful
    assert not judge(doubtful, Tally(bought=1), NOW, TIMES).in_doubt
    outage = judge(doubtful, Tally(lost=7), later(TIMES.outage_after), TIMES)
    assert outage.state == BreakerState.OUTAGE
    assert not outage.in_doubt


def lived_through(under_way, takes, tick=0.25):
    """Lose all creates from now on, each so many seconds after it left; return how many left until it opened."""
    breaker, probe_at, sent = Breaker(), NOW, [0.0] * under_way
    lost = [min(takes, 0.5)] * under_way  # when: what was under way at the beginning left before
    for n in range(round(60 / tick)):
        seconds = n * tick
        if ended := [at for at in lost if at <= seconds]:
            lost = [at for at in lost if at > seconds]
            breaker = judge(breaker, Tally(lost=len(ended)), later(seconds), TIMES)
        if breaker.state == BreakerState.OUTAGE:
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
