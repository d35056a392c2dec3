"""The stage of a chaotic night on one machine: the process, the API, the wire, and the blows that each can take."""

import fcntl
import math
import os
import signal
import time

import sqlalchemy as sa

from jobs import tables
from jobs.lanes import SLICE, Lane
from jobs.states import FINAL
from overnight.exits import Exit
from sandbox.plan import Plan
from tests import conftest
from tests.faults import nights, processes, wires
from tests.faults.report import Finding
from tests.integration import rehearsal

QUIET = "no process, lock, open file or message is left"
SETTINGS = {
    "max_attempts": 6, "reads_per_minute": "unlimited", "prediction_deadline": "2m", "price": 0.25,
}  # fmt: skip
# Late, but within the settle time: what comes later than that may be paid twice, and is reported.
_API = {
    "creates_per_minute": 0, "reads_per_minute": 0, "output_size": 64, "latency": 0.3, "late": 2, "lag": 1.5,
    "low_credit": 120,
}  # fmt: skip
_CANARY = 1.5  # seconds, as TIME_SCALE makes them
_IN_DOUBT = 40.0  # seconds: `list_margin`, a lease and a create's deadline as TIME_SCALE makes them, and some
_SLOTS = 4 * SLICE[Lane.SUBMIT]  # sends that this many processes may have begun when they are stopped


class Stage:
    """What both profiles share: an API behind a wire, one night, and a person who starts `run` again when it ends."""

    def __init__(self, plan, folder):
        self.plan = plan
        self.sandbox = rehearsal.Sandbox(
            folder / "sandbox", seed=plan.seed, faults=plan.faults, port=conftest.free_port(),
            create_seconds=plan.create_seconds, **_API,
        )  # fmt: skip
        self.sandbox.token = f"canary-{os.urandom(12).hex()}"
        here = self.sandbox.url.removesuffix("/v1").rpartition(":")[2]
        self.api = wires.Wire(("127.0.0.1", int(here)))
        self._direct, self.sandbox.url = self.sandbox.url, f"http://127.0.0.1:{self.api.port}/v1"
        self.wires = {"api-wire": self.api}
        self.night = self.prepare(folder)
        self.night.remember()

    def prepare(self, folder):
        return nights.Night(folder, self.sandbox, self.plan.jobs, creates_per_minute=900, **SETTINGS)

    def start(self):
        """Start everything."""
        self.run = self.night.start("run", str(self.night.manifest), "--yes")

    def replace(self):
        """Restart what has ended, as a supervisor does, and as a person does with `run`."""
        if self._must_go_on():
            self.run = self.night.start("run", str(self.night.manifest), "--yes")

    def _must_go_on(self):
        """Whether `run` has ended too early; raises if it ended with a mistake or a bug, which no plan contains."""
        if (code := self.run.poll()) in {Exit.MISTAKE, Exit.BUG}:
            raise AssertionError(f"run ended with {code}:\n{self.night.words()}")
        return code is not None and not self.finished

    @property
    def groups(self):
        """The process groups that the night has started."""
        return [self.run]

    def strike(self, action):
        """Carry out one blow."""
        if action.target in self.wires:
            self._on_wire(self.wires[action.target], action)
        else:
            getattr(self, f"_{action.target}")(action)

    def _run(self, action):
        self._on_process(self.run, action)

    def _api(self, action):
        if action.what == "restart":
            self.sandbox.url = self._direct
            self.sandbox.stop(signal.SIGKILL)
            self.sandbox.start()
            self.sandbox.url = f"http://127.0.0.1:{self.api.port}/v1"
            return
        self._control("faults", {f"{action.what}_after": self.night.bought()})
        time.sleep(action.seconds)
        self._control("faults", {f"{action.what}_after": 10**9})

    def _control(self, name, body=None):
        through, self.sandbox.url = self.sandbox.url, self._direct
        try:
            return self.sandbox.control(name, body)
        finally:
            self.sandbox.url = through

    def _on_process(self, process, action):
        match action.what:
            case "kill":
                nights.kill_group(process)
            case "kill-child":
                for pid in list(processes.members(process.pid).keys() - {process.pid})[:1]:
                    os.kill(pid, signal.SIGKILL)
            case "end":
                process.send_signal(signal.SIGTERM)
            case "stop":
                self._freeze([process.pid, *processes.members(process.pid)], action.seconds)
            case "stop-child":
                self._freeze(list(processes.members(process.pid).keys() - {process.pid})[:1], action.seconds)

    def _freeze(self, pids, seconds):
        """Freeze processes while the others go on."""
        signalled(pids, signal.SIGSTOP)
        time.sleep(seconds)
        signalled(pids, signal.SIGCONT)

    def _on_wire(self, wire, action):
        match action.what:
            case "reset":
                wire.reset()
            case "cut-commit":
                wire.cut_after(b"COMMIT")
            case mode:
                wire.begin(mode)
                time.sleep(action.seconds)
                wire.end()

    def heal(self):
        """End every fault; from now on, only what has already happened stands in the way."""
        self._control("heal")
        for wire in self.wires.values():
            wire.heal()
        for group in self.groups:
            processes.go_on(group.pid)

    def progress(self):
        """Return something that changes whenever the night makes progress."""
        return self.night.bought(), self.night.count(*FINAL)

    @property
    def finished(self):
        return self.night.count(*FINAL) == self.plan.jobs

    def rows(self):
        """Return every row that the life cycle writes, to check later that nothing was written."""
        with self.night.database() as db, db.read() as tx:
            return [
                tx.execute(sa.select(table).order_by(table.c.id)).all()
                for table in (tables.jobs, tables.attempts, tables.outputs)
            ]

    def terms(self):
        drawn = Plan(self.plan.seed, self.plan.faults)
        # Without its date, nobody can tell which send an unknown one is not of.
        in_doubt = math.inf if self.plan.faults.get("undated") else _IN_DOUBT
        return {
            "removed": lambda line: drawn.strikes("expire_url", f"{line['identity']}/{line['attempt']}"),
            "in_doubt": in_doubt, "slots": _SLOTS, "probe_every": _CANARY,
        }  # fmt: skip

    def once_more(self):
        """Start everything once more, when all is done; return the exit code of `run`."""
        return self.night.run("run", str(self.night.manifest), "--yes")

    def alive(self):
        """Return the night's processes that are still alive, with the command of each."""
        return [
            f"process {pid} of {group.args[3]}"
            for group in self.groups
            for pid in processes.members(group.pid)
        ]

    def nothing_is_left(self):
        """Report what is still there after the night: processes, or the lock that must end with them."""
        left = self.alive()
        with (self.night.folder / "night.db.lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                left.append("the lock beside the database")
        return Finding("I13", QUIET, len(self.groups) + 1, tuple(left))

    def close(self):
        self.night.close()
        for wire in self.wires.values():
            wire.close()
        self.sandbox.url = self._direct
        self.sandbox.stop()


def signalled(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
