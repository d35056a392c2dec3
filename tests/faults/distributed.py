"""The stage of a chaotic night on servers: workers, a scheduler, a broker, a database, and wires between them."""

import tempfile
import time
from pathlib import Path

import redis
import sqlalchemy as sa

from jobs.lanes import Lane
from tests.faults import installation, processes, servers, stages, wires
from tests.faults.report import Finding

_SOCKET = ".s.PGSQL.5432"
_OPEN_FILES = 8  # how many more than before a process may have


class Distributed(stages.Stage):
    """Two workers, a scheduler, a broker and a database server; every wire between them can be cut."""

    def prepare(self, folder):
        self._broker_server = servers.Broker()
        self._place = tempfile.TemporaryDirectory(prefix="overnight-")  # a socket's path must be short
        place = Path(self._place.name)
        self._database_server = servers.Postgres(place)
        where = redis.connection.parse_url(self._broker_server.url)
        self.wires["broker-wire"] = wires.Wire((where["host"], where["port"]))
        self.wires["database-wire"] = wires.Wire(self._database_server.socket, own=str(place / _SOCKET))
        url = sa.make_url(self._database_server.url).update_query_dict({"host": str(place)})
        self._through = url.render_as_string(hide_password=False)
        night = installation.Installation(
            folder,
            self.sandbox,
            self.plan.jobs,
            database_url=self._database_server.url,
            broker_url=f"redis://127.0.0.1:{self.wires['broker-wire'].port}/0",
            creates_per_minute=600,
            **stages.SETTINGS,
        )
        self._workers, self._scheduler_, self._turn = [], None, 0
        return night

    def _begin(self, *command):
        return self.night.start(*command, OVERNIGHT_DATABASE_URL=self._through)

    def start(self):
        self._workers = [self._begin("worker", "--concurrency=2") for _ in range(2)]
        self._scheduler_ = self._begin("scheduler")
        self.run = self._begin("run", str(self.night.manifest), "--yes")

    def replace(self):
        self._workers = [
            one if one.poll() is None else self._begin("worker", "--concurrency=2") for one in self._workers
        ]
        if self._scheduler_.poll() is not None:
            self._scheduler_ = self._begin("scheduler")
        if self._must_go_on():
            self.run = self._begin("run", str(self.night.manifest), "--yes")

    @property
    def groups(self):
        return [*self._workers, self._scheduler_, self.run]

    def _worker(self, action):
        self._turn += 1
        self._on_process(self._workers[self._turn % 2], action)

    def _scheduler(self, action):
        self._on_process(self._scheduler_, action)

    def _broker(self, action):
        if action.what == "flush":
            with redis.Redis.from_url(self._broker_server.url) as client:
                client.flushall()
            return
        self._away(self._broker_server, action.seconds)

    def _database(self, action):
        self._away(self._database_server, action.seconds)

    def _away(self, server, seconds):
        server.go()
        time.sleep(seconds)
        server.come_back()

    def once_more(self):
        self.replace()
        before = self._open_files()
        code = self.night.run("run", str(self.night.manifest), "--yes")
        self._grown = [
            f"process {pid}: {more - before[pid]} more open files"
            for pid, more in self._open_files().items()
            if pid in before and more > before[pid] + _OPEN_FILES
        ]
        return code

    def _open_files(self):
        return {
            pid: processes.open_files(pid) for group in self.groups for pid in processes.members(group.pid)
        }

    def nothing_is_left(self):
        looked_at = len(self._open_files())
        for group in [*self._workers, self._scheduler_]:
            installation.end(group)
        with redis.Redis.from_url(self._broker_server.url, decode_responses=True) as client:
            keys = [key for key in client.keys("*") if client.ttl(key) < 0]  # others end by themselves
        strange = [f"{key} at the broker" for key in keys if not _is_ignorable(key)]
        return Finding(
            "I13", stages.QUIET, looked_at + len(keys), tuple(self.alive() + self._grown + strange)
        )

    def close(self):
        super().close()
        self._broker_server.close()
        self._database_server.close()
        self._place.cleanup()


def _is_ignorable(key):
    """Whether a key is a lane with messages that nobody needs, or the library's own record of who listens where."""
    name = key.removeprefix("overnight:")
    return name != key and (name in set(Lane) or name.startswith("_kombu."))
