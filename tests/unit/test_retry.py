import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import failures, retry
from jobs.failures import FailureClass, Remedy

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
BY_ITSELF = [name for name in FailureClass if failures.advice(name).remedy is Remedy.BY_ITSELF]


def waits(error_class, attempt, **options):
    """How many seconds each of a hundred jobs waits."""
    found = [
        retry.when(error_class, attempt, NOW, random.Random(n), **({"most_attempts": 99} | options))
        for n in range(100)
    ]
    return [(at - NOW).total_seconds() for at in found]


@pytest.mark.parametrize("error_class", BY_ITSELF)
def test_what_may_pass_is_bought_again_up_to_the_most_attempts(error_class):
    whens = [retry.when(error_class, n, NOW, random.Random(0), most_attempts=3) for n in (1, 2, 3, 4)]
    assert [when is not None for when in whens] == [True, True, False, False]


@pytest.mark.parametrize("error_class", [*sorted(set(FailureClass) - set(BY_ITSELF)), "a class of tomorrow"])
def test_nothing_else_is_ever_bought_again_unasked(error_class):
    assert retry.when(error_class, 1, NOW, random.Random(0), most_attempts=99) is None


def test_each_wait_is_twice_the_one_before_but_for_what_is_drawn_and_none_is_longer_than_some_minutes():
    # The same is drawn for the same job: the rest of two waits can be compared.
    of_attempts = [waits("interrupted", attempt) for attempt in range(1, 7)]
    for before, after in itertools.pairwise(of_attempts):
        assert after == pytest.approx([2 * wait for wait in before])
    assert all(2.5 <= wait <= 7.5 for wait in of_attempts[0])
    assert all(150 <= wait <= 450 for wait in waits("interrupted", 50))


def test_a_thousand_jobs_that_one_fault_broke_do_not_come_back_as_one():
    assert len(set(waits("interrupted", 1))) > 90


@given(st.integers(1, 98), st.floats(0.001, 10), st.integers())
def test_a_wait_lies_ahead_and_is_scaled(attempt, scale, seed):
    whole = retry.when("interrupted", attempt, NOW, random.Random(seed), most_attempts=99)
    scaled = retry.when("interrupted", attempt, NOW, random.Random(seed), most_attempts=99, scale=scale)
    assert scaled > NOW
    assert scaled - NOW == pytest.approx((whole - NOW) * scale, abs=timedelta(milliseconds=1))
