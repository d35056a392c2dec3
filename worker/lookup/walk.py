"""One walk through the API's list: what it shows, how far back, and on whose clock."""

import asyncio
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
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
_BLOCK = 4096


class _Attempts:
    """A set of attempts, a byte for each: those of one night lie close together, and may be a hundred thousand."""

    def __init__(self) -> None:
        self._blocks: defaultdict[int, bytearray] = defaultdict(functools.partial(bytearray, _BLOCK))

    def add(self, attempt: int) -> None:
        self._blocks[attempt // _BLOCK][attempt % _BLOCK] = True

    def __contains__(self, attempt: int) -> bool:
        block = self._blocks.get(attempt // _BLOCK)
        return bool(block and block[attempt % _BLOCK])


@dataclass
class Walk:
    """What a walk has seen. ``ahead`` is by how much our clock is ahead of the API's, as far as that is known.

    A long one goes through a hundred thousand: of what turns out to be known, the newest few are kept as they were
    shown, and of the rest only by which attempt they were bought.
    """

    seen: dict[str, Prediction] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)  # of those, what nobody has said of whether it is known
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
        """Keep what a page shows; pages shift while one walks, so an id may come twice."""
        self.pages += 1
        self.cursor = page.cursor
        new = {one.id: one for one in page.predictions if one.id not in self.seen}
        self.seen |= new
        self.fresh += new
        self._back_to = min(self._back_to, _BEGINNING if page.cursor is None else _youngest(page.predictions))

    def recognise(self, known: Mapping[str, int]) -> None:
        """Learn which fresh predictions are known, and by which attempts; let go of all but the witnesses."""
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
        """Whether what an attempt has bought was on any page."""
        return prediction_id in self.seen or attempt in self._familiar

    def covers(self, moment: datetime) -> bool:
        """Whether all that was made since a moment of our clock is seen: read to there, and no page in error."""
        return self.error is None and self.read_to(moment)

    def shows(self, wanted: Collection[str]) -> bool:
        """Whether all these predictions are seen; not so when there are none of which to tell."""
        return bool(wanted) and all(one in self.seen for one in wanted)

    def read_to(self, moment: datetime) -> bool:
        """Whether the pages so far go back beyond a moment of our clock."""
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
    """Read the list, newest first, back to ``since``; after ``within`` seconds it has come as far as it has.

    ``now`` is our time at the beginning, ``pause`` what is waited between two pages, in seconds; ``page_cap`` is
    in bytes; ``waits`` come before a page that failed is asked for again. Not every API knows `created_after`, so
    the end is also seen by the dates on a page. A page without dates is followed to the list's end. With all that is
    ``wanted`` on the pages so far, nothing further back is read. After ``at_once`` pages a walk that is not over may
    be gone on with.
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
    # Asked for what came after ``since`` by the API's clock.
    return await read(since - taken.ahead) if taken.ahead > timedelta() else first


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
