"""What a duty hands out: hints for workers, and wishes to be asked again."""

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
    account_id: int  # whose calls they are
    pages: int = 0  # of the list to read for them; none: ask for each

    @property
    def args(self) -> list[Any]:
        """What the task is called with."""
        pages = [self.pages] if self.lane is Lane.POLL else []
        return [self.payload, *pages, self.account_id]


@dataclass(frozen=True, slots=True)
class Again:
    """A wish to be asked again sooner than at the next tick."""

    after: float  # seconds


def sliced(lane: Lane, ids: Sequence[int], scope: Scope) -> Iterator[Message]:
    """Yield messages that each hold as much as one task of a lane takes on."""
    size = SLICE[lane]
    for start in range(0, len(ids), size):
        yield Message(lane, list(ids[start : start + size]), scope.account_id)
