"""The sandbox as a child process of `run --api sandbox` and `rehearse`: it ends with the work or with its parent."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from jobs import errors
from jobs.settings import Settings

_STATE = "sandbox-state"
_OURS = ("OVERNIGHT_", "REPLICATE_", "PGPASS")
_PATIENCE = 10.0  # seconds: the sandbox of a run that was killed lives on for two, and keeps its state locked
_END = 5.0  # seconds


@contextmanager
def served(settings: Settings, home: Path) -> Iterator[Settings]:
    """Yield settings that have an API URL: the given ones, or with that of a sandbox started for them."""
    if settings.api.url:
        yield settings
        return
    with sandbox(home / _STATE) as url:
        yield settings.at(url)


@contextmanager
def sandbox(state: Path, **chosen: float | str) -> Iterator[str]:
    """Start a sandbox with these of its options, and yield its URL."""
    child, url = _started(state, [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()])
    try:
        yield url
    finally:
        _end(child)


def stats(url: str) -> dict[str, Any]:
    """Return the statistics of a sandbox."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE)
    try:
        connection.request("GET", "/_stats")
        counted: dict[str, Any] = json.load(connection.getresponse())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise errors.Unavailable(f"the sandbox does not say what has passed through it: {error}") from error
    finally:
        connection.close()
    return counted


def _started(state: Path, chosen: Sequence[str]) -> "tuple[subprocess.Popen[str], str]":
    """Return the sandbox's process and URL; try again while a dying sandbox still holds the state folder."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        with tempfile.TemporaryFile("w+") as words:
            child = _start(state, chosen, words)
            if url := _url(child):
                return child, url
            _end(child)
            words.seek(0)
            said = words.read().strip()
        if "still running" not in said or time.monotonic() > give_up:
            last = said.splitlines()[-1].removeprefix("sandbox: ") if said else "it did not say why"
            raise errors.Unavailable(f"the sandbox did not start: {last}")
        time.sleep(0.2)


def _start(state: Path, chosen: Sequence[str], words: IO[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sandbox", "--port=0", f"--state={state}", f"--parent-pid={os.getpid()}"]
    return subprocess.Popen(  # noqa: S603  our own program with our own arguments
        [*command, *chosen],
        # Its arguments tell it all that it needs; it must not see a real token.
        env={name: text for name, text in os.environ.items() if not name.startswith(_OURS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=words,
        text=True,
        start_new_session=True,  # Ctrl-C must not reach it: what is in flight is still fetched from it
    )


def _url(child: "subprocess.Popen[str]") -> str:
    line = child.stdout.readline() if child.stdout else ""
    return line.split()[-1] if line else ""


def _end(child: "subprocess.Popen[str]") -> None:
    child.terminate()
    try:
        child.wait(_END)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout:
        child.stdout.close()
