"""How one sandbox behaves: all options, checked before anything is bound or written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sandbox import faults, profiles, signing

_T = TypeVar("_T")


def _option(default: _T, help: str) -> _T:  # noqa: A002  the command line's own word
    """Return a field that is an option of the command line, with its line of help."""
    option: _T = field(default=default, metadata={"help": help})
    return option


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may choose; ValueError with one sentence when a value makes no sense.

    At a ``latency`` of 0 a prediction has ended by the next read. A refusal comes at once, whatever
    ``create_seconds``. ``lifetime`` begins at the completion; uploaded files live 24 times as long. ``late`` counts
    from the answer. ``lag`` bounds how long faults hide a prediction, or how far they misplace it. ``faults``
    override those of the profile. With ``parent_pid`` the sandbox ends within two seconds of that process, which
    must be its parent.
    """

    state: Path
    host: str = _option("127.0.0.1", "Address to listen on.")
    port: int = _option(8500, "0: any free port.")
    latency: float = _option(3.0, "Median run time in seconds.")
    create_seconds: float = _option(0.0, "Seconds from accepting a create to its answer.")
    creates_per_minute: float = _option(600.0, "0: no limit.")
    reads_per_minute: float = _option(3000.0, "0: no limit.")
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int = _option(0, "Seed of the faults: one seed, one plan.")
    lifetime: float = _option(3600.0, "Seconds until inputs and outputs are wiped.")
    profile: str = "replicate"
    heal_after: float = _option(0.0, "Seconds until every fault is off; 0: never.")
    late: float = _option(5.0, "Seconds until a late_exec is accepted.")
    lag: float = _option(5.0, "Seconds for which vanish and list_… last.")
    low_credit: float = _option(6.0, "Creates a minute while credit is low; 0: no limit.")
    outage: float = _option(0.0, "Seconds of an outage; 0: until healed.")
    wait: float = _option(1.0, "Least seconds that a 429 asks to wait.")
    output_size: int = _option(1024, "Longest side in pixels.")
    output_seconds: float = _option(0.0, "Seconds that it takes to send an output.")
    webhook_secret: str = _option(signing.MADE_UP, "What webhooks are signed with.")
    parent_pid: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not one: use 0 (any free one) to 65535.")
        for name in (
            "latency",
            "create_seconds",
            "creates_per_minute",
            "reads_per_minute",
            "heal_after",
            "late",
            "lag",
            "low_credit",
            "outage",
            "output_seconds",
        ):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} {getattr(self, name)} makes no sense: use 0 or more.")
        for name in ("lifetime", "wait"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} {getattr(self, name)} makes no sense: use more than 0 seconds.")
        if self.output_size < 64:
            raise ValueError(f"output_size {self.output_size} is too small: use 64 or more pixels.")
        if self.profile not in profiles.PROFILES:
            known = ", ".join(profiles.PROFILES)
            raise ValueError(f"profile {self.profile!r} is not known; the profiles are {known}.")
        signing.key(self.webhook_secret)
        faults.check(self.faults)

    @property
    def manners(self) -> profiles.Profile:
        """The profile itself."""
        return profiles.PROFILES[self.profile]

    @property
    def shares(self) -> dict[str, float]:
        """The profile's faults, overridden by those that were asked for."""
        return {**self.manners.faults, **self.faults}
