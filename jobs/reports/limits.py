"""What limits a batch now, in one phrase. Pure: it judges what `status` has counted.

A batch is *paused* by a person or by us; an account is *held back* while its API is away (an outage), refuses it (it is
*blocked*) or has asked to wait. A batch is *deserted* if nobody works on it: see `desertion`. It is *halted* if it buys
nothing more until somebody types something, and in an *impasse* if what it has bought cannot end before that, either:
see `overnight.run`.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jobs import blocks, commands, figures
from jobs.accounts import quota
from jobs.accounts.breaker import BreakerState
from jobs.batches import PauseReason
from jobs.reports.status import Overview, Progress, Standing
from jobs.settings import Settings, written
from jobs.states import BatchState, State

_NEARLY = 0.95  # of the in-flight cap: between two ticks a few have always just ended


class Kind(StrEnum):
    """What kind of thing limits."""

    LOADING = "loading"
    READY = "ready"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    BLOCKED = "blocked"
    OUTAGE = "outage"
    THROTTLED = "throttled"
    IN_FLIGHT = "in flight"
    QUOTA = "quota"
    WORKERS = "workers"
    PREDICTIONS = "predictions"
    SENDING = "sending"
    LOOK_UPS = "look-ups"
    DOWNLOADS = "downloads"
    BACK_OFF = "back-off"


# Limits that do not come and go by the second.
LASTING = frozenset(
    {
        Kind.LOADING, Kind.READY, Kind.PAUSED, Kind.CANCELLED, Kind.FINISHED, Kind.BLOCKED, Kind.OUTAGE,
    }
)  # fmt: skip
# What is left waits for a moment that is known, however fast jobs ended before.
APPOINTMENTS = frozenset({Kind.LOOK_UPS, Kind.BACK_OFF})


@dataclass(frozen=True, slots=True)
class Limit:
    """What limits a batch; ``text`` may quote the API and must be escaped for a terminal."""

    kind: Kind
    text: str
    deserted: bool = False  # nobody works on the batch: see `desertion`

    def __str__(self) -> str:
        return self.text


def current(progress: Progress, settings: Settings, flags: str = "", *, alone: bool = False) -> Limit:
    """Return what limits a batch; ``flags`` are options that the next typed command needs.

    ``alone``: whether the caller knows that nobody works on any batch, and so that nobody tries again by himself.
    """
    next_try = "" if alone else _next_try(progress)
    if lasting := of_state(progress, flags, next_try):
        return lasting
    limit = (
        held_back(progress, flags, alone=alone)
        or _buying(progress, in_force(progress, settings))
        or _waiting(progress)
    )
    refused = blocks.told(progress.accounts)
    if not refused or limit.kind is Kind.BLOCKED:
        return limit
    kind = Kind.BLOCKED if only_refused_left(progress) else limit.kind
    return Limit(kind, f"{limit}; blocked: {refused}{next_try}")


def only_refused_left(progress: Progress) -> bool:
    """Whether everything left is under way at refused accounts, while the other accounts have nothing to do.

    What an account has in flight is not known per batch: while it has anything, some of it may be this batch's.
    """
    others = [one for one in progress.accounts if not one.breaker.reads_refused]
    left_to_others = (State.PENDING, State.QUEUED, State.COLLECTING)
    idle = not progress.counts.of(*left_to_others) and not any(one.under_way for one in others)
    return bool(others) and len(others) < len(progress.accounts) and idle


def in_force(progress: Progress, settings: Settings) -> Settings:
    """Return the settings in force for the account that buys a batch."""
    return quota.in_force(settings, progress.account.own_limits) if progress.account else settings


def rate(progress: Progress, settings: Settings) -> float | None:
    """Return how many creates a minute may leave for the account that buys a batch; None: unlimited."""
    lowered = progress.account.rate if progress.account else None
    return quota.rate(in_force(progress, settings), lowered)


def look_ups(progress: Progress) -> str:
    """Return how many sends are in doubt and in how long the last is due for look-up; empty if there are none.

    Only for a batch that is worked on.
    """
    count = progress.counts.of(State.UNCONFIRMED)
    return f"{count} being looked up, {_until(progress.look_ups_end, progress)}" if count else ""


def of_state(progress: Overview, flags: str, next_try: str = "") -> Limit | None:
    """Return what the state of a batch says; None for an open one that is not finished."""
    batch, counts = progress.batch, progress.counts
    if batch.state is BatchState.LOADING:
        manifest = commands.place(batch.manifest_path or "-")
        again = commands.line(flags, "load", manifest, "--batch", batch.name)
        return Limit(
            Kind.LOADING,
            f"being loaded, {figures.counted(counts.total, 'job')} so far; if that has broken off: {again}",
        )
    if batch.state is BatchState.CANCELLED:
        return Limit(Kind.CANCELLED, "cancelled" + _still_fetched(progress))
    if progress.finished:
        return Limit(Kind.FINISHED, "finished")
    if batch.state is BatchState.READY:
        return Limit(Kind.READY, f"loaded, not begun: {commands.line(flags, 'run', batch.name)}")
    if batch.state is BatchState.PAUSED:
        return _paused(progress, flags, next_try)
    return None


def _paused(progress: Overview, flags: str, next_try: str) -> Limit:
    batch = progress.batch
    if batch.pause_reason is PauseReason.BLOCKED:
        return _blocked(batch.name, " ".join((batch.pause_detail or "").split()), flags, next_try)
    if batch.pause_reason is PauseReason.PERSON:
        why, verb = "paused by hand", "resume"
    else:
        why, verb = f"paused, {batch.pause_reason}: {blocks.brief(batch.pause_detail or '')}", "run"
    return Limit(Kind.PAUSED, f"{why}{_still_fetched(progress)}: {commands.line(flags, verb, batch.name)}")


def _blocked(batch: str, reason: str, flags: str, next_try: str) -> Limit:
    then = next_try or f": {commands.line(flags, 'run', batch)}"
    return Limit(Kind.BLOCKED, f"blocked: {reason}{then}")


def _next_try(progress: Progress) -> str:
    """Return when a refused account is tried again; empty if none is."""
    tries = [one.breaker.probe_at for one in blocks.among(progress.accounts) if one.breaker.probe_at]
    return f", next try in {_until(min(tries), progress)}" if tries else ""


def _still_fetched(progress: Overview) -> str:
    bought = progress.counts.of(State.SUBMITTING, State.RUNNING, State.COLLECTING)
    in_doubt = progress.counts.of(State.UNCONFIRMED)
    fetched = f"; {figures.counted(bought, 'job')} in flight still to fetch" if bought else ""
    return fetched + (f"; {figures.counted(in_doubt, 'send')} still to be looked up" if in_doubt else "")


def held_back(progress: Progress, flags: str, *, alone: bool = False) -> Limit | None:
    """What holds the account back: the API is away, refuses us, or asked to wait."""
    account = progress.account
    if account is None:
        return None
    breaker = account.breaker
    if breaker.state is BreakerState.BLOCKED:
        next_try = "" if alone else _next_try(progress)
        return _blocked(progress.batch.name, blocks.told(progress.accounts), flags, next_try)
    if breaker.state is BreakerState.OUTAGE:
        since = f" since {breaker.since.astimezone():%H:%M}" if breaker.since else ""
        why = f" ({blocks.brief(breaker.reason)})" if breaker.reason else ""
        return Limit(Kind.OUTAGE, f"API away{since}{why}, next try in {_until(breaker.probe_at, progress)}")
    if account.not_before and account.not_before > progress.at:
        return Limit(Kind.THROTTLED, f"API asked to wait {_until(account.not_before, progress)}")
    return None


def _buying(progress: Progress, settings: Settings) -> Limit | None:
    """What holds back the jobs that could be bought now; None if there are none."""
    queued = progress.counts.of(State.QUEUED)
    may_leave = queued or (progress.next_due and progress.next_due <= progress.at)
    if not may_leave:
        return None
    account = progress.account
    if account is None:
        return Limit(Kind.WORKERS, "waiting for a worker")
    each = f" at each of {len(progress.accounts)} accounts" if progress.accounts[1:] else ""
    most = settings.max_in_flight
    behind = quota.behind(account.collecting, most)
    if account.in_flight + behind >= _NEARLY * most:
        text = f"in flight {account.in_flight + behind} of {most}{each}{not_fetched(behind)}"
        return Limit(Kind.IN_FLIGHT, text)
    return _pace(account, settings, queued, each)


def not_fetched(behind: int) -> str:
    """Return what to add to a number in flight where fetching images holds up purchases."""
    return f", {behind} of them paid jobs whose images have not arrived yet" if behind else ""


def _pace(account: Standing, settings: Settings, queued: int, each: str) -> Limit:
    rate = quota.rate(settings, account.rate)
    if not quota.room(math.inf, rate, queued=queued, in_flight=0, most_in_flight=quota.AT_ONCE):
        return Limit(
            Kind.WORKERS, f"waiting for workers: {figures.counted(queued, 'job')} handed out and not yet sent"
        )
    if rate is None:
        return Limit(Kind.WORKERS, "only our own pace: the quota is unlimited")
    configured = settings.creates_per_minute
    lowered = "" if account.rate is None else f", lowered from {configured}/min after a 429"
    return Limit(Kind.QUOTA, f"quota {rate:.0f}/min{lowered}{each}")


def _waiting(progress: Progress) -> Limit:
    """What the jobs under way wait for when nothing can be bought; running predictions come first."""
    counts = progress.counts
    if running := counts.of(State.RUNNING):
        unshown = (
            f", {progress.unshown} of them succeeded and still without an image" if progress.unshown else ""
        )
        return Limit(Kind.PREDICTIONS, f"waiting for predictions: {running} running{unshown}")
    if in_doubt := counts.of(State.UNCONFIRMED):
        until = _until(progress.look_ups_end, progress)
        return Limit(Kind.LOOK_UPS, f"{figures.counted(in_doubt, 'send')} being looked up, {until}")
    if pending := counts.of(State.PENDING):
        until = _until(progress.next_due, progress)
        return Limit(Kind.BACK_OFF, f"waiting for the next try of {figures.counted(pending, 'job')}, {until}")
    if collecting := counts.of(State.COLLECTING):
        return Limit(Kind.DOWNLOADS, f"fetching images of {figures.counted(collecting, 'job')}")
    return Limit(Kind.SENDING, f"sending {counts.of(State.SUBMITTING)}")


def _until(moment: datetime | None, progress: Progress) -> str:
    return written.until(moment or progress.at, progress.at)
