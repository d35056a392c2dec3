"""The folder of images: can they be stored there? Each thing in the way is reported in one line."""

import tempfile
from pathlib import Path

from jobs import batches, errors, presence
from jobs.database import Database
from jobs.reports import results
from jobs.settings import Settings, folders


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
    require_writable(settings.output)


def require_mounted(settings: Settings, db: Database | None) -> None:
    """Refuse to replace a missing folder that had images, or may have had some: its disk may not be mounted."""
    if db is None:
        return
    with db.read() as tx:
        here = [one for one in batches.every(tx) if folders.last(settings, one.output) == settings.output]
        before = {one.output for one in here if results.ever_stored(tx, one.id)}
    if not before:
        return
    had_images = (
        "if images were stored in it before" if before == {None} else "as images were stored in it before"
    )
    raise errors.Unavailable(
        f"output folder {settings.output} is not there: mount its disk, {had_images}, or make it"
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
