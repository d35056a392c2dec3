"""How close one `overnight run` comes to what an API allows, and how many calls it makes.

    python -m benchmarks.pace            every scenario
    python -m benchmarks.pace quota      one of them

Each is one batch against one sandbox, in real time. In the ideal, the same predictions take as long as they did, every
create leaves at the first moment that it may, and an image is there when its prediction ends. Compare ratios.
"""

import argparse
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks import throughput, verdict
from sandbox import signing

LATENCY = 2.0  # seconds that a prediction takes, in the median
UNLIMITED = {"OVERNIGHT_CREATES_PER_MINUTE": "unlimited", "OVERNIGHT_READS_PER_MINUTE": "unlimited"}
TEN_A_SECOND = {"OVERNIGHT_CREATES_PER_MINUTE": "600"}
COLUMNS = ("makespan / ideal", "creates a job", "looks a job", "429, %", "end to disk, s")


@dataclass(frozen=True)
class Scenario:
    """What the API grants, and what our settings say that it grants."""

    jobs: int
    told: dict[str, str]
    creates_per_minute: int = 0  # 0: unlimited
    in_flight: int = 1000
    profile: str = "replicate"
    webhooks: bool = False


SCENARIOS = {
    "cap: fifty in flight": Scenario(500, UNLIMITED, in_flight=50),
    "quota: ten creates a second": Scenario(600, TEN_A_SECOND, 600),
    "no-list: the same without a list": Scenario(600, TEN_A_SECOND, 600, profile="gateway"),
    "hinted: the same with webhooks": Scenario(600, TEN_A_SECOND, 600, webhooks=True),
    "unhinted: that without a list": Scenario(600, TEN_A_SECOND, 600, profile="gateway", webhooks=True),
    "told-more: half as much again": Scenario(600, {"OVERNIGHT_CREATES_PER_MINUTE": "900"}, 600),
    "untold: the quota is to be found": Scenario(600, UNLIMITED, 600),
}


def measure(folder, scenario):
    """Return the figures of one scenario, in the order of COLUMNS."""
    throughput.write(folder / "manifest.csv", scenario.jobs)
    options = {
        "latency": LATENCY, "creates-per-minute": scenario.creates_per_minute, "reads-per-minute": 0,
        "profile": scenario.profile,
    }  # fmt: skip
    with throughput.sandbox(folder, *(f"--{name}={value}" for name, value in options.items())) as (url, _):
        settings = UNLIMITED | {"OVERNIGHT_MAX_IN_FLIGHT": str(scenario.in_flight)} | scenario.told
        with receiver(folder, url) if scenario.webhooks else contextlib.nullcontext({}) as told:
            throughput.run(folder, url, settings | told)
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/_stats") as answer:  # noqa: S310  on loopback
            stats = json.load(answer)
    calls = stats["requests"]
    ideal = verdict.ideal(
        throughput.ledger(folder), verdict.Grant(scenario.creates_per_minute, scenario.in_flight)
    )
    return (
        throughput.seconds_of_work(folder) / ideal,
        calls.get("create", 0) / scenario.jobs,
        (calls.get("get", 0) + calls.get("list", 0)) / scenario.jobs,
        100 * stats["throttled"] / sum(calls.values()),
        seconds_to_disk(folder),
    )


@contextlib.contextmanager
def receiver(folder, url):
    """Start a webhook receiver; yield the setting that makes the API call it."""
    settings = throughput.environment(folder, url, {"OVERNIGHT_WEBHOOK_SECRET": signing.MADE_UP})
    overnight = [sys.executable, "-m", "overnight"]
    subprocess.run([*overnight, "db", "upgrade"], env=settings, cwd=folder, check=True, capture_output=True)
    command = [*overnight, "webhook", "--port=0"]
    with subprocess.Popen(command, env=settings, cwd=folder, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield {"OVERNIGHT_WEBHOOK_URL": child.stdout.readline().split()[-1]}
        finally:
            child.terminate()


def seconds_to_disk(folder):
    """Return how many seconds after its prediction's end an image was on disk, on average."""
    with contextlib.closing(sqlite3.connect(folder / "overnight.db")) as db:
        (mean,) = db.execute(
            "SELECT avg((julianday(o.collected_at) - julianday(a.produced_at)) * 86400)"
            " FROM outputs o JOIN attempts a ON a.id = o.attempt_id"
        ).fetchone()
    return mean


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="?", default="", help="the beginning of a scenario's name")
    asked = parser.parse_args().scenario
    print(f"{'':<36}" + "".join(f"{name:>18}" for name in COLUMNS))
    for name, scenario in SCENARIOS.items():
        if name.startswith(asked):
            with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
                figures = measure(Path(folder), scenario)
            print(f"{name:<36}" + "".join(f"{figure:18.3f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
