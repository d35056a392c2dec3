"""The folder of images: can they be stored there? Each thing in the way is reported in one line."""

import tempfile
from pathlib import Path

from jobs import errors, presence
from jobs.database import Database
from jobs.reports import results


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


def prepare(output: Path, db: Database | None) -> None:
    """Raise unless images can be stored; make the folder if none ever was. ``db`` is None if there is none yet."""
    if not presence.found(output):
        require_mounted(output, db)
        _make(output)
    require_writable(output)


def require_mounted(output: Path, db: Database | None) -> None:
    """Refuse to replace a missing folder that had images: its disk may not be mounted."""
    if db is None:
        return
    with db.read() as tx:
        stored = results.latest_images(tx, 1)
    if stored:
        raise errors.Unavailable(
            f"output folder {output} is not there, and images were stored in it before; "
            "mount its disk, or make the folder"
        )


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
