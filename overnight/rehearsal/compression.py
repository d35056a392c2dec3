"""How much faster than life may a rehearsal go, and what does that make of settings and sandbox? Pure."""

from jobs.reports import plan
from jobs.settings import Settings
from sandbox.options import Options

# Of life: faster, whole seconds of the API's own, such as a least `Cancel-After`, would outgrow everything else.
_LEAST = 0.05
# Jobs a minute that any machine of today brings through; at more, it would be the machine that is measured.
_MOST_JOBS = 3000


def factor(settings: Settings) -> float:
    """Return what each time is multiplied by: 0.2 for a night in a fifth of it."""
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
    """Return the options of a sandbox whose time passes as fast as that of these settings, compressed."""
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
