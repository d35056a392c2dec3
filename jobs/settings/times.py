"""The waits and deadlines that TIME_SCALE multiplies, in seconds, already scaled.

So a rehearsal or a test runs a night in minutes and keeps the proportions that the design depends on. What it must not
change is elsewhere: limits and lifetimes of the API, and waits for this machine or for a person.
"""

import functools
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long we wait for each thing. Built by `Settings.times`."""

    # Settings. A person may change these; post_deadline < lease < settle always holds.
    post_deadline: float = 20
    lease: float = 60
    settle: float = 120
    prediction_deadline: float = 1800

    # Looking up an unconfirmed attempt.
    absence_gap: float = 30  # between the two clean walks that prove an absence
    list_margin: float = 600  # a walk starts this long before the intent: clocks differ
    proof_window: float = 3000  # inputs are wiped after an hour; later an absence proves nothing
    list_doubt: float = 60  # between the two 404s that prove an API to be without a list
    sweep: float = 300  # between two sweeps of the list for predictions of ours that no attempt records

    # Pace.
    tick: float = 0.25
    tick_least: float = 0.05  # the shortest wait, for places that become free and between looks
    poll_first: float = 1
    poll_told: float = 1.5  # the longest to a page of the list where webhooks announce the ends
    poll_most: float = 15
    denied_most: float = 120  # the longest between two tries at an image that its host denies

    # Stops.
    deaf: float = 60  # how long a worker may be idle while messages wait, before it restarts
    schema: float = 60  # between two checks whether a newer program has upgraded the database
    deserted: float = 180  # without a worker of the accounts that buy, before others take their place
    throttle_most: float = 900  # the longest wait that a 429 may ask for
    outage_after: float = 10  # of failures without any success
    canary: float = 30
    credit_patience: float = 7200  # how long a 402 is probed
    block_patience: float = 180  # the same for any other refusal: it may be a gateway's bad moment
    gone_patience: float = 120  # how long a succeeded prediction may be shown without an image

    @property
    def settle_after(self) -> timedelta:
        """How long after it was begun a send can be looked up: it was answered before its deadline, or has settled."""
        return timedelta(seconds=self.post_deadline + self.settle)

    def scaled(self, factor: float) -> Self:
        """Return these times, each multiplied by a factor."""
        return type(self)(**{field.name: getattr(self, field.name) * factor for field in fields(self)})


@functools.lru_cache
def given(*, scale: float, **seconds: float) -> Times:
    """Return the times with a person's settings, all scaled; cached, because they are needed everywhere."""
    return Times(**seconds).scaled(scale)
