"""Say who will do the work that a command has only requested; no command leaves that open."""

from jobs.batches import Batch, PauseReason
from jobs.settings import Settings
from jobs.states import BatchState
from overnight import flags


def of_purchases(settings: Settings, batch: Batch) -> str:
    """Say who buys the batch's pending jobs."""
    if batch.state is BatchState.PAUSED and batch.pause_reason is PauseReason.PERSON:
        resume = flags.command(settings, "resume", batch.name, batch=batch)
        return f"Batch {batch.name} is paused by hand. Type next: {resume}"
    run = flags.command(settings, "run", batch.name, batch=batch)
    if batch.state is not BatchState.OPEN:
        return f"Type next: {run}"
    if settings.broker_url:
        return f"The scheduler and the workers pick them up; to watch: {run}"
    return f"A run of it that is under way picks them up by itself; otherwise type next: {run}"


def of_cancelling(settings: Settings) -> str:
    """Say who cancels at the API what is in flight there."""
    if settings.broker_url:
        return "the scheduler and the workers cancel them at the API"
    return "the `overnight run` that is under way cancels them at the API, or else the next one of any batch"
