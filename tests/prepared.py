"""The process from which `tests.programs` forks: it has the libraries that our programs use, and no module of ours."""

import gc
import importlib
import io
import json
import os
import resource
import runpy
import socket
import sys
import time
from pathlib import Path

_LIBRARIES = (
    "PIL.Image", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "alembic.command", "anyio._backends._asyncio",
    "celery.concurrency.prefork", "celery.concurrency.thread", "celery.worker.worker", "click", "h11", "httpx",
    "jsonschema_rs", "kombu.transport.memory", "kombu.transport.redis", "psycopg", "pydantic_settings",
    "rich.live", "rich.progress_bar", "rich.table", "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite", "starlette.formparsers", "starlette.routing", "structlog",
    "uvicorn.lifespan.on", "uvicorn.loops.asyncio", "uvicorn.protocols.http.h11_impl", "yaml",
)  # fmt: skip


def main():
    """Fork as often as somebody asks at the other end of this line; run in each new process what was asked for."""
    line = socket.socket(fileno=int(sys.argv[1]))
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # else each process would copy all this when it first looks for garbage
    while True:
        order, files, _, _ = socket.recv_fds(line, 1 << 20, 3)
        if not order:
            return
        if _forked(line, asked := json.loads(order), files):
            line.close()
            sys.argv[1:] = asked["words"]
            runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
            return


def _forked(line, order, files):
    """Fork a grandchild, tell its id, and return True in it.

    Its parent ends at once, so that it is adopted before anybody hears of it.
    """
    told, tell = os.pipe()
    begin, begun = os.pipe()
    parent = os.fork()
    if parent == 0 and os.fork():
        os._exit(0)
    if parent == 0:
        os.close(begun)
        os.close(told)
        _become(order, files)
        os.write(tell, str(os.getpid()).encode())
        os.close(tell)
        os.read(begin, 1)  # until it is adopted
        os.close(begin)
        return True
    for file in (*files, tell, begin):
        os.close(file)
    pid = os.read(told, 32)
    os.waitpid(parent, 0)
    line.send(pid or b"-")
    os.close(told)
    os.close(begun)
    return False


def _become(order, files):
    """Take the place, the files and the surroundings that were ordered."""
    if order["session"]:
        os.setsid()
    os.chdir(order["folder"])
    resource.setrlimit(resource.RLIMIT_FSIZE, order["file_size"])
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = map(_opened, range(3), (sys.stdin, sys.stdout, sys.stderr))
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    sys.path[0] = str(Path.cwd())


def _opened(number, before):
    """Open a standard file as the interpreter does at its start."""
    file = open(number, f"{before.mode}b", 0 if before.write_through else -1, closefd=False)  # noqa: SIM115  kept
    return io.TextIOWrapper(
        file,
        before.encoding,
        before.errors,
        line_buffering=number == 2 or file.isatty(),
        write_through=before.write_through,
    )


if __name__ == "__main__":
    main()
