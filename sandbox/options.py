"""How one sandbox behaves: all options, checked before anything is bound or written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import faults, profiles, signing


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may choose; ValueError with one sentence when a value makes no sense.

    Times are in seconds. ``latency`` is the median run time; at 0 a prediction has ended by the next read.
    A create is answered ``create_seconds`` after it was accepted; its refusal comes at once. A limit of 0 is no
    limit. ``lifetime`` is how long inputs and outputs live after completion; uploaded files live 24 times as long.
    ``output_size`` caps the sides of a picture, in pixels, and sending a picture takes ``output_seconds``.
    A ``late_exec`` is accepted ``late`` after its answer. ``lag`` bounds how long faults hide a prediction, or how
    far they misplace it. An account low on credit has ``low_credit`` creates a minute. An outage lasts ``outage``
    (0: until healed). A 429 asks for at least ``wait``. After ``heal_after`` (0: never) every fault is off.
    ``faults`` override those of the profile.
    Webhooks are signed with ``webhook_secret``.
    With ``parent_pid`` the sandbox ends within two seconds of that process, which must be its parent.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 8500
    latency: float = 3.0
    create_seconds: float = 0.0
    creates_per_minute: float = 600.0
    reads_per_minute: float = 3000.0
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    lifetime: float = 3600.0
    profile: str = "replicate"
    heal_after: float = 0.0
    late: float = 5.0
    lag: float = 5.0
    low_credit: float = 6.0
    outage: float = 0.0
    wait: float = 1.0
    output_size: int = 1024
    output_seconds: float = 0.0
    webhook_secret: str = signing.MADE_UP
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
