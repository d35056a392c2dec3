"""A batch at one moment, made up: `progress(running=3)` and whatever else a test cares about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.accounts.breaker import Breaker
from jobs.batches import Batch, PauseReason
from jobs.reports.results import Harvest
from jobs.reports.status import Counts, Event, Progress, Standing
from jobs.states import BatchState, State

NOW = datetime(2026, 11, 1, 22, 10, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def batch(**columns: Any) -> Batch:
    state = columns.get("state", BatchState.OPEN)
    made: dict[str, Any] = {
        "id": 1,
        "uuid": "00000000-0000-4000-8000-000000000001",
        "name": "cats",
        "folder": "cats",
        "api": "https://api.example/v1",
        "account": None,
        "state": state,
        "pause_reason": PauseReason.PERSON if state is BatchState.PAUSED else None,
        "pause_detail": None,
        "options": {},
        "manifest_path": "/home/me/cats.csv",
        "manifest_sha256": "0" * 64,
        "created_at": NOW,
        "opened_at": after(-86400),
        "finished_at": None,
    }
    return Batch(**made | columns)


def standing(*, breaker: Breaker | None = None, **more: Any) -> Standing:
    made: dict[str, Any] = {
        "name": "api.example-00000000", "label": None, "rate": None, "not_before": None, "in_flight": 0,
        "moved_at": after(-86400), "own_limits": {}, "seen_at": NOW,
    }  # fmt: skip
    return Standing(breaker=breaker or Breaker(), **made | more)


def progress(**more: Any) -> Progress:
    """Return a moment; a state's name gives its number of jobs, any other name a field of `Progress`."""
    counts = {state: more.pop(state) for state in State if state in more}
    made: dict[str, Any] = {
        "batch": batch(),
        "at": NOW,
        "failures": {"model-error": counts[State.FAILED]} if State.FAILED in counts else {},
        "look_ups_end": None,
        "next_due": NOW if counts.get(State.PENDING) else None,
        "untouched_since": None,
        "accounts": (standing(),),
        "events": (),
    }
    if "account" in more:
        only = more.pop("account")
        more["accounts"] = (only,) if only else ()
    return Progress(counts=Counts(counts), **made | more)


def event(number: int, kind: str, detail: str = "") -> Event:
    return Event(number, NOW, kind, detail)


def harvest(**more: Any) -> Harvest:
    made: dict[str, Any] = {
        "images": 4,
        "bytes": 1_234_567,
        "dropped": 0,
        "refused": 0,
        "found_late": 0,
        "predictions": 3,
        "cost": None,
        "unpriced": 0 if "cost" in more else 3,
        "orphans": 0,
        "orphans_left": 0,
        "orphans_refused": 0,
        "possibly_paid": 0,
        "unanswered": 0,
        "began_at": NOW,
        "ended_at": after(3725),
    }
    return Harvest(**made | more)
