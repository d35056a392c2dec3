"""How many jobs a second one `overnight run` finishes, and what each costs this machine.

python -m benchmarks.throughput --jobs 3000

The sandbox answers at once and paints 64 x 64 pixels, and the quota is unlimited, so that only our own work takes
time. On a machine that does other things as well, compare the CPU; jobs/s needs two free cores.
"""

import argparse
import contextlib
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from jobs import images

SANDBOX = (sys.executable, "-m", "sandbox", "--port=0", "--output-size=64")
AT_ONCE = ("--latency=0", "--creates-per-minute=0", "--reads-per-minute=0")
RUN = (sys.executable, "-m", "overnight", "run", "--yes", "--quiet")
SETTINGS = {
    "OVERNIGHT_CREATES_PER_MINUTE": "unlimited",
    "OVERNIGHT_READS_PER_MINUTE": "unlimited",
    "OVERNIGHT_MAX_IN_FLIGHT": "2000",
}


@contextlib.contextmanager
def sandbox(folder, *options):
    """Yield the URL of a sandbox in a process of its own, and a list that holds its CPU seconds once it has ended."""
    spent = []
    command = [*SANDBOX, f"--state={folder / 'sandbox'}", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child.stdout.readline().split()[-1], spent
        finally:
            child.send_signal(signal.SIGTERM)
            spent.append(cpu(ended(child)))


def environment(folder, url, settings=SETTINGS):
    """Return the environment of a run at an API, with everything in one folder."""
    given = {"OVERNIGHT_API_URL": url, "OVERNIGHT_DATABASE_URL": f"sqlite:///{folder / 'overnight.db'}"}
    given |= {"OVERNIGHT_OUTPUT": str(folder / "outputs"), "OVERNIGHT_API_TOKEN": "made-up"}
    return os.environ | settings | given


def run(folder, url, settings=SETTINGS):
    """Run the manifest as a person would; return the resources that the process used."""
    child = subprocess.Popen([*RUN, "manifest.csv"], cwd=folder, env=environment(folder, url, settings))
    used = ended(child)
    assert child.returncode == 0, f"the run ended with {child.returncode}"
    return used


def ended(child):
    """Wait for a child and return the resources that it used; only `wait4` reports those of a single child."""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return used


def cpu(used):
    return used.ru_utime + used.ru_stime


def write(path, count):
    """Write a manifest that a shell can read too, as no cell needs quotes; return each job's prompt by its key."""
    wanted = {f"{n:06}": f"painting number {n}" for n in range(count)}
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["key", "image", "prompt"])
        table.writerows(
            [key, "https://images.example.com/photo.jpg", prompt] for key, prompt in wanted.items()
        )
    return wanted


def ledger(folder):
    """Return what the sandbox has sold, a line for each purchase, in the order of the purchases."""
    lines = (folder / "sandbox" / "ledger.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def seconds_of_work(folder):
    """Return how long it took from the first purchase to the last end."""
    with contextlib.closing(sqlite3.connect(folder / "overnight.db")) as db:
        first, last = db.execute(
            "SELECT min(a.intended_at), max(j.finished_at) FROM attempts a JOIN jobs j ON j.id = a.job_id"
        ).fetchone()
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def seconds_of_decoding(folder):
    """Return the CPU seconds that it takes to decode every output once more, as the run did."""
    contents = [path.read_bytes() for path in (folder / "outputs").rglob("*.png")]
    began = time.process_time()
    for content in contents:
        images.inspect(content)
    return time.process_time() - began


def measure(folder, count):
    """Return the figures of one run of so many jobs, as (what, figure, unit)."""
    write(folder / "manifest.csv", count)
    with sandbox(folder, *AT_ONCE) as (url, others):
        whole = run(folder, url)
        start_up = cpu(run(folder, url))  # everything is there already
    decoding = seconds_of_decoding(folder)
    ours = cpu(whole) - start_up - decoding
    return [
        ("jobs per second", count / seconds_of_work(folder), ""),
        ("CPU a job, decoding aside", ours / count * 1000, "ms"),
        ("decoding a job", decoding / count * 1000, "ms"),
        ("start-up, once", start_up, "s"),
        ("peak memory", whole.ru_maxrss / 1024, "MB"),
        ("the sandbox's own CPU a job", others[0] / count * 1000, "ms"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=3000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        for what, figure, unit in measure(Path(name), asked.jobs):
            print(f"{what:<30}{figure:8.2f} {unit}".rstrip())


if __name__ == "__main__":
    main()
