"""A command with everything that it starts: how much memory it has, how much CPU it took, and its end by kill -9.

Memory is the sum of proportional set sizes, so that pages which processes share count once. Linux only.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Tree:
    """One running command; its output goes to ``FOLDER/stdout`` and ``FOLDER/stderr``, behind what is there."""

    def __init__(self, command, folder, environment):
        self._folder = folder
        reaper = [sys.executable, str(ROOT / "benchmarks" / "reaper.py"), str(folder)]
        with (folder / "stdout").open("ab") as out, (folder / "stderr").open("ab") as err:
            self._reaper = subprocess.Popen(
                [*reaper, *command], cwd=folder, env=environment, stdout=out, stderr=err,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def runs(self):
        return self._reaper.poll() is None

    def memory(self):
        """Return how many megabytes all of it has now."""
        return sum(map(_memory, _below(self._reaper.pid)))

    def kill(self):
        """Kill all of it, as a machine does that loses its power; the reaper ends by itself then."""
        while self.runs():
            for pid in _below(self._reaper.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def used(self):
        """Return the exit status and the CPU seconds of all of it, once it has ended."""
        self._reaper.wait()
        status, cpu = (self._folder / "used").read_text().split()
        return int(status), float(cpu)


def _below(ancestor):
    """Return the ids of all processes that descend from one."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended since
                # The name of the program, in parentheses, may have any character in it.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [ancestor]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def _memory(pid):
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
