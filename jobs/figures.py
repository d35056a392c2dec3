"""Figures as a person reads them: how many of what, and how many bytes. Pure."""


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
