"""How many calls may leave now: buckets, rates, cap in flight. Pure; `accounts` owns the row."""

import math
from collections.abc import Mapping

from jobs.settings import Settings

# What a person may set for one account while everything runs, named as in the settings; a rate of None is unlimited.
LIMITS = ("creates_per_minute", "reads_per_minute", "max_in_flight")
OwnLimits = Mapping[str, int | None]

AT_ONCE = 500  # most jobs released in one tick, however large the quota
_DROP = 0.8
_CLIMB = 0.025  # of the configured rate, per second without a 429
_SEARCH = 0.005  # of the discovered rate, per second, where none is configured
_CALM = 7.0  # seconds without a 429 after which that climb is twice as fast
_BEYOND = 100_000.0  # a minute: an API that sells so many has no limit that we could reach
_LEAST = 0.01  # of the configured rate
_KEPT = 5.0  # seconds without a look, after which a granted burst is let go of


def in_force(configured: Settings, own: OwnLimits) -> Settings:
    """Return the settings in force for an account: limits of its own override those of the process."""
    return configured.model_copy(update=own) if own else configured


def rate(limits: Settings, lowered: float | None) -> float | None:
    """Return how many creates a minute may leave: as many as a 429 has left, or else the limit; None: unlimited."""
    return limits.creates_per_minute if lowered is None else lowered


def capacity(per_minute: float | None) -> float:
    """Return a bucket's capacity: one second of its rate, at least one call.

    >>> capacity(600), capacity(6), capacity(None)
    (10.0, 1.0, inf)
    """
    return math.inf if per_minute is None else max(1.0, per_minute / 60)


def refilled(tokens: float, per_minute: float | None, seconds: float) -> float:
    """Return the bucket's content after some seconds; an unlimited one is always full.

    By itself it fills up to its capacity. What it was `granted` beyond that stays while it is looked at often.

    >>> refilled(0, 600, 0.5), refilled(9, 600, 60), refilled(40.0, 600, 1), refilled(0, None, 0)
    (5.0, 10.0, 40.0, inf)
    """
    if per_minute is None:
        return math.inf
    kept = min(tokens, _burst(per_minute)) if seconds < _KEPT else 0.0
    full = max(capacity(per_minute), kept)
    return min(full, tokens + max(0.0, seconds) * per_minute / 60)


def granted(left: int, per_minute: float, unanswered: int) -> float:
    """Return what a bucket may hold once the API has said how many creates it would take.

    It did not know yet of the ``unanswered``. One second of the rate stays at the API, for answers that overtake each
    other, and never is it more than a tenth of a minute's.

    >>> granted(55, 600, unanswered=5), granted(9, 600, 0), granted(10_000, 600, 0)
    (40.0, 0.0, 60.0)
    """
    return max(0.0, min(left - unanswered - capacity(per_minute), _burst(per_minute)))


def _burst(per_minute: float) -> float:
    return max(capacity(per_minute), per_minute / 10)


def room(tokens: float, per_minute: float | None, *, queued: int, in_flight: int, most_in_flight: int) -> int:
    """Return how many jobs may be released: within tokens and in-flight cap, at most two seconds' worth queued.

    >>> room(10, 600, queued=15, in_flight=50, most_in_flight=200)
    5
    >>> room(math.inf, None, queued=0, in_flight=150, most_in_flight=200)
    50
    """
    ahead = AT_ONCE if per_minute is None else math.ceil(per_minute / 30)
    return max(0, int(min(tokens, ahead - queued, most_in_flight - in_flight, AT_ONCE)))


def behind(collecting: int, most_in_flight: int) -> int:
    """Return how many of the jobs whose images are being fetched take places in flight: those beyond as many again.

    Over a slow line, or at a host that denies every image, as many would be bought as the quota allows, and their
    images deleted before anybody fetches them.

    >>> behind(200, 200), behind(230, 200)
    (0, 30)
    """
    return max(0, collecting - most_in_flight)


def climbed(rate: float | None, per_minute: float | None, seconds: float, calm: float = 0.0) -> float | None:
    """Return the rate in force after some seconds without a 429; None means the configured one.

    Where no limit is configured, the discovered rate keeps rising: slowly soon after the last 429, faster the
    longer it has been ``calm``.

    >>> climbed(300, 600, 10), climbed(300, 600, 60)
    (450.0, None)
    >>> climbed(600, None, 1, calm=0), climbed(600, None, 1, calm=49)
    (603.0, 624.0)
    """
    if rate is None:
        return None
    if per_minute is None:
        higher = rate + rate * max(0.0, seconds) * _SEARCH * (1 + calm / _CALM)
        return higher if higher < _BEYOND else None
    higher = rate + max(0.0, seconds) * _CLIMB * per_minute
    return higher if higher < per_minute else None


def slowed(rate: float | None, per_minute: float | None, lately: float) -> float:
    """Return the rate after one more episode of 429: a fifth below the rate in force until then.

    Where no limit is configured, purchases a minute ``lately`` show what the API allows.

    >>> slowed(None, 600, lately=90), slowed(None, None, lately=600), slowed(480, None, lately=600)
    (480.0, 480.0, 384.0)
    """
    if per_minute is None:
        return _DROP * max(1.0, lately if rate is None else min(rate, lately))
    held = per_minute if rate is None else min(rate, per_minute)
    return max(_LEAST * per_minute, _DROP * held)
