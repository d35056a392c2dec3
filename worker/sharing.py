"""Does another database have its messages carried by the same broker? Each would take the other's, and lose them."""

from contextlib import closing
from functools import cache
from typing import Any, cast

import structlog

from jobs import batches, errors
from jobs.database import Database
from jobs.settings import Settings, places
from worker import readiness

log = structlog.get_logger(__name__)

_KEY = "overnight:database"


def met(settings: Settings, db: Database, *, tell: bool) -> str | None:
    """Return what to do if a worker of another database was at the broker lately; ``tell`` that one of ours is there.

    A database is known by its first batch. That the broker is away, or too old to tell, is not said here.
    """
    import kombu

    with db.read() as tx:
        own = batches.first(tx)
    if own is None:
        return None
    url = settings.broker_url or ""
    with kombu.Connection(url, transport_options=readiness.PATIENT) as connection:
        away: tuple[type[BaseException], ...] = (
            OSError,
            *connection.connection_errors,
            *connection.channel_errors,
        )
        try:
            client = cast("Any", connection.default_channel).client
            lately = int(1000 * settings.times.deserted)
            found = client.set(_KEY, own, px=lately, get=True) if tell else client.get(_KEY)
        except away:
            return None
    if found in {None, own.encode()}:
        return None
    return (
        f"broker {places.shown(url)} serves another overnight database too, and each takes the other's messages; set "
        "OVERNIGHT_BROKER_URL of one to another number, as in redis://HOST:6379/1"
    )


def watch(settings: Settings) -> None:
    """Tell that a worker is here, and log once if one of another database was, too."""
    with closing(Database(settings.database_url)) as db:
        try:
            words = met(settings, db, tell=True)
        except errors.Unavailable as error:
            log.debug("not-told", reason=str(error))  # the scheduler reports that the database is away
            return
    if words:
        _warn(words)


@cache
def _warn(words: str) -> None:
    log.warning("broker-shared", reason=words)
