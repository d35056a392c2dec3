"""When is a running prediction, or a download that failed, looked at next, and how? Pure; durations in seconds."""

import bisect
import math
from collections.abc import Sequence
from datetime import UTC, datetime

PAGE = 100  # predictions on a page of the API's list
_HARVEST = 4
_FEW = 5  # runs
_EARLY = 0.9  # of the shortest run that is known
_LATE = 0.2  # of the age


def next_look(age: float, *, first: float, most: float) -> float:
    """Wait as long again as it has taken so far, between ``first`` and ``most``: looks at 1, 2, 4, 8, … s.

    The age alone decides, so nothing has to be counted and a restart changes nothing.

    >>> [next_look(age, first=1, most=15) for age in (0, 1, 2, 4, 8, 16, 31)]
    [1, 1, 2, 4, 8, 15, 15]
    """
    return min(most, max(first, age))


def learned(age: float, runs: Sequence[float], *, worth: float) -> float | None:
    """Return how long to wait by what others ran, ``runs`` in ascending order; None if they are too few to tell.

    Looks are the denser the likelier an end is: their density is the root of the hazard, which costs the least
    where one look is worth so many seconds of delay. Long before the shortest run there is nothing to see, and
    what has run longer than nearly all others may go on for as long again.

    >>> usual = [1.5 + n / 100 for n in range(101)]
    >>> [round(learned(age, usual, worth=0.5), 2) for age in (0, 2)]
    [2.23, 0.46]
    >>> learned(4, usual, worth=0.5), learned(0, [1, 2], worth=0.5)
    (0.8, None)
    """
    if len(runs) < _FEW:
        return None
    longer = runs[bisect.bisect_right(runs, age) :]
    if len(longer) < _FEW:
        return _LATE * age
    at, left = max(age, _EARLY * runs[0]), math.sqrt(2 * worth)
    for after, run in enumerate(longer[: 1 - _FEW]):
        spent = math.sqrt((run - at) / (len(longer) - after))
        if spent >= left:
            return at + (run - at) * left / spent - age
        at, left = run, left - spent
    return at - age


def interval(bought: int, seconds: float, *, least: float, most: float, together: int = _HARVEST) -> float:
    """Return the seconds between two looks at the list: so many that about ``together`` predictions end in between.

    As many end as were bought, in the long run. ``bought`` is how many were in the last ``seconds``.

    >>> [interval(bought, 10, least=0.25, most=1) for bought in (0, 10, 100, 1000)]
    [1, 1, 0.4, 0.25]
    """
    return min(most, max(least, together * seconds / bought)) if bought else most


def beat(now: datetime, every: float) -> datetime:
    """Return the latest of the moments at which all that waits is looked at together, so that a page serves many.

    >>> beat(datetime(2026, 11, 23, 22, 0, 7, 900_000, tzinfo=UTC), 2.0).second
    6
    """
    seconds = now.timestamp()
    return datetime.fromtimestamp(seconds - seconds % every, UTC)


def pages(due: int, bought_since: int, most: int) -> int:
    """Return how many pages of the list to read for ``due`` predictions; 0 if to ask for each costs fewer calls.

    ``bought_since`` is how many predictions the list shows down to the oldest that is due.

    >>> pages(12, 80, most=50), pages(12, 950, most=50), pages(1, 1, most=50), pages(12, 950, most=9)
    (1, 10, 0, 0)
    """
    needed = -(-bought_since // PAGE)
    return needed if needed < due and needed <= most else 0
