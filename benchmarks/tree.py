"""A command with everything that it starts: its memory, its CPU time, and its end by kill -9.

Memory is the sum of proportional set sizes, so that shared pages count once. Linux only.
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
    """One running command; its output is appended to ``FOLDER/stdout`` and ``FOLDER/stderr``."""

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
        """Return how many megabytes all its processes use now."""
        return sum(map(_memory, _below(self._reaper.pid)))

    def kill(self):
        """Kill all its processes, as a power cut would; the reaper then ends by itself."""
        while self.runs():
            for pid in _below(self._reaper.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def used(self):
        """Wait for the end; return the command's exit status and the CPU seconds of all its processes."""
        self._reaper.wait()
        status, cpu = (self._folder / "used").read_text().split()
        return int(status), float(cpu)


def _below(ancestor):
    """Return the ids of all processes that descend from one."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                # The name of the program, in parentheses, may contain any character.
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
