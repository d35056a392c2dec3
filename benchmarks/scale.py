"""Whether the size of the table matters: ticks, `status`, `retry` and `export`, at ten thousand jobs and at a million.

    python -m benchmarks.scale --jobs 1000000 --database postgresql

The database itself generates the rows. No API is called: what workers would write is written between two ticks, so
that each tick finds ten jobs to buy, ten images to fetch and two hundred predictions to look at.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles

import sqlalchemy as sa

from benchmarks import load
from jobs import database, lifecycle, settings, worklists
from jobs.by_hand import retrying
from jobs.lanes import Lane
from jobs.reports import results, status, usage
from jobs.selecting import selection
from jobs.states import State
from migrations import schema
from scheduler.timetable import Timetable
from tests import crowd, factory
from worker import app

FEW = 10_000  # jobs in the small table
IN_FLIGHT = 200
A_TICK = 10  # jobs that end between two ticks
TICKS = 240
AT_ONCE = timedelta()
LEASE = timedelta(seconds=60)


class Night:
    """An open batch halfway through its jobs, its scheduler, and what its workers would write."""

    def __init__(self, opened, jobs):
        self.database = opened
        self.settings = settings.Settings(
            OVERNIGHT_API_URL=factory.API, _env_file=None,
            creates_per_minute="unlimited", reads_per_minute="unlimited", max_in_flight=str(IN_FLIGHT),
        )  # fmt: skip
        self.batch = factory.make_batch(opened, name="crowd").id
        self.account = factory.make_account(opened).id
        ended = int(jobs * 0.6) - IN_FLIGHT
        pending = jobs - ended - IN_FLIGHT
        crowd.gather(opened, self.batch, self.account, crowd.Crowd(ended, IN_FLIGHT, pending))
        self._messages = []
        celery = app.create(self.settings)
        celery.send_task = self._take
        self._timetable = Timetable(celery, configured=self.settings, db=opened, lazy=True)

    def tick(self):
        """Tick, and do the work that it handed out; return the seconds of the tick, and of both."""
        self._timetable._rest = 0.0  # noqa: SLF001  a full tick, even if the cap in flight is reached
        began = time.perf_counter()
        self._timetable.tick()
        took = time.perf_counter() - began
        assert not self._timetable.waits_for
        self._work()
        return took, time.perf_counter() - began

    def _take(self, lane, args, queue):  # noqa: ARG002  Celery's signature
        self._messages.append((lane, args[0]))

    def _work(self):
        handed, self._messages = self._messages, []
        left = A_TICK
        for lane, ids in handed:
            with self.database.write() as tx:
                now = database.now(tx)
                if lane is Lane.SUBMIT:
                    self._buy(tx, now, ids)
                elif lane is Lane.POLL:
                    left -= self._look(tx, now, ids, left)
                elif lane is Lane.COLLECT:
                    self._fetch(tx, now, ids)

    def _buy(self, tx, now, ids):
        begun = lifecycle.begin(tx, now, self.account, ids, LEASE)
        sold = [lifecycle.Accepted(one.fence, f"sold-{one.fence.attempt}") for one in begun]
        lifecycle.accepted(tx, now, sold, AT_ONCE)

    def _look(self, tx, now, ids, most):
        fences = [one.fence for one in worklists.running(tx, [self.account], ids)]
        url = ("https://files.example/image.png",)
        lifecycle.produced(tx, now, [lifecycle.Produced(fence, url, now) for fence in fences[:most]])
        lifecycle.look_again(tx, State.RUNNING, dict.fromkeys(fences[most:], now))
        return len(fences[:most])

    def _fetch(self, tx, now, ids):
        fences = [one.fence for one in worklists.collecting(tx, [self.account], ids)]
        lifecycle.kept(tx, now, [_image(fence) for fence in fences])
        lifecycle.stored(tx, now, fences)


def _image(fence):
    path, digest = f"crowd/made-{fence.attempt}-0.png", f"{fence.attempt:064x}"
    return lifecycle.Image(fence, 0, lifecycle.File(path, "image/png", 300_000, 768, 512, digest))


def ticked(nights, count=TICKS):
    """Return how long the ticks of each night take. The nights take turns: other load slows down all of them."""
    took = [[night.tick() for night in nights] for _ in range(20 + count)][20:]  # the first have cold caches
    return [_figures(list(of_one)) for of_one in zip(*took, strict=True)]


def _figures(took):
    ticks, whole = zip(*took, strict=True)
    return [
        ("tick, median", median(ticks) * 1000, "ms"),
        ("tick, p99", p99(ticks), "ms"),
        ("a job: tick, and what is written of it", median(whole) / A_TICK * 1000, "ms"),
    ]


def p99(took):
    return quantiles(took, n=100)[-1] * 1000


def behind_a_snapshot(night):
    """Return how long ticks take while a reader keeps a snapshot open, as a backup does, and all work goes on."""
    engine = sa.create_engine(night.database.url, isolation_level="REPEATABLE READ")
    with engine.connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM batches"))
        for _ in range(3):
            ticked([night])
        [figures] = ticked([night])
    engine.dispose()
    return [(f"{what}; a snapshot is {4 * TICKS * A_TICK:,} jobs old", *rest) for what, *rest in figures]


def looked(night):
    """Return how long the queries of `status`, `quota` and `retry --dry-run` take, as (what, figure, unit)."""
    failures = retrying.wanted(selection.Selection())
    questions = {
        "status": status.overview,
        "status BATCH: progress": lambda tx: status.progress(tx, night.batch),
        "status BATCH: harvest": lambda tx: results.harvest(tx, night.batch),
        "quota": lambda tx: usage.every(tx, night.settings),
        "retry: selection": lambda tx: selection.ids(tx, failures, night.batch),
    }
    return [
        (f"{what}, the query", milliseconds(night.database, one), "ms") for what, one in questions.items()
    ]


def milliseconds(opened, question):
    """Return the median time of five runs of a query."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        with opened.read() as tx:
            question(tx)
        took.append(time.perf_counter() - began)
    return median(took) * 1000


