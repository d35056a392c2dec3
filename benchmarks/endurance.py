"""What a long night leaves behind: memory, open files, log and database, per job of one `overnight run`.

    python -m benchmarks.endurance --jobs 100000

The sandbox answers at once, so that a night of jobs takes minutes. Growth is the slope of a line through the samples
after the first fifth of the jobs: what is loaded once, and caches that fill up, do not count. Open files are counted
only while jobs are left, not while the run closes them.
"""

import argparse
import contextlib
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import linear_regression
from typing import NamedTuple

from benchmarks import throughput

EVERY = 2.0  # seconds between two samples


class Sample(NamedTuple):
    """The process at one moment."""

    done: int  # jobs
    memory: float  # KB
    files: int


def watch(child, database):
    """Sample a running child until it ends."""
    samples = []
    while child.poll() is None:
        # At first there is no database, and the process may end at any moment.
        with contextlib.suppress(OSError, sqlite3.Error):
            files = len(list(Path(f"/proc/{child.pid}/fd").iterdir()))
            samples.append(Sample(done(database), memory(child.pid), files))
        time.sleep(EVERY)
    return samples


def done(database):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM jobs WHERE state = 'succeeded'").fetchone()[0]


def memory(pid):
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return float(fields["VmRSS"].split()[0])


def size(folder, pattern):
    return sum(path.stat().st_size for path in folder.glob(pattern)) / 1024


def measure(folder, count):
    """Return what one run of so many jobs left, as (what, figure, unit)."""
    throughput.write(folder / "manifest.csv", count)
    with throughput.sandbox(folder, *throughput.AT_ONCE) as (url, _):
        child = subprocess.Popen(
            [*throughput.RUN, "manifest.csv"], cwd=folder, env=throughput.environment(folder, url)
        )
        samples = watch(child, folder / "overnight.db")
    assert child.returncode == 0, f"the run ended with {child.returncode}"
    late = [sample for sample in samples if sample.done >= count / 5]
    files = [sample.files for sample in late if sample.done < count]
    slope = linear_regression([sample.done for sample in late], [sample.memory for sample in late]).slope
    return [
        ("memory grows, a job", slope, "KB"),
        ("memory at the end", samples[-1].memory / 1024, "MB"),
        ("open files vary by", max(files) - min(files), ""),
        ("log a job", size(folder, "overnight.log*") / count, "KB"),
        ("database a job", size(folder, "overnight.db*") / count, "KB"),
        ("jobs per second", count / throughput.seconds_of_work(folder), ""),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        for what, figure, unit in measure(Path(name), asked.jobs):
            print(f"{what:<30}{figure:8.3f} {unit}".rstrip())


if __name__ == "__main__":
    main()
