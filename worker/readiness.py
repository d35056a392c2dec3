"""Check what a worker or a scheduler needs before it starts; each missing thing is reported in one line."""

import tempfile
from contextlib import closing
from pathlib import Path

from jobs import errors, presence
from jobs.database import Database
from jobs.reports import results
from jobs.settings import Settings
from migrations import schema

# Seconds within which the broker must answer.
PATIENT = {"socket_connect_timeout": 4.0, "socket_timeout": 4.0}


def require(settings: Settings, who: str, flags: str = "") -> None:
    """Check broker, database, schema and output folder at the start, when somebody is looking.

    ``flags`` are options that the next typed command needs.
    """
    if settings.api.is_sandbox:
        raise errors.Mistake(
            f"a {who} cannot serve --api sandbox, which only `overnight run` starts for itself; "
            "to rehearse with workers start `overnight sandbox` and set OVERNIGHT_API_URL to the URL that it prints"
        )
    if not settings.broker_url:
        raise errors.Mistake(
            f"a {who} needs a broker: set OVERNIGHT_BROKER_URL=redis://… and OVERNIGHT_DATABASE_URL=postgresql://… "
            "(without them `overnight run` does all the work itself)"
        )
    reach_broker(settings)
    with closing(Database(settings.database_url)) as db:
        schema.require(db, flags)
        if who == "worker":
            prepare_folder(settings.output, db)


def reach_broker(settings: Settings) -> None:
    """Raise one line if the broker is away; Celery itself would retry for ever."""
    import kombu
    from kombu import exceptions

    from jobs.settings import places

    url = settings.broker_url or ""
    try:
        with kombu.Connection(url, transport_options=PATIENT) as connection:
            connection.ensure_connection(max_retries=0)
    except (exceptions.KombuError, OSError, ValueError) as error:
        raise errors.Unavailable(
            f"broker {places.shown(url)}: {error}; start it, or mend OVERNIGHT_BROKER_URL"
        ) from error


def require_storable(output: Path) -> None:
    """Raise unless images could be stored, as far as that can be told without making a file or a folder."""
    require_no_file(output)
    if not presence.takes_files(output):
        what = "written to" if presence.found(output) else "made"
        raise errors.Unavailable(
            f"output folder {output} cannot be {what}: {presence.nearest(output)} takes no files; "
            "mend it, or set OVERNIGHT_OUTPUT"
        )


def require_no_file(output: Path) -> None:
    """Raise if what is to be the folder of images is a file."""
    if presence.found(output) and not presence.is_folder(output):
        raise errors.Unavailable(
            f"output folder {output} is a file and no folder; name another with --output or OVERNIGHT_OUTPUT"
        )


def prepare_folder(output: Path, db: Database | None) -> None:
    """Raise unless images can be stored; make the folder if none ever was. ``db`` is None if there is none yet."""
    if not presence.found(output):
        require_mounted(output, db)
        _make(output)
    require_folder(output)


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


def require_folder(output: Path) -> None:
    """Raise unless images can be stored. Creates a file to find out: permissions do not tell of a read-only disk."""
    require_no_file(output)
    try:
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise errors.Unavailable(
            f"output folder {output} cannot be written to: {error.strerror}; mend it, or set OVERNIGHT_OUTPUT"
        ) from error
