"""The comparison with other programs, run as a person would, with the one of them that is always there."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_five_jobs_are_run_counted_and_written_down(tmp_path):
    told = tmp_path / "figures.md"
    asked = ["--scenario", "G", "--peer", "overnight", "--jobs", "5", "--markdown", str(told)]
    subprocess.run([sys.executable, "-m", "benchmarks.compare", *asked], cwd=ROOT, check=True)
    [row] = [line for line in told.read_text().splitlines() if line.startswith("| overnight |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    jobs, _, ratio, cpu, posts, _, *counts, memory = cells[1:]
    assert (jobs, ratio, posts, counts) == ("5", "-", "1.00", ["0"] * 4)
    assert float(cpu) > 0
    assert float(memory) > 0
