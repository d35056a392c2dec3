from hypothesis import given
from hypothesis import strategies as st

from jobs import polling


@given(st.floats(-1e9, 1e9))
def test_a_look_is_never_sooner_than_the_first_wait_nor_later_than_the_longest(age):
    assert 1 <= polling.next_look(age, first=1, most=15) <= 15


def test_half_an_hour_costs_about_as_many_looks_as_it_has_quarter_minutes():
    age, looks = 0.0, 0
    while age < 1800:
        age += polling.next_look(age, first=1, most=15)
        looks += 1
    assert looks < 130
