import pytest

from jobs import errors
from jobs.accounts.tally import Tally
from jobs.errors import BlockReason
from worker import tally


def counted(*failures, bought=0, answered=0):
    counter = tally.Counter()
    for _ in range(bought):
        counter.bought()
    for _ in range(answered):
        counter.answered()
    for error in failures:
        counter.failed(error)
    return counter


def test_successes_are_counted():
    assert counted(bought=2, answered=3).take() == Tally(bought=2, answered=3)


def test_what_the_api_has_left_is_the_least_that_it_told():
    counter = tally.Counter()
    for left in (9, 7, None, 8):
        counter.bought(left)
    assert counter.take() == Tally(bought=4, left=7)
    counter.bought()
    assert counter.take() == Tally(bought=1)


@pytest.mark.parametrize("error", [errors.NotSent("x"), errors.Unconfirmed("x"), errors.Unanswered("x")])
def test_what_brought_no_answer_counts_against_the_api(error):
    assert counted(error, error).take() == Tally(failed=2, message="x")


def test_that_one_prediction_gets_no_answer_counts_against_nothing():
    counter = tally.Counter()
    counter.failed_alone(errors.Unanswered("x"))
    assert counter.take() == Tally()
    counter.failed_alone(errors.Missing("x"))
    assert counter.take() == Tally(answered=1)


@pytest.mark.parametrize("error", [errors.Refused("x"), errors.Missing("x"), errors.Unsupported("x")])
def test_an_answer_that_says_no_is_an_answer(error):
    assert counted(error).take() == Tally(answered=1)


def test_of_several_waits_the_longest_counts():
    waits = [errors.Throttled("x", wait) for wait in (1.0, 5.0, 2.0)]
    assert counted(*waits).take() == Tally(answered=3, throttled=5.0)


def test_a_429_says_whether_it_was_of_a_create():
    creates = tally.Counter(creates=True)
    creates.failed(errors.Throttled("x", 1.0))
    assert creates.take() == Tally(declined=1, throttled=1.0, throttled_creates=True)


def test_a_block_is_told_with_its_reason():
    error = errors.Blocked("Insufficient credit", BlockReason.CREDIT)
    assert counted(error).take().blocked == (BlockReason.CREDIT, "Insufficient credit")


@pytest.mark.parametrize("error", [errors.Throttled("x", 1.0), errors.Blocked("x", BlockReason.TOKEN)])
def test_a_slice_that_was_told_to_stop_stays_stopped_after_it_was_told_on(error):
    counter = counted(error)
    counter.take()
    counter.answered()
    assert counter.stopped


@pytest.mark.parametrize("error", [errors.Refused("x"), errors.Unanswered("x"), errors.NotSent("x")])
def test_one_jobs_trouble_stops_nobody_else(error):
    assert not counted(error).stopped


def test_what_was_taken_is_not_told_twice():
    counter = counted(errors.Unanswered("x"), bought=1)
    counter.take()
    assert counter.take() == Tally()
