"""A night as the fault tests live it: a manifest, the real command in a process of its own, and a sandbox."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from jobs import database
from tests.faults import checker
from tests.integration import rehearsal

IMAGE = "https://example.com/sketch.png"  # the sandbox draws a picture for it; nothing is fetched


class Night:
    """One folder with a manifest, a database and outputs, and the commands run in it."""

    def __init__(self, folder: Path, sandbox, jobs: int, **settings):
        self.folder = folder
        self.sandbox = sandbox
        self.output = folder / "outputs"
        self.manifest = folder / "night.csv"
        rows = [f"{IMAGE},a lake in winter {n},k{n:05}" for n in range(jobs)]
        self.manifest.write_text("image,prompt,key\n" + "\n".join(rows) + "\n")
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OVERNIGHT_", "REPLICATE_"))
        } | {
            "OVERNIGHT_API_TOKEN": sandbox.token,
            "OVERNIGHT_DATABASE_URL": f"sqlite:///{folder}/night.db",
            "OVERNIGHT_OUTPUT": str(self.output),
            "OVERNIGHT_TIME_SCALE": "0.05",
        }
        self.environment |= {f"OVERNIGHT_{name.upper()}": str(value) for name, value in settings.items()}
        self.log = folder / "words.txt"

    def start(self, *command, **more):
        """Start one overnight command in a process group of its own; its words go to a file."""
        environment = self.environment | {"OVERNIGHT_API_URL": self.sandbox.url} | more
        with self.log.open("ab") as words:
            return subprocess.Popen(
                [sys.executable, "-m", "overnight", *command],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )

    def run(self, *command, seconds=240):
        """Run one command to its end and return its exit code."""
        child = self.start(*(command or ("run", str(self.manifest))))
        try:
            return child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise AssertionError(f"still not done after {seconds} s:\n{self.words()}") from None

    def words(self):
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    @contextmanager
    def database(self):
        db = database.Database(self.environment["OVERNIGHT_DATABASE_URL"])
        try:
            yield db
        finally:
            db.close()

    def check(self):
        """Return the checker's report of what the night has come to."""
        with self.database() as db:
            return checker.check(db, self.sandbox.ledger(), self.output)


def kill_after(child, seconds):
    """Let a process live for a while, then end it as a power cut would; False if it ended by itself."""
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True
    return False


def eventually(look, seconds=60):
    return rehearsal.eventually(look, seconds)


def seconds_until(look, most):
    """Return how long it took until ``look`` found something true."""
    began = time.monotonic()
    eventually(look, most)
    return time.monotonic() - began
