"""What a worker process holds for each account that it works for: its HTTP clients, beside what the accounts share.

Created once, after a fork, for all accounts of the settings.
"""

import asyncio
import math
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa

from jobs import accounts, batches, database, errors, presence, settings, stops, worklists
from jobs.accounts import attendance
from jobs.accounts.tally import Tally
from jobs.settings import folders
from jobs.settings.credentials import Credential
from jobs.settings.times import Times
from worker import enrolment, foresight, heaps, loop, tally
from worker.api import client
from worker.transfers import downloads, inputs

# At the default of 600 creates a minute and 1 s for each, ten are under way; twice that leaves room.
_CONNECTIONS = 20


@dataclass
class Comparison:
    """How far the database was compared with the API's list, before the process first buys for the account."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    made: bool = False
    since: datetime | None = None  # how far back, as it was before anything was found
    latest: datetime | None = None  # when the latest that was found had been made
    first_failed: float | None = None  # by clock.ticks, as the next one
    again_at: float = -math.inf


@dataclass(frozen=True)
class Context:
    """What tasks for one account use; all of it may be lost with the process."""

    settings: settings.Settings
    database: database.Database
    account: accounts.Account
    loop: loop.Loop
    api: client.PredictionClient
    inputs: inputs.Inputs
    downloads: downloads.Downloads
    freed: Callable[[], None] = lambda: None  # called when predictions have ended
    comparison: Comparison = field(default_factory=Comparison)

    @cached_property
    def times(self) -> Times:
        return self.settings.times

    @cached_property
    def foresight(self) -> foresight.Foresight:
        return foresight.Foresight(
            self.account.id, self.times, webhooks=self.settings.webhook_url is not None
        )

    @cached_property
    def cost(self) -> float | None:
        """The charge for one prediction that ran, in the unit of OVERNIGHT_PRICE."""
        return None if self.settings.price is None else float(self.settings.price)

    def output(self, kept: str | None) -> Path:
        """Return where the images of a batch go: one that is not worked on here may have kept another folder.

        If that is not there, they are stored in our own: what is paid for must not wait for a disk until it expires.
        """
        last = folders.last(self.settings, kept)
        return last if presence.is_folder(last) else self.settings.output

    def observe(self, tally: Tally) -> None:
        """Record the outcome of a slice of calls in the account's row."""
        if tally == Tally():
            return
        self.database.unit(lambda tx: self.note(tx, database.now(tx), tally))

    def note(self, tx: sa.Connection, now: datetime, tally: Tally) -> None:
        """Do the same in an open transaction."""
        if tally != Tally():
            stops.observe(tx, now, self.account, tally, self.settings)

    def pause_all(self, tx: sa.Connection, now: datetime, reason: batches.PauseReason, detail: str) -> None:
        """Pause every open batch at the API, for a cause that affects all of them, whichever account buys."""
        stops.pause(tx, now, batches.open_at(tx, self.account.api), reason, detail)

    def seat(self, tx: sa.Connection) -> attendance.Seat:
        """Return the account as its row stands, and the accounts whose predictions it asks for."""
        return attendance.seat(tx, self.account.id)

    def answers_otherwise(self, than: Collection[str] = ()) -> bool:
        """Whether the API answers a question about anything but these predictions, and lets us ask.

        It is asked about the latest of the others; only if there is none, about one that is made up, which proves
        less: a gateway may answer that by itself. If the API says stop, that is recorded.
        """
        with self.database.read() as tx:
            witness = worklists.witness(tx, self.account.id, than)
        try:
            self.loop.call(self.api.get(witness or client.MADE_UP), within=self.times.lease / 2)
        except (errors.Missing, errors.Refused):
            return True
        except (errors.Throttled, errors.Blocked) as error:
            self.observe(tally.of(error))
            return False
        except (errors.ApiError, TimeoutError):
            return False
        return True

    async def aclose(self) -> None:
        await self.inputs.aclose()
        await asyncio.gather(self.api.aclose(), self.downloads.aclose())


def start(
    configured: settings.Settings,
    db: database.Database,
    freed: Callable[[], None] = lambda: None,
    *,
    anew: bool = True,
) -> list[Context]:
    """Register the accounts and open their clients, inside an event loop that they share."""
    heaps.share()
    enrolled = enrolment.enrol(configured, db, anew=anew)
    thread = loop.Loop()

    async def opened() -> list[Context]:
        pairs = zip(enrolled, configured.require_credentials(), strict=True)
        return [_opened(configured, db, account, thread, one, freed) for account, one in pairs]

    return thread.call(opened(), within=30)


def _opened(
    configured: settings.Settings,
    db: database.Database,
    account: accounts.Account,
    thread: loop.Loop,
    credential: Credential,
    freed: Callable[[], None],
) -> Context:
    times = configured.times
    api = client.PredictionClient(
        credential.api.url,
        credential.token,
        deadline=times.post_deadline,
        connections=_CONNECTIONS,
        webhook=configured.webhook_url,
    )
    fetch = downloads.Downloads(
        configured.output,
        allow_private=credential.api.is_local,
        home=credential.api.host,
        deadline=times.lease / 2,
    )
    return Context(configured, db, account, thread, api, inputs.Inputs(api, times), fetch, freed)


def close(started: Collection[Context]) -> None:
    """Close the clients of a process, and the event loop that they share."""
    for one in started:
        one.loop.call(one.aclose(), within=5)
    for thread in {one.loop for one in started}:
        thread.close()
