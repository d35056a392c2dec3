"""The plan of a night, drawn from its seed: the API's faults and weather, and which processes die or freeze where."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jobs.crashpoints import Place

SETTLE = 120.0
_HEALED_AT = 300.0  # seconds; by then every fault has had its chance

# What may become of a create. Each is drawn per (seed, job, number of the send), never by the order of arrival.
SENDS = ("refused", "dropped", "502_before", "502_after", "answer_lost", "no_id", "429", "late", "too_late")
RUNS = ("fail_transient", "nsfw", "stuck", "aborted", "expired")
# How a prediction may be shown, whatever it came to: drawn per prediction.
ODDITIES = ("inline", "early_output", "other_version", "undated", "unknown_status")

# These lie inside a transaction: a process that froze there would block all others, so it can only die there.
_INSIDE = frozenset(
    {
        Place.BEFORE_INTENT_COMMIT,
        Place.BEFORE_IDS_COMMIT,
        Place.BEFORE_WALK_COMMIT,
        Place.BEFORE_ENDS_COMMIT,
        Place.BEFORE_STORED_COMMIT,
    }
)
# The places that a night reaches; the others belong to loading, to migrations, and to uploads of local files.
PLACES = tuple(
    place
    for place in Place
    if place
    not in {Place.AFTER_CHUNK_COMMIT, Place.BEFORE_BATCH_READY, Place.AFTER_UPLOAD, Place.DURING_MIGRATION}
)


# Seconds by which the host's clock is set while leases run.
_STEPS = (-90.0, 90.0)


@dataclass(frozen=True)
class Weather:
    """A spell in which all calls of a kind fail in the same way."""

    kind: str  # away, 502, silent, 401, 402, 429, no_quota, low_credit, no_list, no_files
    begin: float
    end: float


@dataclass(frozen=True)
class Strike:
    """What happens to a process at a place: it dies, or freezes for so many seconds."""

    freeze: float | None = None
    power_cut: bool = False  # everything dies, and file names that were not synced are gone


@dataclass(frozen=True)
class Plan:
    """Everything that a seed decides; shares are of one."""

    seed: int | str
    jobs: int = 40
    embedded: bool = True
    workers: int = 1
    slots: int = 4
    schedulers: int = 1
    tick: float = 1.0  # least seconds between two ticks: a tick costs as much time here as in reality
    creates_per_minute: str = "600"
    max_in_flight: int = 200
    latency: float = 0.3
    create_seconds: float = 0.0  # from accepting a create to its answer
    sends: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, float] = field(default_factory=dict)
    oddities: Mapping[str, float] = field(default_factory=dict)
    reads_fail: float = 0.0
    unknown_ids: float = 0.0  # of ids that a GET does not know for a while
    pages_fail: float = 0.0
    shuffled: bool = False
    lag: float = 0.0  # seconds until the list shows what was accepted, at most
    page: int = 10
    can_list: bool = True
    obeys_cancel_after: bool = True
    api_ahead: float = 0.0  # seconds by which the API's clock is ahead of the true time
    downloads_fail: float = 0.0
    messages: Mapping[str, float] = field(default_factory=dict)  # lost, doubled, delayed
    commits: float = 0.0  # of transactions that fail, half of them after their commit
    weather: tuple[Weather, ...] = ()
    strikes: int = 0
    strike_share: float = 0.0
    favourite: Place | None = None  # a place where somebody is struck more often than elsewhere
    steps: tuple[tuple[float, float], ...] = ()  # (when, by how much) the host's clock is set
    restarts_after: float = 5.0
    healed_at: float = _HEALED_AT

    def rng(self, *names: object) -> random.Random:
        """Return a generator for one question; it is the same each time."""
        return random.Random(":".join(map(str, (self.seed, *names))))

    @property
    def steps_forward(self) -> bool:
        return any(by > 0 for _, by in self.steps)


def draw(seed: int, jobs: int = 40) -> Plan:
    """Return the night of a seed."""
    rng = random.Random(seed)
    embedded = rng.random() < 0.4
    calm = Plan(
        seed=seed,
        jobs=jobs,
        embedded=embedded,
        workers=1 if embedded else rng.choice((1, 2, 2)),
        slots=rng.choice((2, 4)),
        schedulers=1 if embedded else rng.choice((1, 1, 2)),
        tick=rng.choice((1.0, 3.0, 6.0)),
        creates_per_minute=rng.choice(("600", "600", "unlimited")),
        max_in_flight=rng.choice((15, 200, 200)),
        latency=rng.choice((0.05, 0.3, 3.0)),
        favourite=rng.choice(PLACES),
    )
    return _oddly(replace(calm, **_api(rng), **_house(rng, embedded)))


def _oddly(plan: Plan) -> Plan:
    """Add what documents do not promise: by luck of its own, so that a seed's night stays the same otherwise."""
    rng = plan.rng("oddities")
    spells = [
        Weather(kind, begin, begin + rng.uniform(20, 120))
        for kind, begin in (("no_quota", rng.uniform(0, 120)), ("low_credit", rng.uniform(0, 120)))
        if rng.random() < 0.1
    ]
    return replace(
        plan,
        create_seconds=rng.choice((0.0, 0.0, 0.0, 5.0, 15.0)),
        runs={**plan.runs, "unknown_end": 0.02} if rng.random() < 0.1 else plan.runs,
        oddities={name: rng.choice((0.05, 0.5, 1.0)) for name in ODDITIES if rng.random() < 0.2},
        weather=(*plan.weather, *spells),
    )


