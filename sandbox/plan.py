"""Which fault strikes now, and in which of its kinds.

A draw depends on the seed, the fault's name and what it strikes (a job's identity and attempt, and a read's number),
never on the order in which requests arrive: one seed is one plan, whatever the timing.
"""

import hashlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence

from sandbox import faults

# The names by which each fault may have been asked for.
_FORMS = {
    name: (*(f"{name}:{kind}" for kind in faults.KINDS.get(name, ())), name) for name in faults.MEANINGS
}


class Plan:
    """The faults of one sandbox; they can be switched while it runs.

    From ``heal_at`` on they are all off. ``outage_at`` is when an outage was last switched. Moments are seconds since
    1970.
    """

    def __init__(self, seed: int, shares: Mapping[str, float], heal_at: float = math.inf) -> None:
        self._seed = seed
        self._shares = dict(shares)
        self._heal_at = heal_at
        self.outage_at = -math.inf

    def switch(self, shares: Mapping[str, float], moment: float) -> None:
        """Set some faults to new shares; ValueError leaves everything as it was."""
        faults.check(shares)
        self._at(moment).update(shares)
        if any(name.partition(":")[0] == "outage" for name in shares):
            self.outage_at = moment

    def heal(self) -> None:
        """Switch every fault off."""
        self._shares.clear()
        self._heal_at = math.inf

    def shares(self) -> dict[str, float]:
        return dict(self._current())

    def _current(self) -> dict[str, float]:
        return self._at(time.time())

    def _at(self, moment: float) -> dict[str, float]:
        if moment >= self._heal_at:
            self.heal()
        return self._shares

    def is_quiet(self) -> bool:
        """Whether there are no faults at all."""
        return not self._current()

    def share(self, name: str) -> float:
        """Return the share of a fault that has no kinds."""
        return self._current().get(name, 0.0)

    def may_strike(self, name: str) -> bool:
        """Whether any draw of this fault can strike."""
        return any(self._current().get(form, 0.0) > 0 for form in _FORMS[name])

    def strikes(self, name: str, *subject: str | int) -> bool:
        """Whether this fault strikes this subject, in any kind; always the same for one seed and share."""
        return any(self._is_drawn(form, *subject) for form in _FORMS[name])

    def first(self, names: Iterable[str], *subject: str | int) -> str | None:
        """Return the first fault of a group that strikes."""
        return next((name for name in names if self.strikes(name, *subject)), None)

    def kind(self, name: str, *subject: str | int) -> str | None:
        """Return the kind in which a fault strikes this subject; None if it does not strike, or has no kinds."""
        kinds = faults.KINDS.get(name, ())
        for kind in kinds:
            if self._is_drawn(f"{name}:{kind}", *subject):
                return kind
        if not kinds or not self._is_drawn(name, *subject):
            return None
        return kinds[int(self.number(f"kind of {name}", *subject) * len(kinds))]

    def fate(self, identity: str, attempt: int) -> str | None:
        """Return how a job's prediction goes wrong, if it does."""
        for name in faults.RUN:
            subject: Sequence[str | int] = (identity,) if name in faults.LASTING else (identity, attempt)
            if self.strikes(name, *subject):
                return name
        return None

    def count(self, name: str) -> tuple[int, str] | None:
        """Return the number of accepted predictions from which a counted fault holds, and its kind; None if never."""
        for form in _FORMS[name]:
            if (count := self._current().get(form)) is not None:
                kinds = faults.KINDS.get(name, ("",))
                drawn = kinds[int(self.number(f"kind of {name}") * len(kinds))]
                return int(count), form.partition(":")[2] or drawn
        return None

    def reached(self, name: str, accepted: int) -> bool:
        """Whether a counted fault holds now."""
        found = self.count(name)
        return found is not None and accepted >= found[0]

    def number(self, *subject: str | int) -> float:
        """Draw a number in [0, 1); always the same for one seed."""
        words = "\x1f".join(str(word) for word in (self._seed, *subject))
        # A float holds 53 bits exactly: more would sometimes round up to 1.
        return (int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]) >> 11) / 2**53

    def _is_drawn(self, form: str, *subject: str | int) -> bool:
        share = self._current().get(form, 0.0)
        return share > 0 and self.number(form, *subject) < share
