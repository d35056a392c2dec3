"""A night for the fault tests: a manifest, the real command in a process of its own, and a sandbox."""

import functools
import os
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from jobs import database, tables
from migrations import schema
from tests import programs
from tests.faults import checker, evidence, history
from tests.integration import rehearsal

IMAGE = "https://example.com/sketch.png"  # the sandbox draws a picture for it; nothing is fetched
# A batch's identifier makes its jobs' seeds, and by these the sandbox draws its faults: a random one would make every
# night another one.
_SQLITE_IDENTIFIERS = (
    """CREATE TRIGGER identify AFTER INSERT ON batches
    BEGIN UPDATE batches SET uuid = NEW.name WHERE id = NEW.id; END""",
)
_POSTGRES_IDENTIFIERS = (
    """CREATE FUNCTION identify() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN NEW.uuid := NEW.name; RETURN NEW; END$$""",
    "CREATE TRIGGER identify BEFORE INSERT ON batches FOR EACH ROW EXECUTE FUNCTION identify()",
)


class Night:
    """One folder with a manifest, a database and outputs, and the commands run in it."""

    def __init__(self, folder: Path, sandbox, jobs: int, *, image: str = IMAGE, **settings):
        self.folder = folder
        self.sandbox = sandbox
        self.output = folder / "outputs"
        self.manifest = folder / "night.csv"
        self.keys = [f"k{n:05}" for n in range(jobs)]
        rows = [f"{image},a lake in winter {key},{key}" for key in self.keys]
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
        self.started = []

    def start(self, *command, **more):
        """Start one overnight command in a process group of its own; its output goes to a file."""
        environment = self.environment | {"OVERNIGHT_API_URL": self.sandbox.url} | more
        with self.log.open("ab") as words:
            child = programs.Program(
                "overnight",
                *command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        self.started.append(child)
        return child

    def run(self, *command, seconds=240, **more):
        """Run one command to its end and return its exit code; a negative one is the signal that killed it."""
        child = self.start(*(command or ("run", str(self.manifest))), **more)
        try:
            return child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still not done after {seconds} s:\n{self.words()}") from None

    def close(self):
        """Kill what still runs, with its children, and wait for it."""
        for process in self.started:
            kill_group(process)

    def words(self):
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    def diary(self):
        """What the processes have logged, to a file or to stderr."""
        return "".join(path.read_text() for path in (self.folder / "night.log", self.log) if path.exists())

    @contextmanager
    def database(self):
        """Look into the database, and leave no connection open: the next process must be the one to recover it."""
        try:
            yield self._engine
        finally:
            self._engine.close()

    @functools.cached_property
    def _engine(self):
        """One for all looks, of which there are many a second: it keeps its compiled queries."""
        return database.Database(self.environment["OVERNIGHT_DATABASE_URL"])

    def remember(self):
        """Create the database if need be; have it record every move of every job, and draw the same seeds each time."""
        with self.database() as db:
            schema.upgrade(db)
            history.keep(db)
            with db.write() as tx:
                for statement in _SQLITE_IDENTIFIERS if db.is_sqlite else _POSTGRES_IDENTIFIERS:
                    tx.exec_driver_sql(statement)

    def count(self, *states):
        """Return how many jobs are in these states."""
        return self.counted(tables.jobs, tables.jobs.c.state.in_(states))

    def counted(self, table, condition):
        with self.database() as db, db.read() as tx:
            return tx.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()

    def bought(self):
        """Return how many predictions the API has accepted so far."""
        path = self.sandbox.state / "ledger.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def served(self, line, index):
        """Return what the API delivers for an output; None for one that it has deleted."""
        host = self.sandbox.url.removesuffix("/v1")
        reply = rehearsal.fetch(f"{host}/output/{line['key']}/out-{index}.png")
        return reply.content if reply.status_code == 200 else None

    @property
    def _secret(self):
        """The token, if it is a word that occurs nowhere else."""
        return "" if self.sandbox.token == rehearsal.Sandbox.token else self.sandbox.token

    def check(self, **terms):
        """Return the checker's report on the night."""
        price = self.environment.get("OVERNIGHT_PRICE")
        known = evidence.Terms(
            keys=self.keys,
            served=self.served,
            price=float(price) if price else None,
            most_attempts=int(self.environment.get("OVERNIGHT_MAX_ATTEMPTS", 3)),
            folder=self.folder,
            secret=self._secret,
        )
        ledger = self.sandbox.ledger() if self.bought() else []
        with self.database() as db:
            return checker.check(db, ledger, self.output, replace(known, **terms))


def kill_group(process):
    """Kill a process and its children, as a power cut would."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def eventually(look, seconds=60, **more):
    return rehearsal.eventually(look, seconds, **more)
