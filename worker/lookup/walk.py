"""One walk through the API's list: what it shows, how far back, and on whose clock."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from jobs import crashpoints, errors
from worker.api.client import PAGE_CAP, PredictionClient
from worker.api.replies import Page, Prediction

WITNESSES = 50  # of what is known: so many tell whether the list shows what was sent
_MOST_PAGES = 1000  # a list that never ends must not keep a worker
WAITS = (0.2, 1.0)  # seconds before a page that failed is asked for again
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_NOW = datetime.max.replace(tzinfo=UTC)
# A date in a header has whole seconds, and the answer took its time; what is more is a clock that is wrong.
_CLOCKS_AGREE = timedelta(seconds=5)


@dataclass
class Walk:
    """What a walk has seen. ``ahead`` is by how much our clock is ahead of the API's, as far as that is known.

    Of what is ``known`` already the ids are kept, and but the newest few as they were shown: a walk may go through
    a hundred thousand.
    """

    known: Collection[str] = frozenset()
    seen: dict[str, Prediction] = field(default_factory=dict)
    pages: int = 0
    error: errors.ApiError | None = None
    ahead: timedelta = timedelta()
    _back_to: datetime = _NOW
    _familiar: set[str] = field(default_factory=set)
    _witnesses: int = 0

    def add(self, page: Page) -> None:
        """Keep what a page shows; pages shift while one walks, so an id may come twice."""
        self.pages += 1
        for prediction in page.predictions:
            if prediction.id in self.known and self._witnesses >= WITNESSES:
                self._familiar.add(prediction.id)
            elif not self.showed(prediction.id):
                self.seen[prediction.id] = prediction
                self._witnesses += prediction.id in self.known and not prediction.data_removed
        self._back_to = min(self._back_to, _BEGINNING if page.cursor is None else _youngest(page.predictions))

    def showed(self, prediction_id: str) -> bool:
        """Whether it was on any page."""
        return prediction_id in self.seen or prediction_id in self._familiar

    def covers(self, moment: datetime) -> bool:
        """Whether all that was made since a moment of our clock is seen: read to there, and no page in error."""
        return self.error is None and self.read_to(moment)

    def shows(self, wanted: Collection[str]) -> bool:
        """Whether all these predictions are seen; not so when there are none of which to tell."""
        return bool(wanted) and all(map(self.showed, wanted))

    def read_to(self, moment: datetime) -> bool:
        """Whether the pages so far go back beyond a moment of our clock."""
        return self._back_to < moment - self.ahead


async def walk(
    api: PredictionClient,
    since: datetime,
    *,
    now: datetime,
    within: float,
    pause: float = 0,
    most_pages: int = _MOST_PAGES,
    page_cap: int = PAGE_CAP,
    waits: Sequence[float] = WAITS,
    wanted: Collection[str] = (),
    known: Collection[str] = frozenset(),
) -> Walk:
    """Read the list, newest first, back to ``since``; after ``within`` seconds it has come as far as it has.

    ``now`` is our time at the beginning, ``pause`` what is waited between two pages, in seconds; ``page_cap`` is
    in bytes; ``waits`` come before a page that failed is asked for again. Not every API knows `created_after`, so
    the end is also seen by the dates on a page. A page without dates is followed to the list's end. With all that is
    ``wanted`` on the pages so far, nothing further back is read.
    """
    taken = Walk(known)
    read = functools.partial(_page, api, cap=page_cap, waits=waits)
    try:
        async with asyncio.timeout(within):
            first = await read(since)
            taken.ahead = _ahead(now, first)
            if taken.ahead > timedelta():  # asked for what came after ``since`` by the API's clock
                first = await read(since - taken.ahead)
            await _follow(read, first, taken, since, pause, most_pages, wanted)
    except TimeoutError:
        if not taken.pages:
            taken.error = errors.Unanswered(f"The list showed nothing within {within:g} s.")
    except errors.ApiError as error:
        taken.error = error
    return taken


async def _follow(
    read: Callable[..., Awaitable[Page]],
    page: Page,
    taken: Walk,
    since: datetime,
    pause: float,
    most_pages: int,
    wanted: Collection[str],
) -> None:
    while True:
        taken.add(page)
        crashpoints.reach(crashpoints.Place.AFTER_LIST_PAGE)
        if taken.read_to(since) or taken.pages >= most_pages or taken.shows(wanted):
            return
        await asyncio.sleep(pause)
        page = await read(since - taken.ahead, page.cursor)


async def _page(
    api: PredictionClient,
    since: datetime,
    cursor: str | None = None,
    *,
    cap: int = PAGE_CAP,
    waits: Sequence[float] = WAITS,
) -> Page:
    """Ask for one page, a few times: a long walk meets every fault that one call in a hundred has."""
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
    """Return a moment back to which a page surely goes: its youngest date, so that disorder proves nothing."""
    dates = [p.created_at for p in predictions]
    return max((d for d in dates if d), default=_NOW) if all(dates) else _NOW
