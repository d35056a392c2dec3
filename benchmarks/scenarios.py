"""The scenarios of the comparison: what the API grants, how it misbehaves, and when the programs are killed."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """One night. Limits are per minute, 0 for none; times are in seconds."""

    title: str
    jobs: int
    in_flight: int = 50
    latency: float = 2.0  # the median
    creates_per_minute: int = 0
    reads_per_minute: int = 0
    lifetime: float = 3600.0  # of an output
    download: float = 0.0  # of each output
    wait: float = 1.0  # that a 429 asks for, at least
    faults: dict[str, float] = field(default_factory=dict)
    kills: tuple[float, ...] = ()  # the shares of the images at which it is killed
    low_credit: float = 0.0  # for how long every purchase is refused, once a fifth of them was accepted

    def options(self):
        """Return the sandbox's options."""
        given = {
            "latency": self.latency, "creates-per-minute": self.creates_per_minute,
            "reads-per-minute": self.reads_per_minute, "lifetime": self.lifetime,
            "output-seconds": self.download, "wait": self.wait,
        }  # fmt: skip
        faults = [f"--fault={name}={share}" for name, share in self.faults.items()]
        return [*(f"--{name}={value}" for name, value in given.items()), *faults]


SCENARIOS = {
    "A": Scenario("no quota, 50 in flight", 500),
    "B": Scenario("10 purchases a second", 300, creates_per_minute=600),
    "C": Scenario("50 reads a second, 200 in flight", 300, in_flight=200, reads_per_minute=3000),
    "D": Scenario("5 % of purchases are accepted and answered with 502", 300, faults={"502_after": 0.05}),
    "E": Scenario("kill -9 at 30 % and at 60 %, the same command again", 300, kills=(0.3, 0.6)),
    "F": Scenario("429 to every purchase for 30 s: low credit", 300, low_credit=30.0, wait=10),
    "G": Scenario("no latency, no quota, 200 in flight", 10_000, in_flight=200, latency=0.0),
    "H": Scenario("outputs live for 20 s, a download takes 3 s", 200, lifetime=20, download=3),
}
