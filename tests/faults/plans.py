"""The plan of a chaotic night: its faults and its actions, drawn from a seed, written to a file, and read back."""

import json
import platform
import random
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

PROFILES = ("sqlite", "servers")
_KILLS = (15, 18)

# Faults of sends: nothing is accepted, or it is and the answer is lost. Their shares are drawn.
_SENDS = (
    "exec_and_timeout", "exec_and_drop", "exec_and_reset", "502_after", "bad_json", "no_id",
    "refuse", "502_before", "429", "429_odd:date", "429_odd:field", "429_odd:text", "429_odd:negative", "html200",
    "late_exec",
)  # fmt: skip
_FAULTY = (0.15, 0.30)  # of all sends
# Faults of everything else, with the largest share of each.
_OTHERS = {
    "fail_transient": 0.04, "aborted": 0.02, "nsfw": 0.01, "oom": 0.01, "stuck": 0.005, "unknown_status": 0.03,
    "get_5xx": 0.05, "get_odd": 0.05, "cancel_lost": 0.5, "vanish:while": 0.02, "list_lag": 0.1, "list_shuffle": 0.1,
    "expire_url:removed": 0.01, "output_busy": 0.05, "truncate": 0.05, "no_length_cut": 0.05, "not_image": 0.03,
    "drip:body": 0.01,
    "redirect:once": 0.05, "gone_403": 1.0, "inline": 0.1, "early_output": 0.3, "other_version": 0.3, "undated": 0.1,
    "unknown_end": 0.005, "stale": 0.02,
}  # fmt: skip
_SLOWEST = 0.5  # seconds until a create is answered: half of what we wait for it in such a night


@dataclass(frozen=True)
class Action:
    """One blow: ``after`` seconds from when the night moves again after the last one; it lasts for ``seconds``."""

    after: float
    target: str
    what: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """One seed of one profile: the same faults for the same sends, the same blows in the same order."""

    seed: int
    profile: str
    jobs: int
    faults: Mapping[str, float]
    actions: Sequence[Action]
    create_seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def faulty_sends(self) -> float:
        """The share of sends that go wrong."""
        return sum(self.faults.get(name, 0.0) for name in _SENDS)

    def count(self, what: str) -> int:
        return sum(action.what == what for action in self.actions)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> "Plan":
        plain = json.loads(path.read_text())
        return cls(**plain | {"actions": [Action(**action) for action in plain["actions"]]})


def draw(seed: int, profile: str, jobs: int = 500) -> Plan:
    """Draw a night; the same for the same seed, profile and number of jobs."""
    chance = random.Random(f"{profile}/{seed}")
    blows = _single(chance) if profile == "sqlite" else _distributed(chance)
    chance.shuffle(blows)
    slow = round(chance.uniform(0, _SLOWEST), 2) if chance.random() < 0.3 else 0.0
    return Plan(seed, profile, jobs, _faults(chance), blows, slow, _versions())


def _faults(chance: random.Random) -> dict[str, float]:
    weights = {name: chance.random() for name in chance.sample(_SENDS, 7)}
    scale = chance.uniform(*_FAULTY) / sum(weights.values())
    sends = {name: round(weight * scale, 4) for name, weight in weights.items()}
    others = chance.sample(sorted(_OTHERS), 11)
    return sends | {name: round(chance.uniform(0, _OTHERS[name]), 4) for name in others}


def _single(chance: random.Random) -> list[Action]:
    """Draw the blows against one process that does everything: it is killed over and over."""
    gap = _Gaps(chance, most=1.2)
    kills = [gap.action("run", "kill") for _ in range(chance.randint(*_KILLS))]
    others = [gap.action("run", "stop", lasts=(1, 5)), gap.action("run", "end")]
    return kills + others + _api(gap)


def _distributed(chance: random.Random) -> list[Action]:
    gap = _Gaps(chance, most=2.0)
    workers = [
        gap.action("worker", what) for what in ("kill", "kill", "kill", "kill-child", "kill-child", "end")
    ]
    workers += [gap.action("worker", "stop-child", lasts=(2, 8)), gap.action("worker", "stop", lasts=(2, 8))]
    scheduler = [gap.action("scheduler", what) for what in ("kill", "kill", "end")]
    scheduler += [gap.action("scheduler", "stop", lasts=(1, 6)), gap.action("run", "kill")]
    broker = [gap.action("broker", "restart", lasts=(0, 3)) for _ in range(2)]
    broker += [gap.action("broker", "flush") for _ in range(2)]
    broker += [gap.action("broker-wire", what, lasts=(1, 4)) for what in ("reset", "stall", "hole", "half")]
    database = [gap.action("database", "restart", lasts=(0, 3)) for _ in range(2)]
    database += [gap.action("database-wire", what, lasts=(1, 4)) for what in ("reset", "stall", "half")]
    database += [gap.action("database-wire", "cut-commit") for _ in range(3)]
    return workers + scheduler + broker + database + _api(gap)


def _api(gap: "_Gaps") -> list[Action]:
    """Draw the blows on the API's side: the wire to it, its process, what it says of the account."""
    wires = [gap.action("api-wire", what, lasts=(0.5, 3)) for what in ("reset", "stall", "hole", "half")]
    refusals = [gap.action("api", what, lasts=(1, 3)) for what in ("402", "429", "low_credit")]
    return [*wires, gap.action("api", "restart"), *refusals]


class _Gaps:
    """Draws when a blow comes, and how long it lasts."""

    def __init__(self, chance: random.Random, most: float) -> None:
        self._chance = chance
        self._most = most

    def action(self, target: str, what: str, lasts: tuple[float, float] = (0, 0)) -> Action:
        after = round(self._chance.uniform(0, self._most), 2)
        return Action(after, target, what, round(self._chance.uniform(*lasts), 2))


def _versions() -> dict[str, str]:
    names = ("celery", "kombu", "redis", "sqlalchemy", "psycopg", "httpcore")
    libraries = {name: metadata.version(name) for name in names}
    return {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version} | libraries
