"""Check that the broker answers, keeps its messages, and is closed to strangers; sends no message."""

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

from jobs import errors
from jobs.settings import Settings, apis, places
from overnight import opened
from overnight.doctor import findings
from overnight.doctor.findings import Finding
from overnight.run import surroundings
from worker import readiness, sharing


def look(settings: Settings) -> Iterator[Finding]:
    """Check the broker, if there is one; an installation of one process has none."""
    surroundings.require_workers(settings)
    if settings.broker_url is None:
        return
    readiness.reach_broker(settings)
    yield from _told(settings.broker_url)
    yield from exposure(settings.broker_url)
    yield from _shared(settings)


def exposure(url: str) -> Iterator[Finding]:
    """Warn of a broker on another machine that needs no password, or whose password can be overheard."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket" or apis.is_loopback(parts.hostname or "localhost"):
        return
    if not parts.password:
        yield findings.warning(
            "broker",
            f"{parts.hostname} is used without a password: whoever reaches it can stop the work; "
            "give it one, and write rediss://:PASSWORD@HOST:6379/0",
        )
    elif parts.scheme == "redis":
        yield findings.warning(
            "broker",
            f"its password travels to {parts.hostname} unencrypted; write rediss:// if it speaks TLS",
        )


def _shared(settings: Settings) -> Iterator[Finding]:
    """Warn of workers of another database at this broker."""
    try:
        with opened.found(settings) as db:
            words = sharing.met(settings, db, tell=False) if db else None
    except errors.OvernightError:  # reported by the database's part
        return
    if words:
        yield findings.warning("broker", words)


def _told(url: str) -> Iterator[Finding]:
    """Report what the server says about itself; a hosted one may refuse to."""
    import kombu

    with kombu.Connection(url, transport_options=readiness.PATIENT) as connection:
        client = cast("Any", connection.default_channel).client
        try:
            version = client.info("server").get("redis_version", "of an unknown version")
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        except connection.connection_errors + connection.channel_errors:
            yield findings.ok("broker", f"{places.shown(url)} answers, but says nothing about itself")
            return
    yield findings.ok("broker", f"{places.shown(url)} answers: Redis {version}")
    if policy != "noeviction":
        yield findings.warning(
            "broker",
            f"it throws messages away when its memory is full (maxmemory-policy {policy}), and their jobs wait for a "
            "lease to end; set maxmemory-policy noeviction",
        )
