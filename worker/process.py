"""What one worker process holds: settings, database, account, event loop and HTTP clients. Made once, after a fork."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import sqlalchemy as sa

from jobs import accounts, batches, database, quota, settings, stops
from jobs.times import Times
from worker import client, downloads, foresight, inputs, loop

# At the default 600 creates a minute and a create that takes 1 s, ten are under way; twice that is room.
_CONNECTIONS = 20


@dataclass(frozen=True)
class Process:
    """The process-wide things that tasks use; every one of them may die with the process."""

    settings: settings.Settings
    database: database.Database
    account: accounts.Account
    loop: loop.Loop
    api: client.PredictionClient
    inputs: inputs.Inputs
    downloads: downloads.Downloads

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
        """What one prediction that ran is charged, in the unit of OVERNIGHT_PRICE."""
        return None if self.settings.price is None else float(self.settings.price)

    def observe(self, tally: quota.Tally) -> None:
        """Tell the account what a slice of calls came to."""
        if tally == quota.Tally():
            return
        self.database.unit(lambda tx: self.note(tx, database.now(tx), tally))

    def note(self, tx: sa.Connection, now: datetime, tally: quota.Tally) -> None:
        """Do the same in a transaction that is open already."""
        if tally != quota.Tally():
            stops.observe(tx, now, self.account, tally, self.times, self.settings)

    def pause_all(self, tx: sa.Connection, now: datetime, reason: batches.PauseReason, detail: str) -> None:
        """Pause every open batch of the account: what holds one back holds back all."""
        stops.pause(tx, now, batches.releasable(tx, self.account.api), reason, detail)

    def close(self) -> None:
        self.loop.call(self._close_clients(), within=5)
        self.loop.close()

    async def _close_clients(self) -> None:
        await self.inputs.aclose()
        await asyncio.gather(self.api.aclose(), self.downloads.aclose())


def enrol(configured: settings.Settings, db: database.Database | None = None) -> accounts.Account:
    """Register the account of the token: the scheduler hands out nothing for an API where nobody has one."""
    token = configured.require_token()
    host = configured.api.name if configured.api.is_sandbox else configured.api.host
    name = accounts.name(host, configured.api.identity, token.get_secret_value())
    opened = db or database.Database(configured.database_url)
    try:
        with opened.write() as tx:
            return accounts.get(tx, accounts.register(tx, name, configured.api.identity))
    finally:
        if db is None:  # before a fork nothing may stay open
            opened.close()


def start(configured: settings.Settings, db: database.Database) -> Process:
    """Register the account and open the clients, inside their own event loop."""
    token = configured.require_token()
    account = enrol(configured, db)
    thread = loop.Loop()

    async def clients() -> tuple[client.PredictionClient, inputs.Inputs, downloads.Downloads]:
        times = configured.times
        api = client.PredictionClient(
            configured.api_url,
            token,
            post_deadline=times.post_deadline,
            read_deadline=times.post_deadline,
            connections=_CONNECTIONS,
            webhook=configured.webhook_url,
        )
        fetch = downloads.Downloads(
            configured.output, allow_private=configured.api.is_local, deadline=times.lease / 2
        )
        images = inputs.Inputs(
            api, deadline=times.post_deadline, doubt=times.list_doubt, patience=2 * times.poll_first
        )
        return api, images, fetch

    return Process(configured, db, account, thread, *thread.call(clients(), within=30))
