"""An account's buckets, and the outcomes of its calls: refilled, spent, throttled, breaker."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs.accounts import quota
from jobs.accounts.breaker import Breaker, BreakerState, judge
from jobs.accounts.rows import Account, columns_of, get, storable, write
from jobs.accounts.tally import Tally
from jobs.settings import Settings
from jobs.settings.times import Times
from jobs.states import Phase, State
from jobs.tables import accounts, attempts, jobs

_APPOINTMENTS = ("not_before", "probe_at", "sweep_at", "glance_at", "poll_at")
_UNDER_WAY = timedelta(minutes=2)  # longer than any create takes
_PAUSE = timedelta(minutes=1)
_LATELY = timedelta(seconds=10)  # window from which the API's rate of sales is estimated
_BRIEFLY = timedelta(seconds=2)  # the least of it: what a bucket holds at once is no rate


def refill(account: Account, now: datetime, configured: Settings) -> Account:
    """Return the account with its buckets refilled and its rate raised to date; nothing is written yet."""
    limits = quota.in_force(configured, account.own_limits)
    seconds = (now - account.refilled_at).total_seconds()
    calm = (now - (account.throttled_at or now)).total_seconds()
    # Not while the API said wait: that nothing was refused meanwhile shows nothing.
    climbs = min(seconds, (now - (account.not_before or account.refilled_at)).total_seconds())
    rate = quota.climbed(account.rate, limits.creates_per_minute, climbs, max(0.0, calm))
    return replace(
        account,
        rate=rate,
        creates_tokens=quota.refilled(account.creates_tokens, quota.rate(limits, rate), seconds),
        reads_tokens=quota.refilled(account.reads_tokens, limits.reads_per_minute, seconds),
        refilled_at=max(now, account.refilled_at),
    )


def forget_the_future(tx: sa.Connection, now: datetime, times: Times) -> None:
    """Move to now what lies further ahead than anything is ever put off: a clock was ahead that has been set right.

    Else the account would stand still until the clock is there again.
    """
    latest = dict.fromkeys(_APPOINTMENTS, now + timedelta(seconds=times.throttle_most))
    latest["refilled_at"] = now + timedelta(seconds=times.lease)
    for name, moment in latest.items():
        tx.execute(sa.update(accounts).where(accounts.c[name] > moment).values({name: now}))
    # What was bought since the last sweep, and by whom, is told by comparing moments.
    tx.execute(sa.update(accounts).where(accounts.c.swept_at > now).values(swept_at=None))
    tx.execute(sa.update(accounts).where(accounts.c.seen_at > now).values(seen_at=now - timedelta(seconds=1)))


def spend(tx: sa.Connection, account: Account, *, creates: int, reads: int) -> None:
    """Write a refilled account back, less the tokens about to be used, with the time of its next poll."""
    write(
        tx,
        account.id,
        {
            "rate": account.rate,
            "creates_tokens": storable(account.creates_tokens - creates),
            "reads_tokens": storable(account.reads_tokens - reads),
            "refilled_at": account.refilled_at,
            "poll_at": account.poll_at,
        },
    )


def give_back(tx: sa.Connection, account_id: int, creates: int) -> None:
    """Return tokens to the bucket that were taken for jobs that were not begun."""
    returned = sa.update(accounts).where(accounts.c.id == account_id)
    tx.execute(returned.values(creates_tokens=accounts.c.creates_tokens + creates))


def observe(
    tx: sa.Connection, now: datetime, account_id: int, tally: Tally, configured: Settings
) -> tuple[Breaker, Breaker]:
    """Record the outcome of a slice of calls; return the breaker before and after.

    A 429 holds everything back until the time it gives. All 429s of a burst are one episode: the rate drops once. So
    are those of an API that sells nothing in between, as on low credit: they say nothing about its rate.
    """
    account = get(tx, account_id)
    after = judge(account.breaker, tally, now, configured.times)
    change: dict[str, Any] = {}
    if after != account.breaker:
        change |= columns_of(after)
    if tally.left is not None:
        _correct(tx, now, account, tally, tally.left, configured)
    if tally.throttled is not None:
        until = now + timedelta(seconds=min(tally.throttled, configured.times.throttle_most))
        if (
            tally.throttled_creates
            and not account.must_wait(now)
            and (tally.bought or _has_sold(tx, account))
        ):
            limits = quota.in_force(configured, account.own_limits)
            lately = _bought_a_minute(tx, now, account_id)
            change["rate"] = quota.slowed(account.rate, limits.creates_per_minute, lately)
        change["throttled_at"] = now
        change["not_before"] = max(until, account.not_before or until)
        change["creates_tokens" if tally.throttled_creates else "reads_tokens"] = 0.0
    if change:
        write(tx, account_id, change)
    return account.breaker, after


def _correct(
    tx: sa.Connection, now: datetime, account: Account, tally: Tally, left: int, configured: Settings
) -> None:
    """Correct the bucket by how many creates the API says it would take.

    Others that buy with the same token use up our quota too: the bucket holds no more than is left. It holds more
    than it would by itself only where the account begins to buy: were it to go by a full bucket at the API at all
    times, it would buy faster than the rate that a person has set.
    """
    filled = refill(account, now, configured)
    rate = quota.rate(quota.in_force(configured, account.own_limits), filled.rate)
    if rate is None:
        return
    tokens: float = filled.creates_tokens
    if left < account.creates_tokens:
        tokens = left
    elif tokens < quota.granted(left, rate, 0) and _are_first(tx, now, account, tally):
        tokens = max(tokens, quota.granted(left, rate, _unanswered(tx, account)))
    if tokens != filled.creates_tokens:
        spend(tx, replace(filled, creates_tokens=tokens), creates=0, reads=0)


def _are_first(tx: sa.Connection, now: datetime, account: Account, tally: Tally) -> bool:
    """Whether these are an account's first answers after a pause, in which the API's bucket has filled.

    Of later ones nobody knows whether they came before or after those of another worker.
    """
    these = tally.bought + tally.declined + tally.lost
    ended = (
        sa.select(attempts.c.id)
        .where(
            attempts.c.account_id == account.id,
            attempts.c.intended_at >= now - _PAUSE,
            attempts.c.phase != Phase.SUBMITTING,
        )
        .limit(these + 1)
        .subquery()
    )
    return bool(tx.execute(sa.select(sa.func.count()).select_from(ended)).scalar_one() <= these)


def _unanswered(tx: sa.Connection, account: Account) -> int:
    """Return how many creates have been handed out of which the API may not know yet."""
    states = jobs.c.state.in_((State.QUEUED, State.SUBMITTING))
    count = sa.select(sa.func.count()).where(
        states, jobs.c.due_at.is_not(None), jobs.c.account_id == account.id
    )
    return int(tx.execute(count).scalar_one())


def _has_sold(tx: sa.Connection, account: Account) -> bool:
    """Whether the API has sold anything since its last 429."""
    if account.throttled_at is None:
        return True
    sold = sa.exists().where(
        attempts.c.account_id == account.id,
        attempts.c.intended_at >= account.throttled_at - _UNDER_WAY,
        attempts.c.accepted_at >= account.throttled_at,
    )
    return bool(tx.execute(sa.select(sold)).scalar_one())


def _bought_a_minute(tx: sa.Connection, now: datetime, account_id: int) -> float:
    """Return the rate at which the API sold predictions lately, counting sends in progress as sold.

    A refusal is answered sooner than a sale, so at the first 429 of a burst hardly any sale would be recorded. An
    account that began to buy only now has sold as many in less time.
    """
    bought = sa.select(sa.func.count(), sa.func.min(attempts.c.intended_at)).where(
        attempts.c.account_id == account_id,
        attempts.c.intended_at >= now - _LATELY,
        attempts.c.prediction_id.is_not(None) | (attempts.c.phase == Phase.SUBMITTING),
    )
    count, since = tx.execute(bought).one()
    return float(count) * (timedelta(minutes=1) / max(now - (since or now), _BRIEFLY))


def probe_now(tx: sa.Connection, now: datetime, api: str) -> None:
    """Let one job probe whether a block or an outage is over; the patience with a block starts again."""
    stopped = sa.update(accounts).where(accounts.c.api == api, accounts.c.breaker != BreakerState.CLOSED)
    tx.execute(stopped.values(probe_at=now))
    tx.execute(stopped.where(accounts.c.breaker == BreakerState.BLOCKED).values(breaker_at=now))


def probed(tx: sa.Connection, account_id: int, next_at: datetime | None) -> None:
    """Record when the next canary may leave if the one sent now brings no outcome."""
    write(tx, account_id, {"probe_at": next_at})
