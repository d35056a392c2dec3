import asyncio
from datetime import timedelta

import pytest

from jobs import errors
from tests.predictions import BORN, shown
from worker.api.replies import Page
from worker.lookup import walk


class Scripted:
    """A list with these pages; a page that is an error is raised, and the last one is shown for ever."""

    def __init__(self, *pages):
        self.pages = pages
        self.asked = []

    async def list(self, created_after=None, cursor=None, **_):
        self.asked.append((created_after, cursor))
        page = self.pages[min(len(self.asked), len(self.pages)) - 1]
        if isinstance(page, BaseException):
            raise page
        return page


async def never(**_):
    await asyncio.Event().wait()


def page(*predictions, more=True, date=None):
    return Page(predictions, f"cursor={predictions[-1].id if predictions else ''}" if more else None, date)


def take(api, since=BORN, now=BORN, within=5.0, wanted=()):
    taken = walk.Walk(since, now, within, waits=(0.0, 0.0), wanted=wanted)
    asyncio.run(walk.go_on(taken, api))
    return taken


def at(seconds, name=None):
    return shown(name or f"p{seconds}", created_at=BORN + timedelta(seconds=seconds))


def test_a_walk_ends_clean_where_the_list_ends():
    api = Scripted(page(at(30), at(20)), page(at(10), more=False))
    taken = take(api)
    assert (taken.covers(BORN), taken.pages, taken.error, list(taken.seen)) == (
        True,
        2,
        None,
        ["p30", "p20", "p10"],
    )
    assert api.asked == [(BORN, None), (BORN, "cursor=p20")]


def test_a_walk_ends_clean_where_a_whole_page_is_too_old():
    api = Scripted(page(at(30)), page(at(1), at(-1)), page(at(-2), at(-3)), page(at(-4)))
    taken = take(api)
    assert (taken.covers(BORN), taken.pages) == (True, 3)


def test_a_walk_ends_where_all_that_is_wanted_was_seen_and_proves_nothing_beyond():
    api = Scripted(page(at(40), at(30)), page(at(20), at(10)), page(at(5), more=False))
    taken = take(api, wanted={"p40", "p20"})
    assert (taken.pages, taken.covers(BORN), taken.error) == (2, False, None)
    assert take(Scripted(page(at(40)), page(at(5), more=False)), wanted={"gone"}).covers(BORN)


def test_one_prediction_out_of_order_does_not_end_a_walk():
    taken = take(Scripted(page(at(-5), at(20)), page(at(10), more=False)))
    assert (taken.covers(BORN), taken.pages) == (True, 2)


def test_without_dates_the_list_is_followed_to_its_end():
    first, second, third = (shown(name, created_at=None) for name in ("first", "second", "third"))
    taken = take(Scripted(page(at(-5), first), page(second), page(at(-9), third, more=False)))
    assert (taken.covers(BORN), taken.pages) == (True, 3)


def test_an_empty_list_is_a_clean_walk():
    taken = take(Scripted(page(more=False)))
    assert (taken.covers(BORN), taken.pages, taken.seen) == (True, 1, {})


def test_an_empty_page_in_between_ends_nothing():
    taken = take(Scripted(page(at(30)), page(), page(at(20), more=False)))
    assert (taken.covers(BORN), list(taken.seen)) == (True, ["p30", "p20"])


def test_a_page_that_fails_now_and_then_is_asked_for_again():
    busy = errors.Unanswered("503")
    taken = take(Scripted(busy, page(at(30)), busy, busy, page(at(20), more=False)))
    assert (taken.covers(BORN), taken.pages, list(taken.seen)) == (True, 2, ["p30", "p20"])


@pytest.mark.parametrize(
    "error", [errors.Unanswered("503"), errors.Throttled("429", 1.0), errors.Unsupported("404")]
)
def test_a_page_in_error_makes_the_walk_prove_nothing_and_keeps_what_was_seen(error):
    taken = take(Scripted(page(at(30)), error))
    assert (taken.covers(BORN), taken.error, list(taken.seen)) == (False, error, ["p30"])


def test_a_list_without_end_is_left_and_proves_nothing():
    taken = take(Scripted(*(page(at(seconds)) for seconds in range(10_000, 0, -1))), within=60)
    assert (taken.covers(BORN), taken.error, taken.pages) == (False, None, 1000)


