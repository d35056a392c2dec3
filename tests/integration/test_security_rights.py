"""What we make ourselves is its owner's alone; what was there before keeps the rights that somebody gave it."""

import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration import rehearsal
from tests.integration.evening import Evening

# Starts the program as one does whose shell lets everybody read and write everything.
GENEROUS = "import os, sys; os.umask(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


@pytest.fixture
def night(tmp_path, start_sandbox):
    return Evening(tmp_path, start_sandbox(output_size=64))


def run(night):
    ended = subprocess.run(
        [sys.executable, "-c", GENEROUS, "-m", "overnight", "run", "night.csv"],
        cwd=night.folder,
        env=night.environment | {"OVERNIGHT_API_URL": night.sandbox.url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_outputs_database_and_lock_are_closed_to_others_whatever_the_umask_and_the_images_follow_it(night):
    run(night)
    assert mode(night.output) == 0o700
    assert mode(night.folder / "night.db.lock") == 0o600
    assert mode(night.folder / "night.db") == 0o600
    assert {mode(path) for path in night.output.rglob("*.png")} == {0o666}


def test_a_rehearsal_does_not_give_the_real_token_to_its_api(night):
    secret = "canary-of-the-real-api-3c2e"
    chosen = {
        "OVERNIGHT_API_URL": "sandbox", "OVERNIGHT_API_TOKEN": secret, "OVERNIGHT_DATABASE_URL": None,
        "OVERNIGHT_OUTPUT": None,
    }  # fmt: skip
    started = [
        sys.executable,
        "-m",
        "overnight",
        "run",
        "night.csv",
    ]  # so that the system knows its environment
    with subprocess.Popen(started, cwd=night.folder, env=night._surroundings(chosen)) as child:
        try:
            sandbox = rehearsal.eventually(lambda: children(child.pid))[0]
            assert secret.encode() in Path(f"/proc/{child.pid}/environ").read_bytes()
            assert secret.encode() not in Path(f"/proc/{sandbox}/environ").read_bytes()
        finally:
            child.kill()


def children(pid):
    """Return the sandboxes that a run has started, once they are no copy of it any more."""
    mark = f"--parent-pid={pid}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            found += [path.parent.name] if mark in path.read_bytes().split(b"\0") else []
    return found


def test_a_folder_that_was_there_stays_as_open_as_it_was(night):
    night.output.mkdir()
    night.output.chmod(0o755)
    run(night)
    assert mode(night.output) == 0o755
