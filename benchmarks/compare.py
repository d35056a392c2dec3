"""How `overnight run` compares with what people use otherwise, each against a sandbox of its own, in one run.

    python -m benchmarks.compare                                        everything: three quarters of an hour
    python -m benchmarks.compare --scenario D --peer arq --jobs 100     a part of it
    python -m benchmarks.compare --markdown benchmarks/RESULTS.md       the same with a file of the figures

Peers are in `benchmarks/peers`, each installed into an environment of its own under `.venv-peers`. A peer that cannot
be installed, or that fails, is reported and does not stop the others.
"""

import argparse
import contextlib
import os
import platform
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import contest
from benchmarks.entrants import ENTRANTS, Missing
from benchmarks.scenarios import SCENARIOS

COLUMNS = (
    "n", "makespan, s", "÷ ideal", "CPU ms a job", "POSTs a job", "GETs a job", "lost", "stranded", "paid twice",
    "expired", "peak MB",
)  # fmt: skip


def row(figures):
    """Return the cells of one program, in the order of COLUMNS."""
    found = figures.verdict
    ratio = figures.ideal and figures.makespan / figures.ideal
    return (
        f"{figures.jobs:,}", _shown(figures.makespan, ".1f"), _shown(ratio, ".2f"), f"{figures.cpu:.1f}",
        f"{figures.posts:.2f}", f"{figures.gets:.2f}", str(found.lost), str(found.stranded), str(found.paid_twice),
        str(found.expired), f"{figures.memory:.0f}",
    )  # fmt: skip


def _shown(figure, form):
    return "-" if figure is None else format(figure, form)


def compared(scenario, names, jobs):
    """Yield each program's name with its cells, or with a sentence that says why there are none."""
    for name in names:
        entrant = ENTRANTS[name]
        count = jobs or min(scenario.jobs, entrant.most)
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            try:
                figures = contest.measure(entrant, scenario, count, Path(folder))
            except (Missing, OSError, ValueError, LookupError) as error:
                yield name, f"not measured: {error}"
                continue
            yield name + (" (stopped)" if figures.cut else ""), row(figures)


def plain(name, cells):
    """Return a line of the table that is printed."""
    return f"{name:<28}" + (cells if isinstance(cells, str) else "".join(f"{cell:>14}" for cell in cells))


def marked(name, cells):
    """Return a line of the table in the file."""
    cells = (cells, *[""] * (len(COLUMNS) - 1)) if isinstance(cells, str) else cells
    return f"| {name} | {' | '.join(cells)} |"


HEAD = """# Compared

{date}, Python {python}, {cores} cores: compare rows of one table, and no seconds with another machine's. Written by
`python -m benchmarks.compare --markdown benchmarks/RESULTS.md`, all of it in one run; each program had a fresh
`overnight sandbox`, which is the API and keeps a ledger of what it sold.

- **makespan**: from the first purchase to the last file. **ideal**: the same predictions, each as long as it was, had
  each left when quota (a tenth of a minute's at once, then steadily) and cap allowed it, and its file been there at
  its end. No ratio where predictions take no time, or where more than one job in ten has no image.
- **CPU, memory**: of all processes of the program and of its broker, start-up included; memory is proportional, sampled
  twice a second.
- **POSTs, GETs**: purchases and other calls to the API, downloads aside.
- **lost**: no whole image, and the program has ended, or says itself that the job failed. **stranded**: no whole
  image and nothing said, after a kill and the same command again, or because it was stopped. **paid twice**:
  predictions beyond one a job that the API did not fail. **expired**: bought, and wiped before it was fetched.
- **(stopped)**: it had not ended after {limit:.0f} s, or had not called for {quiet:.0f} s.
- Peers are written as their own documentation has it, in `benchmarks/peers`. DBOS, Celery and GNU parallel are told the
  quota of purchases, for which they have an option; overnight is told both quotas; the others have no place for it.
"""


def head():
    """Return how the file begins: what was measured, when, on what, and what the columns mean."""
    return HEAD.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}", python=platform.python_version(), cores=os.cpu_count(),
        limit=contest.LIMIT, quiet=contest.QUIET,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="may be repeated")
    parser.add_argument("--peer", choices=ENTRANTS, action="append", help="may be repeated")
    parser.add_argument("--jobs", type=int, help="instead of each scenario's own number")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to it as well")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    with contextlib.ExitStack() as stack:
        file = stack.enter_context((asked.markdown or Path(os.devnull)).open("w"))
        print(head(), end="", file=file)
        for letter in asked.scenario or SCENARIOS:
            scenario = SCENARIOS[letter]
            print(f"\n{plain(f'{letter}: {scenario.title}', '')}\n{plain('', COLUMNS)}", flush=True)
            print(
                f"\n## {letter}: {scenario.title}\n\n{marked('', COLUMNS)}\n|---{'|---:' * len(COLUMNS)}|",
                file=file,
            )
            for name, cells in compared(scenario, asked.peer or ENTRANTS, asked.jobs):
                print(plain(name, cells), flush=True)
                print(marked(name, cells), file=file, flush=True)


if __name__ == "__main__":
    main()
