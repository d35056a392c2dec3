"""The verdict on a night: lost, stranded, paid twice, expired, and how long it would have taken at best.

Pure: it judges the manifest's rows, the sandbox's ledger, and the list of images on disk.
"""

import heapq
from dataclasses import dataclass

# Fates in the sandbox's ledger: such a prediction is not charged, and is rightly bought again.
FAILED = {"fail_transient", "nsfw", "oom", "aborted", "unreadable"}


@dataclass(frozen=True)
class Grant:
    """What the API allows: purchases a minute (0: unlimited), the cap in flight, and the seconds of a download."""

    per_minute: float = 0
    in_flight: int = 1000
    download: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """Counts of jobs, except ``paid_twice``, which counts predictions."""

    lost: int
    stranded: int
    paid_twice: int
    expired: int


def judge(wanted, ledger, images, *, failed=(), cut=False, gone_before=0.0):
    """Return what became of the jobs.

    ``wanted`` is each job's prompt, by key; ``images`` are the keys with a whole image on disk, ``failed`` those that
    the program itself reported. ``cut`` says that it was killed or stopped: then jobs that it never reported are
    stranded, otherwise lost. An output is gone if its prediction ended before ``gone_before``, in seconds since 1970.
    """
    sold = bought(ledger)
    missing = wanted.keys() - set(images)
    stranded = missing - set(failed) if cut else set()
    gone = {key for key in missing if any(_end(line) < gone_before for line in sold.get(wanted[key], ()))}
    return Verdict(
        lost=len(missing - stranded),
        stranded=len(stranded),
        paid_twice=sum(len(lines) - 1 for lines in sold.values()),
        expired=len(gone),
    )


def bought(ledger):
    """Return the predictions that the API did not fail, by the prompt of their job."""
    sold = {}
    for line in ledger:
        if line["fate"] not in FAILED:
            sold.setdefault(line["input"]["prompt"], []).append(line)
    return sold


def _end(line):
    return line["t"] + line["queue"] + line["run"]


def ideal(ledger, grant, away=(0.0, 0.0)):
    """Return the seconds from the first purchase to the last file if nothing had waited needlessly.

    Each job's first prediction that did not fail takes as long as it did, and leaves when quota and cap allow it; none
    leaves during ``away``, in seconds after the first, when the API refuses all.
    """
    runs = [lines[0]["queue"] + lines[0]["run"] for lines in bought(ledger).values()]
    ends, last = [], 0.0
    for number, run in enumerate(runs):
        start = _allowed(number, grant.per_minute)
        if len(ends) == grant.in_flight:
            start = max(start, heapq.heappop(ends))
        if away[0] <= start < away[1]:
            start = away[1]
        heapq.heappush(ends, start + run)
        last = max(last, start + run)
    return last + grant.download


def _allowed(number, per_minute):
    """Return when the purchase with this number may leave: a tenth of a minute's at once, then one by one."""
    if not per_minute:
        return 0.0
    return max(0.0, (number + 1 - max(1.0, per_minute / 10)) / (per_minute / 60))
