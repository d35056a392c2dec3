"""How much faster than real time a rehearsal may go, and the settings and sandbox options for it. Pure."""

from jobs.reports import plan
from jobs.settings import Settings
from sandbox.options import Options

# Share of real time. Below it, the API's own whole seconds, such as the least `Cancel-After`, would dominate.
_LEAST = 0.05
# Jobs a minute that any machine of today can process; above it, the rehearsal would measure the machine.
_MOST_JOBS = 3000


def factor(settings: Settings) -> float:
    """Return what each time is multiplied by: 0.2 makes a night last a fifth as long."""
    at_once = settings.max_in_flight * 60 / plan.TYPICAL_SECONDS
    jobs_a_minute = min(settings.creates_per_minute or at_once, at_once)
    return min(1.0, max(_LEAST, jobs_a_minute / _MOST_JOBS))


def compressed(settings: Settings) -> Settings:
    """Return the settings of a night that passes faster: times are shorter, quotas larger."""
    times = factor(settings)
    return settings.model_copy(
        update={
            "time_scale": settings.time_scale * times,
            "creates_per_minute": _faster(settings.creates_per_minute, times),
            "reads_per_minute": _faster(settings.reads_per_minute, times),
        }
    )


def sandbox(settings: Settings) -> dict[str, float]:
    """Return the options of a sandbox whose time is compressed as much as that of these settings."""
    times = factor(settings)
    return {
        "latency": plan.TYPICAL_SECONDS * times,
        "creates_per_minute": _faster(settings.creates_per_minute, times) or 0,
        "reads_per_minute": _faster(settings.reads_per_minute, times) or 0,
        "late": Options.late * times,
        "lag": Options.lag * times,
        "wait": Options.wait * times,
        "output_size": 64,
    }


def _faster(per_minute: int | None, times: float) -> int | None:
    return None if per_minute is None else round(per_minute / times)
