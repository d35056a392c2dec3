"""An installation on servers: a folder with its settings, where commands are typed and left running."""

import contextlib
import os
import signal
import subprocess

import sqlalchemy as sa

from jobs import tables
from jobs.accounts import attendance
from jobs.database import Database
from jobs.states import State
from tests import programs
from tests.integration import rehearsal

NOBODY = "redis://127.0.0.1:1/0"  # nothing listens at port 1
IMAGE = "https://example.com/sketch.png"
CELERYS = {
    "worker": ("celery", "-A", "worker.app", "worker", "--concurrency=1"),
    "beat": ("celery", "-A", "worker.app", "beat", "--pidfile="),
}


class Place:
    """A folder with the settings of an installation, where commands are typed and left running."""

    def __init__(self, folder, **settings):
        self.folder = folder
        self.words = folder / "words.txt"
        self.output = folder / "outputs"
        self.output.mkdir()
        self.settings = {
            "OVERNIGHT_OUTPUT": str(self.output),
            "OVERNIGHT_API_TOKEN": rehearsal.Sandbox.token,
            "OVERNIGHT_API_URL": "http://127.0.0.1:1/v1",
            "OVERNIGHT_TIME_SCALE": "0.05",
        } | settings
        self.started = []

    def overnight(self, *typed, **settings):
        """Run a command to its end; a setting that is None is unset."""
        return programs.run("overnight", *typed, cwd=self.folder, env=self.environment(settings))

    def start(self, *command, **settings):
        """Start a program in a process group of its own; what it says goes to a file."""
        with self.words.open("ab") as words:
            self.started.append(
                programs.Program(
                    *command,
                    cwd=self.folder,
                    env=self.environment(settings),
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    start_new_session=True,
                )
            )
        return self.started[-1]

    def environment(self, settings):
        chosen = self.settings | {f"OVERNIGHT_{name.upper()}": text for name, text in settings.items()}
        return os.environ | {name: text for name, text in chosen.items() if text is not None}

    def manifest(self, jobs):
        path = self.folder / "night.csv"
        rows = "".join(f"{IMAGE},a lake {n},k{n}\n" for n in range(jobs))
        path.write_text(f"image,prompt,key\n{rows}")
        return str(path)

    def database(self):
        return contextlib.closing(Database(self.settings["OVERNIGHT_DATABASE_URL"]))

    def states(self):
        """Return how many jobs are in each state."""
        with self.database() as db, db.read() as tx:
            counted = sa.select(tables.jobs.c.state, sa.func.count()).group_by(tables.jobs.c.state)
            return {State(state): n for state, n in tx.execute(counted)}

    def enrolled(self):
        """Return the names of the accounts that a worker has made known."""
        with self.database() as db, db.read() as tx:
            return tx.execute(sa.select(tables.accounts.c.name)).scalars().all()

    def buying(self):
        """Return the names of the accounts that buy."""
        with self.database() as db, db.read() as tx:
            return [seat.account.name for seat in attendance.seats(tx)]

    def says(self, text):
        """Wait until a program has said this."""
        rehearsal.eventually(lambda: text in self.words.read_text())

    def close(self):
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
