"""Who is compared, and how each is started: overnight as a person types it, the peers in environments of their own."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import throughput

PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = Path(__file__).parents[1] / ".venv-peers"


class Missing(Exception):
    """A peer that cannot be started here, and why."""


@dataclass(frozen=True)
class Peer:
    """A script of ``peers``; ``most`` limits the jobs that it is given, where more would take too long."""

    script: str
    most: int
    broker: bool = False
    programs: tuple[str, ...] = ()

    def command(self, night):
        """Return the command that starts it; install it first, so that the installation is not measured."""
        for program in self.programs:
            if not shutil.which(program):
                raise Missing(f"{program} is not installed")
        script = PEERS / self.script
        runner = _python(script.with_suffix(".txt")) if script.suffix == ".py" else "bash"
        told = (f"--cap={night.scenario.in_flight}", f"--per-minute={night.scenario.creates_per_minute}")
        return [str(runner), str(script), "manifest.csv", night.url, str(night.output), *told]

    def environment(self, night):
        rate = night.scenario.creates_per_minute
        mine = {"REPLICATE_API_TOKEN": "made-up", "PEER_API": night.url, "PEER_BROKER": night.broker}
        return os.environ | mine | {"PEER_RATE": f"{rate}/m" if rate else "100000/s"}

    def failed(self, night):
        """Return the keys of the jobs that it reports as failed."""
        lines = (night.folder / "stdout").read_text(errors="replace").splitlines()
        return {line.split()[1] for line in lines if line.startswith("failed ")}


class Overnight:
    """``overnight run``."""

    most, broker = 10_000, False

    def command(self, night):  # noqa: ARG002  the signature of a peer's
        return [*throughput.RUN, "manifest.csv"]

    def environment(self, night):
        limits = {"CREATES": night.scenario.creates_per_minute, "READS": night.scenario.reads_per_minute}
        told = {f"OVERNIGHT_{name}_PER_MINUTE": str(limit or "unlimited") for name, limit in limits.items()}
        told["OVERNIGHT_MAX_IN_FLIGHT"] = str(night.scenario.in_flight)
        return throughput.environment(night.folder, night.url, told)

    def failed(self, night):
        with contextlib.closing(sqlite3.connect(night.folder / "overnight.db")) as db:
            return {
                key for (key,) in db.execute("SELECT key FROM jobs WHERE state IN ('failed', 'cancelled')")
            }


ENTRANTS = {
    "overnight": Overnight(),
    "aiohttp, bare": Peer("bare.py", most=10_000),
    "replicate 1.0.7": Peer("replicate1.py", most=2_000),
    "replicate 2.0.0b4": Peer("replicate2.py", most=2_000),
    "parallel + curl": Peer("parallel_curl.sh", most=500, programs=("parallel", "curl", "jq")),
    "DBOS": Peer("dbos_queue.py", most=1_000),
    "Celery, naive": Peer("celery_naive.py", most=2_000, broker=True),
    "arq": Peer("arq_jobs.py", most=2_000, broker=True),
}


def _python(requirements):
    """Return the Python of a peer's environment, which is made anew when its requirements have changed."""
    folder = ENVIRONMENTS / requirements.stem
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    made, python = folder / "made", folder / "bin" / "python"
    if not made.exists() or made.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "-qq", "--disable-pip-version-check", "--no-input"]
        installed = subprocess.run([*pip, "install", "-r", str(requirements)], check=False)
        if installed.returncode:
            raise Missing("its requirements could not be installed")
        made.write_text(wanted)
    return python