def _api(rng: random.Random) -> dict[str, object]:
    sends = {name: rng.uniform(0, 0.1) for name in rng.sample(SENDS, 4)}
    if "too_late" in sends:
        sends["too_late"] = 0.03  # each may be bought twice, and many would rightly stop the batch
    runs = {"fail_transient": rng.uniform(0, 0.1)} | dict.fromkeys(rng.sample(RUNS[1:], 2), 0.03)
    return {
        "sends": sends,
        "runs": runs if rng.random() < 0.5 else {},
        "reads_fail": rng.choice((0.0, 0.05, 0.3)),
        "unknown_ids": rng.choice((0.0, 0.1)),
        "pages_fail": rng.choice((0.0, 0.1, 0.4)),
        "shuffled": rng.random() < 0.3,
        "lag": rng.choice((0.0, 2.0, 15.0)),
        "page": rng.choice((5, 10, 100)),
        "can_list": rng.random() > 0.04,
        "obeys_cancel_after": rng.random() < 0.7,
        "api_ahead": rng.choice((0.0, 0.0, -400.0, 400.0, 3600.0, -3600.0)),
        "downloads_fail": rng.choice((0.0, 0.1, 0.3)),
        "weather": tuple(_weather(rng) for _ in range(rng.choice((0, 0, 1, 1, 2)))),
    }


def _weather(rng: random.Random) -> Weather:
    kind = rng.choice(("away", "502", "silent", "401", "402", "429", "no_list", "no_files"))
    begin = rng.uniform(0, 120)
    return Weather(kind, begin, begin + rng.uniform(5, 170))


def _house(rng: random.Random, embedded: bool) -> dict[str, object]:
    unsafe = {"lost": rng.uniform(0, 0.15), "doubled": rng.uniform(0, 0.2), "delayed": rng.uniform(0, 0.1)}
    steps = ((rng.uniform(5, 200), rng.choice(_STEPS)),)
    return {
        "messages": {} if embedded else unsafe,
        "commits": rng.choice((0.0, 0.0, 0.01)),
        "strikes": rng.choice((0, 2, 4, 6)),
        "strike_share": rng.choice((0.003, 0.01)),
        "steps": steps if rng.random() < 0.08 else (),
        "restarts_after": rng.choice((0.5, 5.0, 40.0)),
    }


class Fortune:
    """Decides at each place whether a process is struck; it counts, so it belongs to one night."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rng = plan.rng("strikes")
        self._left = plan.strikes

    def at(self, place: Place) -> Strike | None:
        share = 0.25 if place is self._plan.favourite else self._plan.strike_share
        if not self._left or self._rng.random() >= share:
            return None
        self._left -= 1
        if place not in _INSIDE and self._rng.random() < 0.35:
            return Strike(freeze=self._rng.choice((8.0, 25.0, 70.0, 190.0, 400.0)))
        return Strike(power_cut=self._rng.random() < 0.3)
