"""One walk through the API's list: what it shows, how far back, and by which clock."""

import array
import asyncio
import bisect
import functools
import math
from collections.abc import Collection, Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from jobs import crashpoints, errors
from worker.api.client import PAGE_CAP, PredictionClient
from worker.api.replies import Page, Prediction

WITNESSES = 50  # known predictions kept: enough to judge whether the list shows what was sent
WAITS = (0.2, 1.0)  # seconds before the second and the third try of a page
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_NOW = datetime.max.replace(tzinfo=UTC)
# A header's date has whole seconds, and the answer took time; a larger difference means a wrong clock.
_CLOCKS_AGREE = timedelta(seconds=5)


@dataclass
class Walk:
    """A walk, newest first, back to ``since``, and what it has seen so far.

    ``now`` is our time at its start, and ``within`` the seconds after which it ends, however far it came. ``pause`` is
    the wait between two pages in seconds, ``page_cap`` in bytes; ``waits`` precede the retries of a failed page. Once
    all ``wanted`` are on the pages read, it ends. ``ahead`` is how far our clock is ahead of the API's, as far as that
    is known.

    A long walk goes through a hundred thousand predictions. Of those that turn out to be known, the newest
    few are kept whole; of the rest, only which attempt bought them.
    """

    since: datetime
    now: datetime
    within: float
    pause: float = 0
    most_pages: int = 1000  # a list that never ends must not occupy a worker for ever
    page_cap: int = PAGE_CAP
    waits: Sequence[float] = WAITS
    wanted: Collection[str] = ()
    seen: dict[str, Prediction] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)  # ids among those not yet checked for being known
    pages: int = 0
    cursor: str | None = None
    over: bool = False
    until: float | None = None  # by the event loop's clock
    error: errors.ApiError | None = None
    ahead: timedelta = timedelta()
    _back_to: datetime = _NOW
    _cursors: set[str | None] = field(default_factory=set)
    _goes_round: bool = False
    # Attempts, negated and in order: the list shows the newest first, so that most go to the end. A set would take ten
    # times the memory.
    _familiar: MutableSequence[int] = field(default_factory=lambda: array.array("q"))
    _witnesses: int = 0

    def add(self, page: Page) -> None:
        """Keep what a page shows; pages shift during a walk, so an id may come twice."""
        self.pages += 1
        self.cursor = page.cursor
        self._goes_round = page.cursor in self._cursors
        self._cursors.add(page.cursor)
        new = {one.id: one for one in page.predictions if one.id not in self.seen}
        self.seen |= new
        self.fresh += new
        self._back_to = min(self._back_to, _BEGINNING if page.cursor is None else _youngest(page.predictions))

    def recognise(self, known: Mapping[str, int]) -> None:
        """Learn which fresh predictions are known, and by which attempts; of these, keep only the witnesses."""
        for prediction_id in self.fresh:
            if (attempt := known.get(prediction_id)) is None:
                continue
            bisect.insort(self._familiar, -attempt)
            if self._witnesses >= WITNESSES:
                del self.seen[prediction_id]
            else:
                self._witnesses += not self.seen[prediction_id].data_removed
        self.fresh = []

    def showed(self, prediction_id: str, attempt: int) -> bool:
        """Whether an attempt's prediction was on any page."""
        at = bisect.bisect_left(self._familiar, -attempt)
        is_familiar = at < len(self._familiar) and self._familiar[at] == -attempt
        return is_familiar or prediction_id in self.seen

    def covers(self, moment: datetime) -> bool:
        """Whether everything made since a moment (by our clock) was seen: read back to it, without a failed page."""
        return self.error is None and self.read_to(moment)

    def read_to(self, moment: datetime) -> bool:
        """Whether the pages so far go back beyond a moment (by our clock)."""
        return self._back_to < moment - self.ahead

    def ends(self) -> bool:
        """Whether no further page is needed."""
        complete = bool(self.wanted) and self.seen.keys() >= set(self.wanted)
        return complete or self._goes_round or self.pages >= self.most_pages or self.read_to(self.since)


async def go_on(taken: Walk, api: PredictionClient, at_once: float = math.inf) -> None:
    """Read the list on to the walk's end, or return after ``at_once`` pages; if it is not over, call this again.

    Not every API knows `created_after`, so the end is also recognised by the dates on a page; if a page lacks
    dates, the walk goes on to the list's end.
    """
    stop = taken.pages + at_once
    taken.until = taken.until or asyncio.get_running_loop().time() + taken.within
    try:
        async with asyncio.timeout_at(taken.until):
            while not taken.over and taken.pages < stop:
                taken.add(await _next(taken, api))
                crashpoints.reach(crashpoints.Place.AFTER_LIST_PAGE)
                taken.over = taken.ends()
    except TimeoutError:
        taken.over = True
        if not taken.pages:
            taken.error = errors.Unanswered(f"The list showed nothing within {taken.within:g} s.")
    except errors.ApiError as error:
        taken.over = True
        taken.error = error


async def _next(taken: Walk, api: PredictionClient) -> Page:
    if taken.pages:
        await asyncio.sleep(taken.pause)
        return await _page(taken, api)
    first = await _page(taken, api)
    taken.ahead = _ahead(taken.now, first)
    # Our clock is ahead: ask again, back to ``since`` by the API's clock.
    return await _page(taken, api) if taken.ahead > timedelta() else first


async def _page(taken: Walk, api: PredictionClient) -> Page:
    """Ask for the next page, with retries: a long walk meets every fault that one call in a hundred has."""
    since = taken.since - taken.ahead
    ask = functools.partial(api.list, created_after=since, cursor=taken.cursor, cap=taken.page_cap)
    for wait in taken.waits:
        try:
            return await ask()
        except errors.Unanswered:
            await asyncio.sleep(wait)
    return await ask()


def _ahead(now: datetime, page: Page) -> timedelta:
    if page.date is None or abs(now - page.date) <= _CLOCKS_AGREE:
        return timedelta()
    return now - page.date


def _youngest(predictions: Iterable[Prediction]) -> datetime:
    """Return a moment back to which a page surely reaches: its newest date, since pages may be out of order."""
    dates = [p.created_at for p in predictions]
    return max((d for d in dates if d), default=_NOW) if all(dates) else _NOW
