"""How fast, and how long still."""

from hypothesis import given
from hypothesis import strategies as st

from overnight.display.pace import Pace


def noted(*seen):
    pace = Pace()
    for moment, ended in seen:
        pace.note(moment, ended)
    return pace


def test_nothing_is_known_before_five_seconds_were_seen():
    assert Pace().per_minute is None
    assert noted((0, 0), (4.9, 100)).per_minute is None
    assert noted((0, 0), (5, 100)).per_minute == 1200


def test_the_last_minute_counts_and_nothing_before():
    seen = [(second, 10 * min(second, 100)) for second in range(161)]
    assert noted(*seen).per_minute == 0
    assert noted(*seen[:131]).per_minute == 300
    assert noted(*seen[:101]).per_minute == 600


def test_a_retry_that_takes_ended_jobs_back_begins_anew():
    assert noted((0, 0), (10, 100), (11, 50)).per_minute is None
    assert noted((0, 0), (10, 100), (11, 50), (21, 60)).per_minute == 60


def test_the_time_left_is_told_to_the_minute_when_it_is_long():
    pace = noted((0, 0), (60, 60))
    assert [pace.left(n) for n in (0, 59, 3661)] == ["0s", "59s", "1h1m"]


def test_nobody_can_tell_the_time_left_while_nothing_ends():
    assert noted((0, 5), (60, 5)).left(10) is None


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 9)), max_size=300))
def test_the_pace_is_never_negative_and_its_memory_stays_small(steps):
    pace, moment, ended = Pace(), 0.0, 0
    for seconds, more in steps:
        moment, ended = moment + seconds, ended + more
        pace.note(moment, ended)
    assert (pace.per_minute or 0) >= 0
    inside = [seen for seen, _ in pace._seen if seen > moment - 60]
    assert len(pace._seen) <= len(inside) + 1 or len(pace._seen) <= 2
