"""The folder of images: can they be stored there? Each thing in the way is reported in one line."""

import os
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from jobs import batches, errors, presence
from jobs.database import Database
from jobs.reports import results
from jobs.settings import Settings, folders

_SAMPLE = 200  # images


def require_storable(output: Path) -> None:
    """Raise unless images could be stored, as far as that can be told without making a file or a folder."""
    _require_no_file(output)
    if not presence.takes_files(output):
        what = "written to" if presence.found(output) else "made"
        raise errors.Unavailable(
            f"output folder {output} cannot be {what}: {presence.nearest(output)} takes no files; "
            "mend it, or set OVERNIGHT_OUTPUT"
        )


def _require_no_file(output: Path) -> None:
    """Raise if what is to be the folder of images is a file."""
    if presence.found(output) and not presence.is_folder(output):
        raise errors.Unavailable(
            f"output folder {output} is a file and no folder; name another with --output or OVERNIGHT_OUTPUT"
        )


def prepare(settings: Settings, db: Database | None) -> None:
    """Raise unless images can be stored; make the folder if none ever was. ``db`` is None if there is none yet."""
    if not presence.found(settings.output):
        require_mounted(settings, db)
        _make(settings.output)
    else:
        require_its_disk(settings, db)
    require_writable(settings.output)
    mount_of(settings.output)  # a child that begins when the disk is gone must know where it was


def require_mounted(settings: Settings, db: Database | None) -> None:
    """Refuse to replace a missing folder that had images, or may have had some: its disk may not be mounted."""
    if db is None:
        return
    with db.read() as tx:
        before = {one.output for one in _stored_here(settings, tx) if results.ever_stored(tx, one.id)}
    if not before:
        return
    had_images = (
        "if images were stored in it before" if before == {None} else "as images were stored in it before"
    )
    raise errors.Unavailable(
        f"output folder {settings.output} is not there: mount its disk, {had_images}, or make it"
    )


def require_its_disk(settings: Settings, db: Database | None) -> None:
    """Refuse a folder that was on a disk that is not mounted any more: images stored beneath would be lost to sight.

    Unless most of those stored last are there all the same: then they have been moved to this disk.
    """
    if db is None:
        return
    output = Path(os.path.realpath(settings.output))
    with db.read() as tx:
        # What a database says is looked at only where it leads to the folder.
        mounts = {Path(one.mount) for one in _stored_here(settings, tx) if one.mount}
        gone = sorted(one for one in mounts if output.is_relative_to(one) and not os.path.ismount(one))
        if not gone:
            return
        latest = results.latest_images(tx, _SAMPLE)
    here = [path for kept, path in latest if folders.last(settings, kept) == settings.output]
    if here and sum(presence.found(settings.output / path) for path in here) > len(here) / 2:
        return
    raise errors.Unavailable(
        f"output folder {settings.output} was on a disk mounted at {gone[0]}, where none is mounted now; mount it, "
        "or name another folder with --output"
    )


def _stored_here(settings: Settings, tx: sa.Connection) -> list[batches.Batch]:
    """Return the batches whose images were stored last in the folder of the settings."""
    return [one for one in batches.every(tx) if folders.last(settings, one.output) == settings.output]


@cache
def mount_of(output: Path) -> Path:
    """Return where the disk of a folder was mounted when this process, or the one it was forked from, first looked."""
    real = Path(os.path.realpath(output))
    return next(one for one in (real, *real.parents) if os.path.ismount(one))


def mount_to_keep(output: Path) -> str | None:
    """Return where the disk of a folder is mounted, as it is kept with a batch."""
    text = str(mount_of(output))
    return text if text.isprintable() else None


def _make(output: Path) -> None:
    """Create the folder for its owner alone: pictures and prompts may be private; sharing them takes a decision."""
    try:
        output.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.Unavailable(
            f"output folder {output} cannot be made: {error.strerror}; mend it, or set OVERNIGHT_OUTPUT"
        ) from error


def require_writable(output: Path) -> None:
    """Raise unless images can be stored. Creates a file to find out: permissions do not tell of a read-only disk."""
    _require_no_file(output)
    try:
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise errors.Unavailable(
            f"output folder {output} cannot be written to: {error.strerror}; mend it, or set OVERNIGHT_OUTPUT"
        ) from error
