"""What an account may use and what it uses, in lines for a person and as plain data for `--json`."""

from datetime import datetime
from typing import Any

from jobs import accounts, blocks, figures, texts
from jobs.accounts import quota
from jobs.reports import limits
from jobs.reports.usage import Usage
from jobs.settings import Settings, written


def lines(used: Usage, configured: Settings) -> list[str]:
    """Return one account, a line for each thing that may hold it back; the API's own words are escaped."""
    account = used.account
    creates = _limit(used, configured, "creates_per_minute") + _bucket(account.creates_tokens, used.rate)
    reads = _limit(used, configured, "reads_per_minute") + _bucket(
        account.reads_tokens, used.limits.reads_per_minute
    )
    most = _limit(used, configured, "max_in_flight")
    told = [
        f"account    {accounts.shown(account.name, account.label)} at {account.api}",
        f"creates    {_lowered(used)}{creates}",
        f"reads      {reads}",
        f"in flight  {used.in_flight + used.behind} of {most}{limits.not_fetched(used.behind)}",
        f"breaker    {_breaker(used)}",
        f"throttled  {_throttled(used)}",
        f"last hour  {figures.counted(used.accepted, 'purchase')} accepted",
    ]
    return [texts.printable(line) for line in told]


def as_json(used: Usage, configured: Settings) -> dict[str, Any]:
    """Return one account; a rate or a bucket of null is unlimited."""
    account, breaker = used.account, used.account.breaker
    return {
        "account": account.name,
        "label": account.label,
        "api": account.api,
        "at": used.at,
        "creates": _rate(used, configured, "creates_per_minute", account.creates_tokens, used.rate),
        "reads": _rate(
            used, configured, "reads_per_minute", account.reads_tokens, used.limits.reads_per_minute
        ),
        "in_flight": {"now": used.in_flight + used.behind} | _limits(used, configured, "max_in_flight"),
        "breaker": {
            "state": breaker.state,
            "reason": breaker.reason,
            "since": breaker.since,
            "probe_at": breaker.probe_at,
        },
        "throttled_until": _until(used),
        "throttled_at": account.throttled_at,
        "last_hour": {"accepted": used.accepted},
    }


def _limit(used: Usage, configured: Settings, name: str) -> str:
    """Return a limit, and the settings' value if somebody set another by hand."""
    shown = _written(getattr(used.limits, name), name)
    if name not in used.account.own_limits:
        return shown
    return f"{shown}, set by hand (settings: {_written(getattr(configured, name), name)})"


def _written(most: int | None, name: str) -> str:
    if most is None:
        return "unlimited"
    return f"{most}/min" if name.endswith("per_minute") else str(most)


def _lowered(used: Usage) -> str:
    return "" if used.account.rate is None else f"{used.account.rate:.0f}/min after a 429, climbing to "


def _bucket(tokens: float, per_minute: float | None) -> str:
    if per_minute is None:
        return ""
    full = quota.capacity(per_minute)
    if tokens > full:
        return (
            f"; {tokens:.1f} in the bucket, a burst that the API has room for; by itself it holds {full:.1f}"
        )
    return f"; {tokens:.1f} of {full:.1f} in the bucket"


def _breaker(used: Usage) -> str:
    breaker = used.account.breaker
    if breaker.is_closed:
        return "closed"
    since = f" since {figures.moment(breaker.since)}" if breaker.since else ""
    if breaker.probe_at is None:
        again = "no next try until one is asked for"
    elif breaker.probe_at <= used.at:
        again = "next try due"
    else:
        again = f"next try in {written.until(breaker.probe_at, used.at)}"
    return f"{breaker.state}{since}: {blocks.brief(breaker.reason or '')}; {again}"


def _throttled(used: Usage) -> str:
    last, until = used.account.throttled_at, _until(used)
    if until is not None:
        return f"for {written.until(until, used.at)} more: the API asked to wait"
    if last is None:
        return "never"
    return f"not now; last 429 {figures.moment(last)}"


def _until(used: Usage) -> datetime | None:
    until = used.account.not_before
    return until if until is not None and until > used.at else None


def _rate(
    used: Usage, configured: Settings, name: str, tokens: float, per_minute: float | None
) -> dict[str, Any]:
    unlimited = per_minute is None
    return _limits(used, configured, name) | {
        "rate": per_minute,
        "tokens": None if unlimited else tokens,
        "capacity": None if unlimited else quota.capacity(per_minute),
    }


def _limits(used: Usage, configured: Settings, name: str) -> dict[str, Any]:
    return {
        "limit": getattr(used.limits, name),
        "settings": getattr(configured, name),
        "set_by_hand": name in used.account.own_limits,
    }
