"""What the last calls of an account have shown, and whether any may leave. Pure; `accounts` owns the row."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from jobs.accounts.tally import Tally
from jobs.errors import BlockReason
from jobs.settings.times import Times

_READS_REFUSED = (BlockReason.TOKEN, BlockReason.NOT_AN_API)  # without credit, reads still work
_DOUBTFUL = 3
_FAILURES = 10
_WORTH = 17  # creates risked before an outage is certain; with polls, twenty calls


class BreakerState(StrEnum):
    """Whether calls may leave, in the order of how much is held back."""

    CLOSED = "closed"
    OUTAGE = "outage"  # the API is away
    BLOCKED = "blocked"  # the API refuses the account


class Failing(StrEnum):
    """Which calls have failed since the last answer."""

    CREATES = "creates"  # and perhaps reads; in an outage, reads are answered
    READS = "reads"
    BOTH = "both"  # only in an outage: creates, and reads have not been answered since


@dataclass(frozen=True, slots=True)
class Breaker:
    """How an account stands with its API; ``probe_at`` is when one call may try again, None if a person must."""

    state: BreakerState = BreakerState.CLOSED
    reason: str | None = None
    since: datetime | None = None
    probe_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    failing: Failing | None = None

    @property
    def is_closed(self) -> bool:
        return self.state is BreakerState.CLOSED

    @property
    def is_away(self) -> bool:
        """Whether reads fail too; in an outage of creates alone, polls and look-ups go on."""
        return self.state is BreakerState.OUTAGE and self.failing is not Failing.CREATES

    @property
    def in_doubt(self) -> bool:
        """Whether enough calls have failed in a row that it may be an outage: time to slow down."""
        return self.is_closed and self.failures >= _DOUBTFUL

    @property
    def is_sound(self) -> bool:
        """Whether nothing suggests that calls go unanswered, or are refused."""
        return self.is_closed and not self.in_doubt

    @property
    def reads_refused(self) -> bool:
        """Whether the account is refused for a reason for which reads are refused as well as purchases."""
        return self.state is BreakerState.BLOCKED and (self.reason or "").startswith(_READS_REFUSED)

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


def judge(breaker: Breaker, tally: Tally, now: datetime, times: Times) -> Breaker:
    """Return the breaker after a slice of calls.

    An answer ends an outage, but an answered read proves nothing about creates: an API may list well and sell nothing.
    Only an accepted create ends a block. Jobs' own failures are answers too, and never open the breaker.
    """
    if tally.blocked:
        return _block(breaker, *tally.blocked, now, times)
    if tally.bought:
        return Breaker()
    if breaker.state is BreakerState.BLOCKED:  # when to probe was decided with the refusal
        return breaker
    if tally.lost:
        return _fail(breaker, Failing.CREATES, tally.lost, tally.message, now, times)
    return Breaker() if tally.declined else _after_reads(breaker, tally, now, times)


def _after_reads(breaker: Breaker, tally: Tally, now: datetime, times: Times) -> Breaker:
    """Answered reads end an outage of reads; in any other, they show that only creates fail: probe one now."""
    if tally.answered and breaker.failing is Failing.BOTH:
        return replace(breaker, failing=Failing.CREATES, probe_at=now)
    if tally.answered:
        return breaker if breaker.failing is Failing.CREATES else Breaker()
    if tally.failed:
        return _fail(breaker, Failing.READS, tally.failed, tally.message, now, times)
    return breaker


def _block(breaker: Breaker, reason: BlockReason, message: str, now: datetime, times: Times) -> Breaker:
    since = breaker.since if breaker.state is BreakerState.BLOCKED and breaker.since else now
    # Credit may be topped up while one sleeps; a wrong token stays wrong.
    patience = times.credit_patience if reason is BlockReason.CREDIT else times.block_patience
    patient = now < since + timedelta(seconds=patience)
    return Breaker(
        state=BreakerState.BLOCKED,
        reason=f"{reason}: {message}",
        since=since,
        probe_at=now + timedelta(seconds=times.canary) if patient else None,
    )


def _fail(breaker: Breaker, kind: Failing, count: int, message: str, now: datetime, times: Times) -> Breaker:
    """Count failures of either kind since the last answer; an outage of reads is one of creates too."""
    probe_at = now + timedelta(seconds=times.canary)
    if breaker.state is BreakerState.OUTAGE:
        both = kind is Failing.READS and breaker.failing is Failing.CREATES
        failing = Failing.BOTH if both else breaker.failing
        return replace(breaker, failures=breaker.failures + count, failing=failing, probe_at=probe_at)
    failing = Failing.CREATES if Failing.CREATES in {kind, breaker.failing} else kind
    since = breaker.failing_since or now
    counted = Breaker(
        probe_at=breaker.probe_at, failures=breaker.failures + count, failing_since=since, failing=failing
    )
    if counted.failures < _FAILURES or now < since + timedelta(seconds=times.outage_after):
        return counted
    failing = Failing.BOTH if failing is Failing.CREATES else failing
    why = message or "no answer"
    return replace(
        counted, state=BreakerState.OUTAGE, reason=why, since=now, probe_at=probe_at, failing=failing
    )
