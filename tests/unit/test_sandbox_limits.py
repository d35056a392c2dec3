import pytest

from sandbox.limits import Bucket


def test_a_burst_passes_and_then_one_by_one_at_the_rate():
    bucket = Bucket(per_minute=600, now=0.0)
    assert [bucket.take(0.0) for _ in range(60)] == [0.0] * 60
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert bucket.take(0.11) == 0.0
    assert bucket.take(0.11) > 0


def test_a_burst_can_be_smaller_than_a_tenth_of_a_minute():
    bucket = Bucket(per_minute=600, now=0.0, burst=1.0)
    assert (bucket.take(0.0), bucket.take(0.0)) == (0.0, pytest.approx(0.1))
    assert [bucket.take(60.0) == 0.0 for _ in range(2)] == [True, False]


def test_what_is_refused_costs_nothing():
    bucket = Bucket(per_minute=6, now=0.0)
    bucket.take(0.0)
    for _ in range(5):
        assert bucket.take(9.9) > 0
    assert bucket.take(10.1) == 0.0


def test_over_a_minute_no_more_passes_than_the_burst_and_the_rate():
    bucket = Bucket(per_minute=120, now=0.0)
    passed = sum(bucket.take(moment / 100) == 0.0 for moment in range(6001))
    assert passed == pytest.approx(12 + 120, abs=1)


def test_an_idle_bucket_never_holds_more_than_its_burst():
    bucket = Bucket(per_minute=60, now=0.0)
    assert [bucket.take(1e6) == 0.0 for _ in range(7)] == [True] * 6 + [False]


def test_the_headers_tell_what_is_left_and_when_it_is_full():
    bucket = Bucket(per_minute=60, now=0.0)
    for _ in range(4):
        bucket.take(0.0)
    assert bucket.headers() == {"ratelimit-remaining": "2", "ratelimit-reset": "4"}
