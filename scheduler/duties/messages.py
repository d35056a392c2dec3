"""What a duty yields: hints for workers, and requests to be run again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.lanes import SLICE, Lane
from scheduler.duties.scope import Scope


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


@dataclass(frozen=True, slots=True)
class Again:
    """A request to be run again sooner than at the next tick."""

    after: float  # seconds


def sliced(lane: Lane, ids: Sequence[int], scope: Scope) -> Iterator[Message]:
    """Yield messages that each hold one slice of the lane."""
    size = SLICE[lane]
    for start in range(0, len(ids), size):
        yield Message(lane, list(ids[start : start + size]), scope.account_id)
