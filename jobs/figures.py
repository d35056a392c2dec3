"""Figures as a person reads them: how many of what, how many bytes, when. Pure."""

from datetime import datetime


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "job"), counted(2000, "job")
    ('1 job', '2,000 jobs')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def amount(size: int) -> str:
    """Write bytes in the unit that fits.

    >>> amount(150_000_000_000), amount(1_500_000)
    ('150.0 GB', '1.5 MB')
    """
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size / 1000:,.1f} kB"


def moment(when: datetime) -> str:
    """Return a moment in local time, to the minute."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}"
