"""Nights in which one thing goes wrong for long: the API goes away, refuses the account, or is slow for hours."""

from dataclasses import dataclass, replace
from typing import Any

from tests.faults.simulated_plan import Plan, Weather
from tests.faults.simulation import Night

POST_DEADLINE = 20.0
PROBE_EVERY = 30.0
_UNDER_WAY = 60.0  # seconds after a stop by which everything sent before it has come back


def spell(kind: str, begin: float, end: float, jobs: int, **more: Any) -> Plan:
    """Return a night with one spell of bad weather, and no other fault."""
    calm = Plan(seed=f"{kind}-{begin:g}", jobs=jobs, embedded=False, workers=2, tick=0.25, page=100)
    return replace(calm, weather=(Weather(kind, begin, end),), healed_at=end, **more)


def saturated(seed: int, jobs: int) -> Plan:
    """Return a night in which one thread, with a slow API, always has more to do than it can manage."""
    return Plan(
        seed=f"saturated-{seed}", jobs=jobs, embedded=False, workers=1, slots=1, tick=2.0, creates_per_minute="6",
        latency=15.0, page=100, sends={"answer_lost": 0.2}, healed_at=600.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Toll:
    """How many calls a spell has cost, and how soon all was as before."""

    until_noticed: int
    probes: int  # after that, without the calls that were under way
    bought_in_second_minute: int  # after its end


def toll(night: Night) -> Toll:
    """Count the calls of a night with one outage.

    A call that hangs shows nothing before its deadline, so counting begins when the first can have failed.
    """
    (weather,) = night.plan.weather
    told_at = weather.begin + (POST_DEADLINE if weather.kind == "silent" else 0.0)
    posts = [at for at, _ in night.api.posts]
    calls = posts + night.api.reads
    noticed_at = night.moment_of("outage") or told_at
    return Toll(
        _within(calls, told_at, noticed_at),
        _within(calls, noticed_at + _UNDER_WAY, weather.end),
        _within(posts, weather.end + 60, weather.end + 120),
    )


def most_probes(night: Night) -> int:
    """Return how many probes may be sent during a spell."""
    (weather,) = night.plan.weather
    return int((weather.end - weather.begin) / PROBE_EVERY) + 1


def _within(moments: list[float], begin: float, end: float) -> int:
    return sum(begin <= at < end for at in moments)
