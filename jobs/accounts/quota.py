"""How many calls may leave now, and when none may: buckets, throttle, breaker. Pure; `accounts` owns the row."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobs.errors import BlockReason
from jobs.settings import Settings
from jobs.settings.times import Times

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
_DOUBTFUL = 3
_FAILURES = 10
_WORTH = 17  # creates risked before an outage is certain; with polls, twenty calls


def in_force(configured: Settings, own: OwnLimits) -> Settings:
    """Return the settings in force for an account: limits of its own override those of the process."""
    return configured.model_copy(update=own) if own else configured


def capacity(per_minute: float | None) -> float:
    """Return a bucket's capacity: one second of its rate, at least one call.

    >>> capacity(600), capacity(6), capacity(None)
    (10.0, 1.0, inf)
    """
    return math.inf if per_minute is None else max(1.0, per_minute / 60)


def refilled(tokens: float, per_minute: float | None, seconds: float) -> float:
    """Return the bucket's content after some seconds; an unlimited one is always full.

    >>> refilled(0, 600, 0.5), refilled(9, 600, 60), refilled(0, None, 0)
    (5.0, 10.0, inf)
    """
    if per_minute is None:
        return math.inf
    return min(capacity(per_minute), tokens + max(0.0, seconds) * per_minute / 60)


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


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether an account's calls may leave: closed (yes), outage (the API is away), blocked (it refuses us)."""

    state: str = "closed"
    reason: str | None = None
    since: datetime | None = None
    probe_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    failing: str | None = None  # which calls fail: creates, reads, or both as far as we know

    @property
    def is_away(self) -> bool:
        """Whether reads fail too; in an outage of creates alone, polls and look-ups go on."""
        return self.state == "outage" and self.failing != "creates"

    @property
    def in_doubt(self) -> bool:
        """Whether enough calls have failed in a row that it may be an outage: time to slow down."""
        return self.state == "closed" and self.failures >= _DOUBTFUL

    def may_try(self, under_way: int, now: datetime, times: Times) -> bool:
        """Whether, in doubt, one more create may leave while ``under_way`` others have no outcome yet.

        >>> doubt = Breaker(failures=12, failing_since=datetime(2026, 11, 23))
        >>> [doubt.may_try(n, datetime(2026, 11, 23), Times()) for n in (0, 3, 4)]
        [True, True, False]
        """
        if now >= self._opens(now, times) and not under_way:  # one more failure opens the breaker
            return True
        return self.failures + under_way + 1 < _WORTH

    def try_again_at(self, under_way: int, now: datetime, times: Times) -> datetime:
        """Return when the next may leave: soon, but the creates left to risk must last until the breaker may open.

        >>> began = datetime(2026, 11, 23)
        >>> for failures in (3, 14, 16):
        ...     again = Breaker(failures=failures, failing_since=began).try_again_at(1, began, Times())
        ...     print((again - began).total_seconds())
        1.0
        5.0
        10.0
        """
        left = max(1, _WORTH - self.failures - under_way)
        return now + max(timedelta(seconds=times.poll_first), (self._opens(now, times) - now) / left)

    def _opens(self, now: datetime, times: Times) -> datetime:
        return (self.failing_since or now) + timedelta(seconds=times.outage_after)


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcomes of one slice of calls."""

    bought: int = 0  # creates that were accepted
    left: int | None = None  # creates that the API would take at once, by its latest answer
    declined: int = 0  # creates that the API refused
    lost: int = 0  # creates: not sent, timed out, 5xx, unreadable
    answered: int = 0  # reads with a valid answer
    failed: int = 0  # reads: timed out, 5xx, unreadable
    message: str = ""  # of the last failure
    throttled: float | None = None  # seconds to wait, from a 429
    throttled_creates: bool = False  # whether a create got a 429: reads have their own rate
    blocked: tuple[BlockReason, str] | None = None


def judge(breaker: Breaker, tally: Tally, now: datetime, times: Times) -> Breaker:
    """Return the breaker after a slice of calls.

    An answer ends an outage, but an answered read proves nothing about creates: an API may list well and sell nothing.
    Only an accepted create ends a block. Jobs' own failures are answers too, and never open the breaker.
    """
    if tally.blocked:
        return _block(breaker, *tally.blocked, now, times)
    if tally.bought:
        return Breaker()
    if breaker.state == "blocked":  # when to probe was decided with the refusal
        return breaker
    if tally.lost:
        return _fail(breaker, "creates", tally.lost, tally.message, now, times)
    return Breaker() if tally.declined else _after_reads(breaker, tally, now, times)


def _after_reads(breaker: Breaker, tally: Tally, now: datetime, times: Times) -> Breaker:
    """Answered reads end an outage of reads; in any other, they show that only creates fail: probe one now."""
    if tally.answered and breaker.failing == "both":
        return replace(breaker, failing="creates", probe_at=now)
    if tally.answered:
        return breaker if breaker.failing == "creates" else Breaker()
    if tally.failed:
        return _fail(breaker, "reads", tally.failed, tally.message, now, times)
    return breaker


def _block(breaker: Breaker, reason: BlockReason, message: str, now: datetime, times: Times) -> Breaker:
    since = breaker.since if breaker.state == "blocked" and breaker.since else now
    # Credit may be topped up while one sleeps; a wrong token stays wrong.
    patience = times.credit_patience if reason is BlockReason.CREDIT else times.block_patience
    patient = now < since + timedelta(seconds=patience)
    return Breaker(
        state="blocked",
        reason=f"{reason}: {message}",
        since=since,
        probe_at=now + timedelta(seconds=times.canary) if patient else None,
    )


def _fail(breaker: Breaker, kind: str, count: int, message: str, now: datetime, times: Times) -> Breaker:
    """Count failures of either kind since the last answer; an outage of reads is one of creates too."""
    probe_at = now + timedelta(seconds=times.canary)
    if breaker.state == "outage":
        failing = "both" if kind == "reads" and breaker.failing == "creates" else breaker.failing
        return replace(breaker, failures=breaker.failures + count, failing=failing, probe_at=probe_at)
    failing = "creates" if "creates" in {kind, breaker.failing} else kind
    since = breaker.failing_since or now
    counted = Breaker(
        probe_at=breaker.probe_at, failures=breaker.failures + count, failing_since=since, failing=failing
    )
    if counted.failures < _FAILURES or now < since + timedelta(seconds=times.outage_after):
        return counted
    failing = "both" if failing == "creates" else failing
    why = message or "no answer"
    return replace(counted, state="outage", reason=why, since=now, probe_at=probe_at, failing=failing)
