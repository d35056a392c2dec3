import asyncio
import threading

import pytest

from worker import loop

ENOUGH = 60.0  # seconds that no test here waits


@pytest.fixture
def thread():
    made = loop.Loop()
    yield made
    made.call(the_rest(), within=ENOUGH)
    made.close()


async def the_rest():
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


async def doubled(number):
    await asyncio.sleep(0)
    return 2 * number


def test_every_item_comes_to_one_outcome(thread):
    groups = list(thread.outcomes(doubled, range(500), within=ENOUGH))
    assert sorted(number for group in groups for number in group) == list(range(0, 1000, 2))


def test_what_ends_together_comes_together_and_the_last_waits_for_nobody(thread):
    assert list(thread.outcomes(doubled, [1, 2, 3], within=ENOUGH, group=ENOUGH)) == [[2, 4, 6]]


def test_an_outcome_does_not_wait_for_what_is_still_under_way(thread):
    go_on = threading.Event()

    async def slow_second(number):
        if number == 2:
            await asyncio.to_thread(go_on.wait)
        return number

    groups = thread.outcomes(slow_second, [1, 2, 3], within=ENOUGH)
    assert sorted(next(groups)) == [1, 3]
    go_on.set()
    assert list(groups) == [[2]]


def test_what_is_late_is_cancelled_and_says_what_came_of_it(thread):
    async def step(number):
        try:
            await asyncio.sleep(ENOUGH if number == 2 else 0)
        except asyncio.CancelledError:
            return "cut short"
        return "done"

    outcomes = [outcome for group in thread.outcomes(step, [1, 2], within=0.1) for outcome in group]
    assert outcomes == ["done", "cut short"]


def test_a_step_that_breaks_is_heard_of(thread):
    async def step(number):
        raise ValueError(number)

    with pytest.raises(ValueError, match="7"):
        list(thread.outcomes(step, [7], within=ENOUGH))


def test_no_items_come_to_nothing(thread):
    assert list(thread.outcomes(doubled, [], within=ENOUGH)) == []


def test_a_call_ends_in_time(thread):
    with pytest.raises(TimeoutError):
        thread.call(asyncio.sleep(ENOUGH), within=0.01)
