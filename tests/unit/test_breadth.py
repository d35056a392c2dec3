"""How many downloads share a line: half as many when they run out of time, more again when they do not."""

from worker.transfers.breadth import Breadth


def at_once(width):
    return width.places.total_tokens


def test_those_that_are_cut_off_together_halve_it_once():
    width = Breadth(64, deadline=30)
    for moment in (100, 100.1, 129.9):
        width.was_cut(moment)
    assert at_once(width) == 32
    width.was_cut(130)
    assert at_once(width) == 16


def test_one_is_the_least():
    width = Breadth(4, deadline=1)
    for moment in range(100, 110):
        width.was_cut(moment)
    assert at_once(width) == 1


def test_a_round_that_came_in_time_makes_room_for_one_more_up_to_the_most():
    width = Breadth(6, deadline=1)
    width.was_cut(100)
    sizes = []
    for _ in range(20):
        width.came()
        sizes.append(at_once(width))
    assert sizes == [3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6]


def test_what_never_was_too_slow_stays_as_it_is():
    width = Breadth(2, deadline=1)
    for _ in range(10):
        width.came()
    assert at_once(width) == 2
