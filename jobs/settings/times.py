"""Every time constant of ours, in seconds, already scaled; the API's own limits and lifetimes are not here.

TIME_SCALE multiplies them all at once, so that a rehearsal or a test lives a night in minutes and keeps the
proportions that the design depends on.
"""

import functools
from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long we wait for what. Built by `Settings.times`."""

    # Settings. A person may change these; post_deadline < lease < settle always holds.
    post_deadline: float = 20
    lease: float = 60
    settle: float = 120
    prediction_deadline: float = 1800

    # Looking up an unconfirmed attempt.
    absence_gap: float = 30  # between the two clean walks that prove an absence
    list_margin: float = 600  # a walk starts this long before the intent: clocks differ
    proof_window: float = 3000  # inputs are wiped after an hour; later an absence proves nothing
    list_doubt: float = 60  # between the two 404s after which an API counts as one without a list
    sweep: float = 300  # between two walks that look for predictions of ours that nobody knows of

    # Pace.
    tick: float = 0.25
    tick_least: float = 0.05  # while places in flight that become free are all that more can be bought with
    poll_first: float = 1
    poll_told: float = 1.5  # the longest between two looks at the list where webhooks tell of ends
    poll_most: float = 15
    denied_most: float = 120  # between two tries at an image that the API lists and its host denies

    # Stops.
    deaf: float = 60  # that a worker may be idle beside messages that wait before it starts anew
    schema: float = 60  # between two looks whether the database has become a newer program's
    throttle_most: float = 900  # the longest wait that a 429 may ask for
    outage_after: float = 10  # without any success
    canary: float = 30
    credit_patience: float = 7200  # how long `run` goes on probing a 402
    block_patience: float = 180  # the same for any other refusal: it may be one gateway's bad moment
    gone_patience: float = 120  # how long a prediction that succeeded may be shown without an image

    def scaled(self, factor: float) -> Self:
        """Return the same times, each multiplied."""
        return type(self)(**{field.name: getattr(self, field.name) * factor for field in fields(self)})


@functools.lru_cache
def given(*, scale: float, **seconds: float) -> Times:
    """Return the times with what a person set, all of them multiplied; made once, for they are asked for everywhere."""
    return Times(**seconds).scaled(scale)
