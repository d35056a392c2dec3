"""One walk through the API's list: every prediction since a moment, or an honest word that it was not whole."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jobs import errors
from worker.client import PredictionClient
from worker.replies import Prediction

_MOST_PAGES = 1000  # a list that never ends must not keep a worker


@dataclass
class Walk:
    """What a walk has seen. It proves an absence only if it is ``clean``: every page read, none in error."""

    seen: dict[str, Prediction] = field(default_factory=dict)
    pages: int = 0
    clean: bool = False
    error: errors.ApiError | None = None

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Keep what a page shows; pages shift while one walks, so an id may come twice."""
        for prediction in predictions:
            self.seen.setdefault(prediction.id, prediction)


async def walk(api: PredictionClient, since: datetime, within: float) -> Walk:
    """Read the list, newest first, back to ``since``; what ``within`` seconds have shown counts, but is not whole.

    Not every API knows `created_after`, so the end is also seen by the dates on a page. A page without dates is
    followed to the list's end.
    """
    taken = Walk()
    cursor: str | None = None
    try:
        async with asyncio.timeout(within):
            while not taken.clean and taken.pages < _MOST_PAGES:
                page = await api.list(created_after=since, cursor=cursor)
                taken.pages += 1
                taken.add(page.predictions)
                cursor = page.cursor
                taken.clean = cursor is None or _older(page.predictions, since)
    except TimeoutError:
        taken.error = errors.Unanswered(f"The list was not read whole within {within:g} s.")
    except errors.ApiError as error:
        taken.error = error
    return taken


def _older(predictions: Iterable[Prediction], since: datetime) -> bool:
    """Whether a page has gone past ``since`` altogether; a page in disorder is no proof of it."""
    dates = [p.created_at for p in predictions]
    return bool(dates) and all(d is not None and d.astimezone(UTC) < since for d in dates)
