"""Whether anybody works on a batch, and what to do if nobody does. Pure; `limits` is about one that is worked on."""

from datetime import datetime

from jobs import accounts, commands, figures
from jobs.reports import limits
from jobs.reports.limits import Kind, Limit
from jobs.reports.status import Overview, Progress
from jobs.settings import Settings
from jobs.states import BatchState


def noticed(progress: Progress, settings: Settings, flags: str = "") -> Limit | None:
    """Return a limit if the rows show that nobody works on a batch, or that no worker does.

    Only for observers: a process that works on the batch may just have begun.
    """
    return _overdue(progress, settings, flags) or unheard(progress, progress.seen_at, progress.at, settings)


def certain(row: Overview, flags: str) -> Limit | None:
    """Return the limit for a batch with work left, for a caller that already knows that nobody works on it."""
    return _deserted(row, f"nobody works on it: {commands.line(flags, 'run', row.batch.name)}")


def unheard(row: Overview, seen_at: datetime | None, now: datetime, settings: Settings) -> Limit | None:
    """Return the limit for a batch with work left whose workers tell no more that they live."""
    return _deserted(row, unheard_of(seen_at, now, settings))


def unheard_of(seen_at: datetime | None, now: datetime, settings: Settings) -> str:
    """Say that the workers tell no more that they live, and what to do; empty if one has told it lately, or none ever.

    The scheduler alone goes on handing out, so that nothing is overdue.
    """
    if not settings.broker_url or seen_at is None:
        return ""
    if (now - seen_at).total_seconds() < settings.times.deserted:
        return ""
    return f"no worker has been heard of since {figures.moment(seen_at)}: start `overnight worker`"


def missing(progress: Progress) -> str:
    """Say which workers are missing, as far as the rows tell, and what to do; empty if they do not."""
    return unlike_workers(progress) or _never_came(progress)


def unlike_workers(progress: Progress) -> str:
    """Say that workers have different accounts, and what to do; empty if there is no sign of it."""
    if not progress.strangers:
        return ""
    buying = ", ".join(accounts.shown(one.name, one.label) for one in progress.accounts)
    return (
        f"the workers have different accounts, {buying or 'others'} and {', '.join(progress.strangers)}, "
        "and leave lying what is for one that they lack; give all of them the same accounts, and start them "
        "anew, or wait three minutes if that was just done"
    )


def _never_came(progress: Progress) -> str:
    """Say that no worker for a batch has ever been there, and what to do; empty if one has."""
    if progress.account is not None:
        return ""
    which = f" of account {progress.batch.account}" if progress.batch.account else ""
    return f"no worker{which} has ever run; start `overnight worker` and `overnight scheduler`"


def _deserted(row: Overview, why: str) -> Limit | None:
    if not why or row.finished or row.batch.state is not BatchState.OPEN:
        return None
    return Limit(Kind.WORKERS, why, deserted=True)


def _overdue(progress: Progress, settings: Settings, flags: str) -> Limit | None:
    """Return the limit if nobody works on a batch: otherwise what was due two leases ago would have been handed out."""
    account, due = progress.account, progress.untouched_since
    if due is None and not (account and account.under_way):
        due = progress.next_due
    if progress.batch.state is not BatchState.OPEN or due is None or limits.held_back(progress, flags):
        return None
    since = max([due, *_signs_of_life(progress)])
    if (progress.at - since).total_seconds() < _patience(progress, settings):
        return None
    remedy = commands.line(flags, "run", progress.batch.name)
    if settings.broker_url:
        remedy = missing(progress) or "start `overnight scheduler` and `overnight worker`"
    return Limit(
        Kind.WORKERS, f"nobody has worked on it since {figures.moment(since)}: {remedy}", deserted=True
    )


def _signs_of_life(progress: Progress) -> list[datetime]:
    """Return moments that count as signs of life: jobs are due since they were loaded, so that alone proves nothing."""
    moments = [progress.batch.opened_at]
    if progress.account:
        moments += [progress.account.moved_at, progress.account.not_before]
    return [moment for moment in moments if moment]


def _patience(progress: Progress, settings: Settings) -> float:
    """Return how many seconds may rightly pass without a sign of life: at a few calls a minute, some do."""
    rates = (limits.rate(progress, settings), limits.in_force(progress, settings).reads_per_minute)
    return 2 * max([settings.times.lease, *(60 / one for one in rates if one)])
