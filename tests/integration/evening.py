"""`overnight run` as people meet it: typed in a folder with a manifest, beside a sandbox of the test's."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import sqlalchemy as sa

from jobs.tables import batches, jobs
from tests import programs
from tests.faults import nights
from tests.integration import rehearsal

NOWHERE = "http://127.0.0.1:9/v1"  # the port for throwing away, where nothing listens
_LOGIN = ("-c", "import os, sys; os.login_tty(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")


class Evening(nights.Night):
    """A night whose commands are looked at one by one: what they said, where, and how they ended."""

    def __init__(self, folder, sandbox=None, jobs=3, **settings):
        self.api = sandbox
        nobody = SimpleNamespace(token="rehearsal", url=NOWHERE)
        super().__init__(folder, sandbox or nobody, jobs, **settings)

    def type(self, *words, **environment):
        """Type `overnight …`; return the process that ended. A variable that is None is unset."""
        surroundings = self._surroundings(environment)
        return programs.run(
            "overnight", *words, cwd=self.folder, env=surroundings, stdin=subprocess.DEVNULL, timeout=120
        )

    def run_again(self, **environment):
        return self.type("run", "night.csv", **environment)

    @contextmanager
    def running(self, *words, **environment):
        """Start `overnight …` in a process group of its own; whatever the test did not end is killed."""
        child = programs.Program(
            "overnight",
            *(words or ("run", "night.csv")),
            cwd=self.folder,
            env=self._surroundings(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            child.kill()
            child.communicate()

    @contextmanager
    def in_a_terminal(self, *words, login=False, **environment):
        """Start `overnight …` in a terminal; yield the process and our end of the terminal.

        Only to who is logged in there does the system say that a terminal has hung up.
        """
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, *(_LOGIN if login else ()), "-m", "overnight", *words],
            cwd=self.folder,
            env=self._surroundings(environment) | {"TERM": "xterm", "COLUMNS": "120"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=not login,
        )
        os.close(theirs)
        terminal = Terminal(ours)
        try:
            yield child, terminal
        finally:
            child.kill()
            child.wait()
            terminal.close()

    def _surroundings(self, environment):
        chosen = self.environment | {"OVERNIGHT_API_URL": self.sandbox.url} | environment
        return {name: value for name, value in chosen.items() if value is not None}

    def states(self):
        """Return how many jobs are in each state."""
        with self.database() as db, db.read() as tx:
            counted = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
            return dict(tx.execute(counted).all())

    def batch(self, name="night"):
        with self.database() as db, db.read() as tx:
            return tx.execute(sa.select(batches).where(batches.c.name == name)).one()

    def bought(self):
        """Return how many predictions were sold."""
        path = self.sandbox.state / "ledger.jsonl"
        return len(self.sandbox.ledger()) if path.exists() else 0

    def until_bought(self, count=1):
        rehearsal.eventually(lambda: self.bought() >= count, 60)

    @property
    def has_database(self):
        return (self.folder / "night.db").exists()


class Terminal:
    """Our end of a terminal: what is shown on it, and what is typed."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._shown = b""

    def shows(self, text):
        """Read until some text is shown; return all that was."""
        while text.encode() not in self._shown:
            piece = self._read()
            assert piece, f"{text!r} was never shown: {self._shown.decode()}"
            self._shown += piece
        return self._shown.decode()

    def types(self, text):
        os.write(self._descriptor, text.encode())

    def close(self):
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self):
        try:
            return os.read(self._descriptor, 65536)
        except OSError:  # how Linux says that the other side is closed
            return b""


def ended(child, seconds=90):
    """Wait for a process; return its exit code, its stdout and its stderr."""
    out, words = child.communicate(timeout=seconds)
    return child.returncode, out, words


def interrupt(child, number=signal.SIGINT):
    """Press Ctrl-C: the whole process group hears it."""
    os.killpg(child.pid, number)


def one_line(words, *parts):
    """Whether there is exactly one line, under our name, with all of these in it."""
    lines = words.splitlines()
    return len(lines) == 1 and lines[0].startswith("overnight: ") and all(part in lines[0] for part in parts)


def as_json(process):
    return json.loads(process.stdout)


def processes():
    """Return the command line of every process, its words separated by NUL."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            found.append(path.read_bytes())
    return found
