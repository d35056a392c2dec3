"""The sandbox as a child of `run --api sandbox`: started before, ended after, and it dies with its parent."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from jobs import errors
from jobs.settings import Settings

_STATE = "sandbox-state"
_PATIENCE = 10.0  # seconds: the sandbox of a run that was killed lives on for two, and keeps its state locked
_END = 5.0  # seconds


@contextmanager
def served(settings: Settings, home: Path) -> Iterator[Settings]:
    """Yield settings whose API answers: the same ones, or with the URL of a sandbox that was started for them."""
    if not settings.api.is_sandbox:
        yield settings
        return
    child, url = _started(home / _STATE)
    try:
        yield settings.at(url)
    finally:
        _end(child)


def _started(state: Path) -> "tuple[subprocess.Popen[str], str]":
    """Return the sandbox's process and URL; its state may belong to a dying one for a moment."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        with tempfile.TemporaryFile("w+") as words:
            child = _start(state, words)
            if url := _url(child):
                return child, url
            _end(child)
            words.seek(0)
            said = words.read().strip()
        if "still running" not in said or time.monotonic() > give_up:
            last = said.splitlines()[-1].removeprefix("sandbox: ") if said else "it did not say why"
            raise errors.Unavailable(f"the sandbox did not start: {last}")
        time.sleep(0.2)


def _start(state: Path, words: IO[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603  our own program with our own words
        [sys.executable, "-m", "sandbox", "--port=0", f"--state={state}", f"--parent-pid={os.getpid()}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=words,
        text=True,
        start_new_session=True,  # Ctrl-C is for us: what is in flight must still be fetched from it
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
