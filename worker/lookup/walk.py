"""One walk through the API's list: what it shows, how far back, and by which clock."""

import asyncio
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from jobs import crashpoints, errors
from worker.api.client import PAGE_CAP, PredictionClient
from worker.api.replies import Page, Prediction

WITNESSES = 50  # known predictions kept: enough to judge whether the list shows what was sent
_MOST_PAGES = 1000  # a list that never ends must not occupy a worker for ever
WAITS = (0.2, 1.0)  # seconds before a page that failed is asked for again
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_NOW = datetime.max.replace(tzinfo=UTC)
# A header's date has whole seconds, and the answer took time; a larger difference means a wrong clock.
_CLOCKS_AGREE = timedelta(seconds=5)
_BLOCK = 4096


class _Attempts:
    """A set of attempts, a byte for each: one night's ids lie close together, and may be a hundred thousand."""

    def __init__(self) -> None:
        self._blocks: defaultdict[int, bytearray] = defaultdict(functools.partial(bytearray, _BLOCK))

    def add(self, attempt: int) -> None:
        self._blocks[attempt // _BLOCK][attempt % _BLOCK] = True

    def __contains__(self, attempt: int) -> bool:
        block = self._blocks.get(attempt // _BLOCK)
        return bool(block and block[attempt % _BLOCK])


@dataclass
class Walk:
    """What a walk has seen. ``ahead`` is how far our clock is ahead of the API's, as far as that is known.

    A long walk goes through a hundred thousand predictions. Of those that turn out to be known, the newest
    few are kept whole; of the rest, only which attempt bought them.
    """

    seen: dict[str, Prediction] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)  # ids among those not yet checked for being known
    pages: int = 0
    cursor: str | None = None
    over: bool = False
    until: float | None = None  # by the event loop's clock
    error: errors.ApiError | None = None
    ahead: timedelta = timedelta()
    _back_to: datetime = _NOW
    _familiar: _Attempts = field(default_factory=_Attempts)
    _witnesses: int = 0

    def add(self, page: Page) -> None:
        """Keep what a page shows; pages shift during a walk, so an id may come twice."""
        self.pages += 1
        self.cursor = page.cursor
        new = {one.id: one for one in page.predictions if one.id not in self.seen}
        self.seen |= new
        self.fresh += new
        self._back_to = min(self._back_to, _BEGINNING if page.cursor is None else _youngest(page.predictions))

    def recognise(self, known: Mapping[str, int]) -> None:
        """Learn which fresh predictions are known, and by which attempts; of these, keep only the witnesses."""
        for prediction_id in self.fresh:
            if (attempt := known.get(prediction_id)) is None:
                continue
            self._familiar.add(attempt)
            if self._witnesses >= WITNESSES:
                del self.seen[prediction_id]
            else:
                self._witnesses += not self.seen[prediction_id].data_removed
        self.fresh = []

    def showed(self, prediction_id: str, attempt: int) -> bool:
        """Whether an attempt's prediction was on any page."""
        return prediction_id in self.seen or attempt in self._familiar

    def covers(self, moment: datetime) -> bool:
        """Whether everything made since a moment (by our clock) was seen: read back to it, without a failed page."""
        return self.error is None and self.read_to(moment)

    def shows(self, wanted: Collection[str]) -> bool:
        """Whether all these predictions were seen; False if there are none."""
        return bool(wanted) and all(one in self.seen for one in wanted)

    def read_to(self, moment: datetime) -> bool:
        """Whether the pages so far go back beyond a moment (by our clock)."""
        return self._back_to < moment - self.ahead


async def go_on(
    taken: Walk,
    api: PredictionClient,
    since: datetime,
    *,
    now: datetime,
    within: float,
    pause: float = 0,
    at_once: int = _MOST_PAGES,
    most_pages: int = _MOST_PAGES,
    page_cap: int = PAGE_CAP,
    waits: Sequence[float] = WAITS,
    wanted: Collection[str] = (),
) -> None:
    """Read the list, newest first, back to ``since``; stop after ``within`` seconds, however far it came.

    ``now`` is our time at the start, ``pause`` the wait between two pages in seconds; ``page_cap`` is in
    bytes; ``waits`` precede the retries of a failed page. Not every API knows `created_after`, so the end is
    also recognised by the dates on a page; if a page lacks dates, the walk goes on to the list's end. Once
    all ``wanted`` are on the pages read, it stops. It also returns after ``at_once`` pages; if the walk is
    not over, call this again to continue.
    """
    read = functools.partial(_page, api, cap=page_cap, waits=waits)
    stop = taken.pages + at_once
    taken.until = taken.until or asyncio.get_running_loop().time() + within
    try:
        async with asyncio.timeout_at(taken.until):
            while not taken.over and taken.pages < stop:
                taken.add(await _next(read, taken, since, now, pause))
                crashpoints.reach(crashpoints.Place.AFTER_LIST_PAGE)
                taken.over = taken.read_to(since) or taken.pages >= most_pages or taken.shows(wanted)
    except TimeoutError:
        taken.over = True
        if not taken.pages:
            taken.error = errors.Unanswered(f"The list showed nothing within {within:g} s.")
    except errors.ApiError as error:
        taken.over = True
        taken.error = error


async def _next(
    read: Callable[..., Awaitable[Page]], taken: Walk, since: datetime, now: datetime, pause: float
) -> Page:
    if taken.pages:
        await asyncio.sleep(pause)
        return await read(since - taken.ahead, taken.cursor)
    first = await read(since)
    taken.ahead = _ahead(now, first)
    # Our clock is ahead: ask again, back to ``since`` by the API's clock.
    return await read(since - taken.ahead) if taken.ahead > timedelta() else first


async def _page(
    api: PredictionClient,
    since: datetime,
    cursor: str | None = None,
    *,
    cap: int = PAGE_CAP,
    waits: Sequence[float] = WAITS,
) -> Page:
    """Ask for one page, with retries: a long walk meets every fault that one call in a hundred has."""
    for wait in waits:
        try:
            return await api.list(created_after=since, cursor=cursor, cap=cap)
        except errors.Unanswered:
            await asyncio.sleep(wait)
    return await api.list(created_after=since, cursor=cursor, cap=cap)


def _ahead(now: datetime, page: Page) -> timedelta:
    if page.date is None or abs(now - page.date) <= _CLOCKS_AGREE:
        return timedelta()
    return now - page.date


def _youngest(predictions: Iterable[Prediction]) -> datetime:
    """Return a moment back to which a page surely reaches: its newest date, since pages may be out of order."""
    dates = [p.created_at for p in predictions]
    return max((d for d in dates if d), default=_NOW) if all(dates) else _NOW
