"""Check what a worker or a scheduler needs before it starts; each missing thing is reported in one line."""

import sys
from contextlib import closing

from jobs import errors
from jobs.database import Database
from jobs.settings import Settings, cautions
from migrations import schema
from worker.transfers import folder

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
            folder.prepare(settings, db)


def warn(settings: Settings) -> None:
    """Say what is allowed and unwise: whoever typed `run` was told of the settings there, and not of those here."""
    for words in cautions.of(settings):
        sys.stderr.write(f"overnight: warning: {words}\n")


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
