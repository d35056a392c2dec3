"""What a duty yields: hints for workers, and requests to be run again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.lanes import SLICE, Lane
from scheduler.duties.turns import Scope

_SHARE = 3


@dataclass(frozen=True, slots=True)
class Message:
    """A hint for a worker: look at these rows now."""

    lane: Lane
    payload: list[int] | list[tuple[int, str]]
    account_id: int  # whose calls these are
    pages: int = 0  # how many of the list to read for them; 0: ask for each

    @property
    def args(self) -> list[Any]:
        """The task's arguments."""
        pages = [self.pages] if self.lane is Lane.POLL else []
        return [self.payload, *pages, self.account_id]


class Again:
    """A request to be run again soon: free places in flight can be filled, or more is due than was handed out."""


def sliced(lane: Lane, ids: Sequence[int], scope: Scope) -> Iterator[Message]:
    """Yield messages that each hold one slice of the lane."""
    size = SLICE[lane]
    for start in range(0, len(ids), size):
        yield Message(lane, list(ids[start : start + size]), scope.account_id)


def fills_one(ready: int, under_way: int, most: float) -> bool:
    """Whether so many rows are worth a message now: a third of what is under way in the lane, or ``most``.

    A message lasts as long as its slowest call, and occupies a thread or process of a worker meanwhile. A tick's worth
    is few rows, so slow calls would need many messages at once, and wait for each other instead. The slower they are,
    the more is under way, and the more go into one: about three at a time.

    >>> fills_one(2, 6, most=5), fills_one(2, 7, most=5), fills_one(5, 90, most=5), fills_one(1, 0, most=5)
    (True, False, True, True)
    """
    return ready >= most or ready * _SHARE >= under_way
