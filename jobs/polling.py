"""When to look next at a running prediction or a failed download, and how. Pure; durations in seconds."""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAGE = 100  # predictions on a page of the API's list
DEEPEST = 10_000  # most predictions that one look at the list may read through
HARVEST = 4  # predictions that should have ended between two looks at the list
HARVEST_TOLD = 12  # the same where webhooks announce the ends: fewer looks, and hardly any in vain
LATE = 0.1  # of a prediction's age, where other runs do not tell when it may end: the wait for its next look
SILENT = 4  # no webhook for this many times the longest delay expected of one: they have stopped
_FEW = 5  # runs
_EARLY = 0.9  # of the shortest known run
_FEW_ALONE = 0.25  # of the predictions that are due
_MANY = 10  # running predictions to a page, some of which may have ended too


def next_look(age: float, *, first: float, most: float) -> float:
    """Return the wait: the age so far, within ``first`` and ``most``, so looks come at 1, 2, 4, 8, … s.

    It depends on the age alone, so there is no counter to store and a restart changes nothing.

    >>> [next_look(age, first=1, most=15) for age in (0, 1, 2, 4, 8, 16, 31)]
    [1, 1, 2, 4, 8, 15, 15]
    """
    return min(most, max(first, age))


def learned(age: float, runs: Sequence[float], *, worth: float) -> float | None:
    """Return how long to wait judging by other ``runs``, in ascending order; None if there are too few.

    The likelier an end, the denser the looks: their density is the square root of the hazard, which is
    cheapest where one look is worth ``worth`` seconds of delay. Well before the shortest run there is nothing
    to see; what has outlasted nearly all others may take as long again, so it waits in proportion to its age.

    >>> usual = [1.5 + n / 100 for n in range(101)]
    >>> [round(learned(age, usual, worth=0.5), 2) for age in (0, 2)]
    [2.23, 0.46]
    >>> learned(4, usual, worth=0.5), learned(0, [1, 2], worth=0.5)
    (0.4, None)
    """
    if len(runs) < _FEW:
        return None
    longer = runs[bisect.bisect_right(runs, age) :]
    if len(longer) < _FEW:
        return LATE * age
    at, left = max(age, _EARLY * runs[0]), math.sqrt(2 * worth)
    for after, run in enumerate(longer[: 1 - _FEW]):
        spent = math.sqrt((run - at) / (len(longer) - after))
        if spent >= left:
            return at + (run - at) * left / spent - age
        at, left = run, left - spent
    return at - age


def interval(bought: int, seconds: float, *, least: float, most: float, together: int = HARVEST) -> float:
    """Return the seconds between two looks at the list, such that about ``together`` predictions end in between.

    In the long run as many end as are bought; ``bought`` is the number bought in the last ``seconds``.

    >>> [interval(bought, 10, least=0.25, most=1) for bought in (0, 10, 100, 1000)]
    [1, 1, 0.4, 0.25]
    """
    return min(most, max(least, together * seconds / bought)) if bought else most


@dataclass(frozen=True, slots=True)
class Look:
    """Calls that cover all that is due: pages of the list, and the oldest predictions asked for ``alone``."""

    pages: int = 0
    alone: int = 0

    @property
    def calls(self) -> int:
        return self.pages + self.alone


def look(due: int, running: int, depth: Callable[[int], int], most: int) -> Look | None:
    """Choose the fewest calls; None if one call for each tells as much, or if every look costs over ``most``.

    ``depth(n)`` is how many predictions the list shows down to the n-th oldest that is due. One that is stuck
    for half an hour lies so deep that dozens of pages would be read for it alone, so the oldest are better
    asked for one by one. Those stay few: if the list lacks most of what it should show, it is the list that
    fails. Pages that show many of those that are ``running`` are worth more than single answers, unless they are
    far more than these would fill: then it is a straggler that lies so deep.

    >>> look(12, 80, lambda n: 80, most=50), look(1, 1, lambda n: 1, most=50), look(1, 50, lambda n: 50, most=50)
    (Look(pages=1, alone=0), None, Look(pages=1, alone=0))
    >>> look(12, 90, lambda n: 950 - n, most=50), look(12, 90, lambda n: 950 - n, most=9)
    (Look(pages=10, alone=0), None)
    >>> look(1, 200, lambda n: 200, most=50), look(1, 20, lambda n: 200, most=50), look(1, 180, lambda n: 1700, most=50)
    (Look(pages=2, alone=0), None, None)
    >>> look(40, 75, lambda n: 3900 if n < 2 else 75, most=50)
    Look(pages=1, alone=2)
    """
    best, cost, alone = None, min(due, most + 1), 0
    while alone <= due * _FEW_ALONE and alone < cost:
        shown = depth(alone)
        pages = -(-shown // PAGE)
        shows_many = (
            running > _MANY * pages and pages <= min(most, 2 * -(-running // PAGE)) and shown < DEEPEST
        )
        if pages + alone < cost or (not alone and shows_many):
            best, cost = Look(pages, alone), pages + alone
        if pages <= 1:
            break
        alone = alone * 2 or 1
    return best