def test_a_list_that_goes_round_is_left_once_it_leads_back_and_proves_what_it_has_passed():
    """As that of a gateway which shows the first page whatever the cursor says."""
    for pages in ([page(at(90), at(80))] * 9, [page(at(90), at(80)), page(at(70), at(60))] * 9):
        api = Scripted(*pages)
        taken = take(api)
        assert (taken.covers(BORN), taken.error, len(api.asked)) == (False, None, 1 + len(taken.seen) // 2)
        assert taken.covers(min(one.created_at for one in taken.seen.values()) + timedelta(seconds=11))


def test_a_list_that_is_too_slow_is_left_with_what_it_has_shown():
    api = Scripted(page(at(30)))
    first = api.list

    async def slow(**asked):
        return await (never() if api.asked else first(**asked))

    api.list = slow
    taken = take(api, within=0.05)
    assert (taken.covers(BORN), list(taken.seen)) == (False, ["p30"])
    assert taken.error is None, "the list answered, only not in time"


def test_a_list_that_shows_nothing_in_time_is_an_error():
    api = Scripted()
    api.list = never
    assert isinstance(take(api, within=0.05).error, errors.Unanswered)


def test_a_walk_that_came_half_way_proves_what_it_has_passed():
    taken = take(Scripted(page(at(90), at(80)), page(at(60), at(40)), page(at(39))), within=60)
    assert (taken.covers(BORN + timedelta(seconds=50)), taken.covers(BORN)) == (True, False)


@pytest.mark.parametrize("wrong", [timedelta(minutes=40), timedelta(minutes=-40)])
def test_a_clock_of_ours_that_is_wrong_moves_neither_the_walks_beginning_nor_its_end(wrong):
    """All moments here are told by the API's clock; ours shows ``wrong`` more."""
    api = Scripted(page(at(30), date=BORN), page(at(30), at(20)), page(at(-1)))
    taken = take(api, since=BORN + wrong, now=BORN + wrong)
    assert taken.ahead == wrong
    assert (taken.covers(BORN + wrong), list(taken.seen)[-1]) == (True, "p-1")
    assert api.asked[-1][0] == BORN


def test_clocks_that_differ_by_no_more_than_an_answer_takes_agree():
    api = Scripted(page(at(30), at(20)), page(at(10), more=False, date=BORN))
    assert take(api, now=BORN + timedelta(seconds=4)).ahead == timedelta()
    assert len(api.asked) == 2


def test_a_prediction_that_a_new_one_pushed_to_the_next_page_counts_once():
    taken = take(Scripted(page(at(30), at(20)), page(at(20), at(10), more=False)))
    assert list(taken.seen) == ["p30", "p20", "p10"]


def test_of_what_is_known_a_long_walk_keeps_the_newest_witnesses_and_that_the_rest_was_shown():
    listed = [at(seconds) for seconds in range(200, 0, -1)]
    attempts = {one.id: 2 * (number * 7 % 200) for number, one in enumerate(listed)}
    strange = at(60, "strange")
    api = Scripted(page(*listed[:90], strange), page(*listed[90:], more=False))
    taken = walk.Walk(BORN, BORN, 5.0)
    while not taken.over:
        asyncio.run(walk.go_on(taken, api, at_once=1))
        assert len(taken.fresh) < 150, "what was let go of is not asked for again"
        taken.recognise({fresh: attempts[fresh] for fresh in taken.fresh if fresh in attempts})
    assert [*taken.seen] == [*(one.id for one in listed[: walk.WITNESSES]), "strange"]
    assert all(taken.showed(prediction_id, attempt) for prediction_id, attempt in attempts.items())
    assert not any(taken.showed("p0", attempt) for attempt in [*range(-1, 400, 2), 400])


def test_a_walk_that_is_gone_on_with_ends_with_its_time():
    api = Scripted(page(at(30)), page(at(20)), page(at(10)))
    taken = walk.Walk(BORN, BORN, 5.0)

    async def two_steps():
        await walk.go_on(taken, api, at_once=1)
        api.list = never
        taken.until -= 5.0
        await walk.go_on(taken, api, at_once=1)

    asyncio.run(two_steps())
    assert (taken.over, taken.pages, taken.error) == (True, 1, None)
