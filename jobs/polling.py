"""When is a running prediction, or a download that failed, looked at next, and how? Pure; durations in seconds."""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAGE = 100  # predictions on a page of the API's list
HARVEST = 4  # predictions that had better have ended since the last look at the list
HARVEST_TOLD = 12  # the same where webhooks tell of ends: looks are fewer, and hardly any is in vain
SILENT = 4  # times as long without any webhook as one may be late: nobody calls any more
_FEW = 5  # runs
_EARLY = 0.9  # of the shortest run that is known
_LATE = 0.2  # of the age
_FEW_ALONE = 0.25  # of what is due
_MANY = 10  # predictions on a page, of which some may have ended as well


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


def interval(bought: int, seconds: float, *, least: float, most: float, together: int = HARVEST) -> float:
    """Return the seconds between two looks at the list: so many that about ``together`` predictions end in between.

    As many end as were bought, in the long run. ``bought`` is how many were in the last ``seconds``.

    >>> [interval(bought, 10, least=0.25, most=1) for bought in (0, 10, 100, 1000)]
    [1, 1, 0.4, 0.25]
    """
    return min(most, max(least, together * seconds / bought)) if bought else most


@dataclass(frozen=True, slots=True)
class Look:
    """Which calls find out about all that is due: so many pages of the list, and so many of the oldest alone."""

    pages: int = 0
    alone: int = 0


def look(due: int, depth: Callable[[int], int], most: int) -> Look | None:
    """Choose the calls that are fewest; None if to ask for each costs no more, or no look costs ``most`` or less.

    ``depth(n)`` is how many predictions the list shows down to the n-th oldest that is due. One that is stuck for
    half an hour lies so deep that dozens of pages would be read for it alone. But what is asked for alone stays
    few: a list that shows nothing of most that it should is one that fails. A page that shows many others is
    worth more than the answer to one question.

    >>> look(12, lambda n: 80, most=50), look(1, lambda n: 1, most=50), look(1, lambda n: 50, most=50)
    (Look(pages=1, alone=0), None, Look(pages=1, alone=0))
    >>> look(12, lambda n: 950 - n, most=50), look(12, lambda n: 950 - n, most=9)
    (Look(pages=10, alone=0), None)
    >>> look(40, lambda n: 3900 if n < 2 else 75, most=50)
    Look(pages=1, alone=2)
    """
    best, cost, alone = None, min(due, most + 1), 0
    while alone <= due * _FEW_ALONE and alone < cost:
        shown = depth(alone)
        pages = -(-shown // PAGE)
        if pages + alone < cost or (pages == cost == 1 <= most and shown > _MANY):
            best, cost = Look(pages, alone), pages + alone
        if pages <= 1:
            break
        alone = alone * 2 or 1
    return best
