"""Which faults exist, and which of them strikes now.

A draw depends on the seed, the fault's name and what it strikes (a job's identity and its attempt, and of a read
its number), never on the order in which requests arrive: one seed is one plan, whatever the timing.
What a fault then does to the answer is the question of the routes.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

# Drawn per (job, attempt) before anything is accepted; of each group the first drawn wins.
BEFORE = {
    "refuse": "the connection ends without an answer; nothing is accepted",
    "502_before": "502 with an HTML page; nothing is accepted",
    "429": "throttled out of turn; nothing is accepted",
    "html200": "200 with an HTML page; nothing is accepted",
    "late_exec": "504 with an HTML page; accepted some seconds later",
}
# Drawn per (job, attempt); the prediction is accepted, its answer is not what it should be.
AFTER = {
    "exec_and_timeout": "accepted, and never answered",
    "exec_and_drop": "accepted, then the connection is closed without an answer",
    "exec_and_reset": "accepted, then the connection is reset",
    "502_after": "accepted, then 502 with an HTML page",
    "bad_json": "accepted, then 201 with a body that is cut short",
    "no_id": "accepted, then 201 with an object that has no id",
}
# How a prediction ends. Drawn per (job, attempt), but for those of LASTING, which are the input's own fault.
RUN = {
    "fail_transient": "fails in a way that a second run may not",
    "nsfw": "fails in the safety check, whenever this input is run",
    "oom": "fails out of memory, whenever this input is run",
    "aborted": "ends as aborted before it starts",
    "stuck": "never ends unless it is canceled or has a deadline",
    "unknown_status": "shows a status that no client knows until it ends",
}
# Drawn per (job, attempt), but for expire_url also per n-th read.
READ = {
    "get_5xx": "503 on reading a prediction or a list",
    "expire_url": "the prediction's outputs are gone at once",
    "truncate": "an output's body ends before its declared length",
    "no_length_cut": "an output without a declared length ends early",
    "not_image": "an output is an HTML page with the type of an image",
}
# Not shares but counts: from so many accepted predictions on, until healed.
COUNTED = {
    "401_after": "every call is refused once so many predictions were accepted",
    "402_after": "every create is refused once so many predictions were accepted",
}
LASTING = frozenset({"nsfw", "oom"})
MEANINGS: Mapping[str, str] = BEFORE | AFTER | RUN | READ | COUNTED


def parse(text: str) -> tuple[str, float]:
    """Read ``NAME=SHARE``, or ``NAME=COUNT`` for the counted ones.

    Raises ValueError with one sentence.

    >>> parse("exec_and_drop=0.05")
    ('exec_and_drop', 0.05)
    """
    name, equals, amount = text.partition("=")
    try:
        value = float(amount) if equals else math.nan
    except ValueError:
        value = math.nan
    if name in MEANINGS and math.isnan(value):
        raise ValueError(f"fault {text!r} is not of the form NAME=SHARE, for example exec_and_drop=0.05.")
    check({name: value})
    return name, value


def check(faults: Mapping[str, float]) -> None:
    """Raise ValueError with one sentence at the first fault that is unknown or out of range."""
    for name, value in faults.items():
        if name not in MEANINGS:
            raise ValueError(f"fault {name!r} is not known; the faults are {', '.join(sorted(MEANINGS))}.")
        if name in COUNTED and not (value >= 0 and float(value).is_integer()):
            raise ValueError(f"fault {name} takes a whole number of predictions, not {value:g}.")
        if name not in COUNTED and not 0 <= value <= 1:
            raise ValueError(f"fault {name} takes a share from 0 to 1, not {value:g}.")


class Plan:
    """The faults of one sandbox; they can be switched while it runs."""

    def __init__(self, seed: int, faults: Mapping[str, float]) -> None:
        self._seed = seed
        self._shares = dict(faults)

    def switch(self, faults: Mapping[str, float]) -> None:
        """Set some faults to new shares; ValueError leaves everything as it was."""
        check(faults)
        self._shares.update(faults)

    def heal(self) -> None:
        """Switch every fault off."""
        self._shares.clear()

    def shares(self) -> dict[str, float]:
        return dict(self._shares)

    def strikes(self, name: str, *subject: str | int) -> bool:
        """Whether this fault strikes this subject; the same for ever for one seed and share."""
        share = self._shares.get(name, 0.0)
        if share <= 0:
            return False
        words = "\x1f".join(str(word) for word in (self._seed, name, *subject))
        return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]) < share * 2**64

    def first(self, names: Mapping[str, str], *subject: str | int) -> str | None:
        """Return the first fault of a group that strikes."""
        return next((name for name in names if self.strikes(name, *subject)), None)

    def fate(self, identity: str, attempt: int) -> str | None:
        """Return how a job's prediction goes wrong, if it does."""
        for name in RUN:
            subject: Sequence[str | int] = (identity,) if name in LASTING else (identity, attempt)
            if self.strikes(name, *subject):
                return name
        return None

    def reached(self, name: str, accepted: int) -> bool:
        """Whether a counted fault holds now."""
        return name in self._shares and accepted >= self._shares[name]
