"""A machine that slept: one clock counted that, the other did not."""

import time

import pytest

from overnight.run.slumber import Clocks


class Hands:
    """Two clocks that a test sets."""

    def __init__(self):
        self.all_time, self.awake = 1_800_000_000.0, 50.0

    def pass_by(self, seconds, asleep=0.0):
        self.all_time += seconds + asleep
        self.awake += seconds


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def clocks(hands):
    return Clocks(lambda: hands.all_time, lambda: hands.awake)


def test_a_long_look_is_no_sleep(hands, clocks):
    hands.pass_by(3600)
    assert clocks.slept() == 0


def test_a_sleep_is_told_once_and_for_how_long(hands, clocks):
    hands.pass_by(2, asleep=7200)
    assert clocks.slept() == pytest.approx(7200)
    hands.pass_by(2)
    assert clocks.slept() == 0


def test_a_clock_that_is_set_right_is_no_sleep(hands, clocks):
    hands.pass_by(1, asleep=20)
    assert clocks.slept() == 0
    hands.pass_by(1, asleep=-5000)
    assert clocks.slept() == 0


def test_no_clock_that_can_be_set_is_looked_at(monkeypatch):
    looked_at = []
    monkeypatch.setattr(time, "clock_gettime", lambda clock: looked_at.append(clock) or 50.0)
    Clocks().slept()
    assert looked_at
    assert time.CLOCK_REALTIME not in looked_at
