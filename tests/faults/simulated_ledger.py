"""The ledger of the simulator's API: what was sold, how each prediction fares over time, and what it delivers."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.simulated_plan import SETTLE

NEVER = 1e9  # seconds: longer than any night
_POST_DEADLINE = 20.0
_ENDS = {
    "ok": "succeeded",
    "expired": "succeeded",
    "unknown_end": "completed",
    "stuck": "canceled",
    "aborted": "aborted",
}
# Under which there are outputs; no client knows the second.
PRODUCED = {"succeeded", "completed"}


@dataclass
class Line:
    """One prediction in the ledger. Times are the true ones, in seconds of the night."""

    id: str
    input: Mapping[str, Any]
    sent_at: float
    accepted_at: float
    shown_at: float  # in the list
    starts_at: float
    ends_at: float
    fate: str
    fault: str  # what went wrong with its create
    gap: float = 0.0  # seconds its process stood still between the last check and the send
    cancelled_at: float | None = None

    @property
    def run(self) -> float:
        return max(0.0, (self.cancelled_at or self.ends_at) - self.starts_at)

    @property
    def unprovable(self) -> bool:
        """Whether it appeared in the list later than anybody can be expected to look for it."""
        return self.shown_at - self.sent_at > SETTLE or self.gap > _POST_DEADLINE

    def status(self, now: float) -> str:
        """Return the API's word for how it stands."""
        if self.cancelled_at is not None:
            return "canceled"
        if now < self.starts_at:
            return "starting"
        return "processing" if now < self.ends_at else _ENDS.get(self.fate, "failed")


def address(prediction_id: str) -> str:
    """Return the URL of a prediction's output."""
    return f"https://files.example/{prediction_id}/0.png"


def content(url: str) -> bytes:
    """Return what is delivered at a URL."""
    return b"image at " + url.encode()


def inlined(url: str) -> str:
    """Return a data URI of what is delivered at a URL."""
    return "data:image/png;base64," + base64.b64encode(content(url)).decode()
