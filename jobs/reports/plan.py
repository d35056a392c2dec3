"""What a run will buy, and what that takes: time, disk, money. Pure: all it needs is passed in."""

import math
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jobs import commands, figures
from jobs.loading.difference import Difference
from jobs.manifest.pictures import Travel
from jobs.selecting import globs
from jobs.settings import written

# From the model's own page; another run time matters only where the in-flight cap is the limit.
TYPICAL_SECONDS = 7
# A little more than a PNG of 768 x 512 pixels; the true size is unknown until the first has come.
TYPICAL_BYTES = 1_500_000

_SENT = {
    Travel.URL: "by URL",
    Travel.INLINE: "sent inline",
    Travel.UPLOAD: "uploaded, as they are over 190 kB",
}
_UNCONFIRMED = {
    "resubmit": "bought once more, reported as possibly paid twice",
    "hold": "failed, class unconfirmed, for a person to decide",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A purchase before it is made. ``free_bytes`` is None if unknown; ``price`` is per job."""

    batch: str
    api: str
    api_url: str
    api_reason: str
    database: str
    output: str
    difference: Difference
    pictures: Counter[str | None]  # by `Travel`; None: not known
    creates_per_minute: int | None
    max_in_flight: int
    free_bytes: int | None
    price: Decimal | None
    when_unconfirmed: str
    can_look_up: bool | None = None  # whether the API shows what became of a lost answer; None if unknown
    warnings: tuple[str, ...] = ()
    flags: str = ""  # options that the next typed command needs

    @property
    def seconds(self) -> float:
        """The time it takes at best: the longer of buying at the quota and running ``max_in_flight`` at once."""
        jobs = self.difference.jobs
        running = math.ceil(jobs / self.max_in_flight) * TYPICAL_SECONDS
        buying = jobs * 60 / self.creates_per_minute + TYPICAL_SECONDS if self.creates_per_minute else 0
        return max(running, buying) if jobs else 0

    @property
    def bytes(self) -> int:
        return self.difference.images * TYPICAL_BYTES

    @property
    def cost(self) -> Decimal | None:
        return None if self.price is None else self.difference.jobs * self.price

    def cautions(self) -> list[str]:
        """Return what to consider first; none of it stops a run."""
        told = list(self.warnings)
        if self.free_bytes is not None and self.bytes > self.free_bytes:
            told.append(f"the disk of {self.output} may fill up: a full disk pauses the batch")
        return told

    def lines(self) -> list[str]:
        """Return the plan as a person reads it."""
        return [
            f"batch     {self.batch}: {self.difference.line()}",
            f"api       {' '.join(filter(None, (self.api, self.api_url)))} ({self.api_reason})",
            f"database  {self.database}",
            f"output    {self.output}",
            f"jobs      {self.difference.jobs:,} to buy, {self._images()}{self._broken()}",
            *(f"besides   {line}" for line in self._unlisted()),
            f"pictures  {self._sent()}",
            f"time      {self._time()}",
            f"disk      {self._disk()}",
            f"cost      {self._cost()}",
            *(f"in doubt  {line}" for line in self._in_doubt()),
            *(f"warning   {warning}" for warning in self.cautions()),
        ]

    def brief(self) -> list[str]:
        """Return one line on what is left to buy of a batch that is continued, and its cautions."""
        found = self.difference
        jobs = figures.counted(found.jobs, "job")
        takes = f"{self._images()}, about {written.rounded(self.seconds)}, {figures.amount(self.bytes)}"
        return [
            f"{self.batch}: {jobs} left to buy, {takes}; cost {self._cost()}",
            *(f"warning: {warning}" for warning in self.cautions()),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain data; money as text, because a float would not be exact."""
        return {
            "batch": self.batch,
            "new": self.difference.new,
            "there": self.difference.there,
            "changed": self.difference.changed,
            "left_as_bought": self.difference.kept,
            "no_longer_listed": self.difference.gone,
            "dropped": len(self.difference.dropped),
            "api": self.api,
            "api_url": self.api_url,
            "api_reason": self.api_reason,
            "database": self.database,
            "output": self.output,
            "jobs": self.difference.jobs,
            "images": self.difference.images,
            "unlisted": self.difference.unlisted,
            "pictures": {
                "urls": self.pictures[Travel.URL],
                "inline": self.pictures[Travel.INLINE],
                "upload": self.pictures[Travel.UPLOAD],
            },
            "seconds": round(self.seconds, 1),
            "bytes": self.bytes,
            "free_bytes": self.free_bytes,
            "cost": None if self.cost is None else float(self.cost),
            "when_unconfirmed": self.when_unconfirmed,
            "warnings": self.cautions(),
        }

    def _images(self) -> str:
        return figures.counted(self.difference.images, "image")

    def _broken(self) -> str:
        count = self.difference.broken
        return f"; {count:,} with a mistake: failed from the start" if count else ""

    def _unlisted(self) -> list[str]:
        """Report jobs that are bought though no row was read for them: they stay wanted until a person cancels them."""
        found = self.difference
        if not found.unlisted:
            return []
        which = f"{found.unlisted:,} of these jobs"
        if not found.gone:
            were, are = ("was", "is") if found.unlisted == 1 else ("were", "are")
            return [f"{which} {were} loaded before, and {are} not among the rows read now"]
        given = (part for key in found.unlisted_keys for part in ("--key", globs.exactly(key)))
        typed = (
            ["cancel", self.batch, *given]
            if found.unlisted_keys
            else ["jobs", self.batch, "--state", "pending"]
        )
        purpose = "to give them up" if found.unlisted_keys else "they are among"
        command = commands.line(self.flags, *typed)
        return [f"{which} are no longer listed, but are bought all the same; {purpose}: {command}"]

    def _in_doubt(self) -> list[str]:
        """Say what becomes of a purchase whose answer was lost; nothing if it can be looked up."""
        if self.can_look_up:
            return []
        where = "" if self.can_look_up is False else ", if the API has no list"
        return [f"an answer lost{where}: {_UNCONFIRMED[self.when_unconfirmed]}"]

    def _sent(self) -> str:
        parts = [f"{n:,} {_SENT[travel]}" for travel in Travel if (n := self.pictures[travel])]
        return ", ".join(parts) or "none"

    def _time(self) -> str:
        rate = self.creates_per_minute
        quota = f"{rate:,} purchases a minute" if rate else "no limit on purchases"
        time = f"about {written.rounded(self.seconds)} at {quota}"
        return f"{time}, {self.max_in_flight:,} at once, {TYPICAL_SECONDS} s each"

    def _disk(self) -> str:
        free = "" if self.free_bytes is None else f"; {figures.amount(self.free_bytes)} free"
        return f"about {figures.amount(self.bytes)} at {figures.amount(TYPICAL_BYTES)} an image{free}"

    def _cost(self) -> str:
        if self.cost is None:
            return "unknown; set OVERNIGHT_PRICE to what a job costs"
        return f"about {self.cost:,} at {self.price} a job"
