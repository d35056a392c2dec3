"""What a slice of calls has shown of an account: counted by whoever called, judged by `breaker` and `pacing`."""

from dataclasses import dataclass

from jobs.errors import BlockReason


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcomes of one slice of calls."""

    bought: int = 0  # creates that were accepted
    left: int | None = None  # creates that the API would take at once: the fewest that an answer told
    declined: int = 0  # creates that the API refused
    lost: int = 0  # creates: not sent, timed out, 5xx, unreadable
    answered: int = 0  # reads with a valid answer
    failed: int = 0  # reads: timed out, 5xx, unreadable
    message: str = ""  # of the last failure
    throttled: float | None = None  # seconds to wait, from a 429
    throttled_creates: bool = False  # whether a create got a 429: reads have their own rate
    blocked: tuple[BlockReason, str] | None = None
