"""Check what a worker or a scheduler needs before it starts; each missing thing is reported in one line."""

import tempfile
from pathlib import Path

from jobs import errors, presence
from jobs.settings import Settings

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
    require_schema(settings, flags)
    if who == "worker":
        require_folder(settings.output)


def require_schema(settings: Settings, flags: str = "") -> None:
    """Raise unless the database is there, at this program's revision."""
    from jobs.database import Database
    from migrations import schema

    database = Database(settings.database_url)
    try:
        schema.require(database, flags)
    finally:
        database.close()


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


def require_no_file(output: Path) -> None:
    """Raise if what is to be the folder of images is a file."""
    if presence.found(output) and not presence.is_folder(output):
        raise errors.Unavailable(
            f"output folder {output} is a file and no folder; name another with --output or OVERNIGHT_OUTPUT"
        )


def require_folder(output: Path) -> None:
    """Raise unless images can be stored. Creates a file to find out: permissions do not tell of a read-only disk."""
    require_no_file(output)
    if not presence.is_folder(output):
        raise errors.Unavailable(f"output folder {output} does not exist; make it, or set OVERNIGHT_OUTPUT")
    try:
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise errors.Unavailable(
            f"output folder {output} cannot be written to: {error.strerror}; mend it, or set OVERNIGHT_OUTPUT"
        ) from error