def typed(night, folder):
    """Return how long a person's commands take, as (what, figure, unit)."""
    commands = {
        "status": ["status"],
        "status BATCH": ["status", "crowd"],
        "retry --dry-run": ["retry", "crowd", "--dry-run"],
        "export": ["export", "crowd", "-o", str(folder / "crowd.csv"), "--force"],
    }
    url = night.database.url.render_as_string(hide_password=False)
    surroundings = os.environ | {"OVERNIGHT_DATABASE_URL": url, "OVERNIGHT_API_URL": factory.API}
    figures = []
    for what, words in commands.items():
        began = time.perf_counter()
        command = [sys.executable, "-m", "overnight", *words]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=surroundings
        )
        figures.append((f"overnight {what}", (time.perf_counter() - began) * 1000, "ms"))
    return figures


@contextlib.contextmanager
def made(kind, folder, jobs):
    """Yield a night in a database of its own."""
    folder.mkdir()
    with load.database(kind, folder) as database:
        schema.upgrade(database)
        yield Night(database, jobs)
        database.close()


def measure(kind, jobs, folder):
    """Return all figures for few jobs and for many, each as (what, figure, unit)."""
    with made(kind, folder / "few", FEW) as few, made(kind, folder / "many", jobs) as many:
        figures = ticked([few, many])
        more = [_more(night, folder) for night in (few, many)]
    return [first + rest for first, rest in zip(figures, more, strict=True)]


def _more(night, folder):
    snapshot = [] if night.database.is_sqlite else behind_a_snapshot(night)
    return looked(night) + typed(night, folder) + snapshot


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        few, many = measure(asked.database, asked.jobs, Path(folder))
    print(f"{'':<70}{FEW:>12,}{asked.jobs:>12,} jobs")
    for (what, figure, _), (_, at_scale, unit) in zip(few, many, strict=True):
        print(f"{what:<70}{figure:12.1f}{at_scale:12.1f} {unit}{at_scale / figure:10.2f} x")


if __name__ == "__main__":
    main()
