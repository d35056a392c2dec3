"""Check the token, the API and the clock with one harmless request for each account."""

from collections.abc import Iterator
from datetime import UTC, datetime

from jobs import errors
from jobs.settings import Settings
from jobs.settings.credentials import Credential
from overnight.doctor import findings
from overnight.doctor.findings import Finding
from worker.api import greeting

_CLOCKS_APART = 5.0  # seconds; the date in a header is up to one second behind


def look_at_token(settings: Settings) -> Iterator[Finding]:
    """Say whether there is a token that may be sent to the API; never show it."""
    if settings.broker_url and not (
        settings.api_token or settings.api_token_file or settings.replicate_api_token or settings.accounts
    ):
        yield findings.warning("token", "there is none here; each worker needs one: OVERNIGHT_API_TOKEN")
        return
    for one in settings.require_credentials():
        whose = f" of account {one.label}" if one.label else ""
        yield findings.ok("token", f"there is one{whose} for {one.api.host}")


def look(settings: Settings) -> Iterator[Finding]:
    """Ask the API as `run` does before it buys."""
    if settings.api.is_sandbox:
        yield findings.ok("api", "the sandbox, which each run starts for itself")
        return
    if not settings.accounts and settings.token is None:
        yield findings.warning("api", f"{settings.api.url} was not asked: there is no token for it")
        return
    for one in settings.require_credentials():
        yield from _asked(settings, one)


def _asked(settings: Settings, one: Credential) -> Iterator[Finding]:
    try:
        date = greeting.greet(settings, one)
    except errors.OvernightError as error:
        yield from findings.wrong("api", error)
        return
    whom = f" account {one.label}" if one.label else ""
    yield findings.ok("api", f"{one.api.url} answers{whom} as a predictions API")
    if date is not None:
        yield clock(datetime.now(UTC), date, "the API's")


def clock(ours: datetime, theirs: datetime, whose: str) -> Finding:
    """Compare this machine's clock with another."""
    ahead = (ours - theirs).total_seconds()
    if abs(ahead) <= _CLOCKS_APART:
        return findings.ok("clock", f"agrees with {whose}")
    how = "ahead of" if ahead > 0 else "behind"
    return findings.warning(
        "clock", f"{abs(ahead):.0f} s {how} {whose}; let this machine set its clock from the network (NTP)"
    )
