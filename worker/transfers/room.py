"""Whether there is disk space for what is about to be bought: what cannot be stored must not be paid for."""

import os
import shutil
from pathlib import Path

import sqlalchemy as sa

from jobs import database, figures, presence
from jobs.reports import plan
from jobs.worklists import fetching
from worker.transfers import folder

# Enough for any number in flight; only below this is the need computed.
_PLENTY = 20 << 30  # bytes
_SPARE = 2  # times the expected size: the database and its journal grow too, and images differ


def lacking(db: database.Database, output: Path, api: str) -> str:
    """Return why nothing more must be bought; empty if the disk has room for what is handed out and in flight."""
    try:
        free = shutil.disk_usage(output).free
    except OSError as error:
        return (
            f"output folder {output} is not to be had: {error.strerror}; mount its disk or make it, then run the "
            "same command again"
        )
    mount = folder.mount_of(output)
    if not os.path.ismount(mount):
        return (
            f"the disk of output folder {output} is not mounted at {mount} any more; mount it, then run the same "
            "command again"
        )
    if free >= _PLENTY:
        return ""
    with db.read() as tx:
        needed = _needed(tx, api)
    if free >= needed:
        return ""
    return (
        f"the disk of output folder {output} has {figures.amount(free)} free, and what is in flight may take "
        f"{figures.amount(needed)}; make room, then run the same command again"
    )


def free_bytes(place: Path) -> int:
    """Return the free bytes on the disk that holds, or will hold, a path."""
    return shutil.disk_usage(presence.nearest(place)).free


def _needed(tx: sa.Connection, api: str) -> int:
    """Return the bytes needed; each job counts like the latest ones, or like a typical picture of this model."""
    each = fetching.bytes_of_a_job(tx) or plan.TYPICAL_BYTES
    return int(_SPARE * each * fetching.unstored(tx, api))
