"""Which accounts this process works for, as the scheduler sees it: it hands out nothing for one without a worker.

Nothing here stays open: a worker may fork at any time.
"""

from contextlib import closing, nullcontext
from datetime import timedelta

import sqlalchemy as sa
import structlog

from jobs import accounts, database, errors, settings
from jobs.settings.credentials import Credential
from worker import sharing

log = structlog.get_logger(__name__)


def enrol(
    configured: settings.Settings, db: database.Database | None = None, *, anew: bool = True
) -> list[accounts.Account]:
    """Register the accounts of the tokens, all at one moment, because the accounts seen last are those that buy."""
    named = [(_name(one), one) for one in configured.require_credentials()]
    with (
        nullcontext(db) if db else closing(database.Database(configured.database_url)) as opened,
        opened.write() as tx,
    ):
        now = database.now(tx)
        accounts.forget_the_future(tx, now, configured.times)
        # In one order everywhere, so that two workers that start at once cannot deadlock.
        ids = {
            name: accounts.register(tx, now, name, one.api.identity, one.label, anew=anew)
            for name, one in sorted(named, key=lambda pair: pair[0])
        }
        return [accounts.get(tx, ids[name]) for name, _ in named]


def attend(configured: settings.Settings) -> None:
    """Record that the accounts still have a worker; register them anew if those that buy have none any more.

    Else the night would stand still when the worker that started last, with another token, has ended.
    """
    names = [_name(one) for one in configured.require_credentials()]

    def write(tx: sa.Connection) -> bool:
        now = database.now(tx)
        return accounts.attended(tx, now, names, now - timedelta(seconds=configured.times.deserted))

    with closing(database.Database(configured.database_url)) as opened:
        try:
            if opened.unit(write):
                log.warning("accounts-taken-up", reason="those that started last have no worker any more")
                enrol(configured, opened)
        except errors.Unavailable as error:
            log.debug("not-attended", reason=str(error))  # the scheduler reports that the database is away
    sharing.watch(configured)


def _name(one: Credential) -> str:
    host = one.api.name if one.api.is_sandbox else one.api.host
    return accounts.name(host, one.api.identity, one.token.get_secret_value())
