"""Make the names of new files outlast a power cut: the files' own fsync does not."""

import os
from pathlib import Path


def sync(folder: Path) -> None:
    """Write a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
