"""A night worked on step by step: the real duties and tasks against a real server, and nobody else in between.

Time passes by moving every moment in the database back, so that minutes of waiting take none.
"""

import asyncio
import dataclasses
import threading
from datetime import timedelta

import sqlalchemy as sa

from jobs import database as databases
from jobs import dialects, settings, tables
from jobs.lanes import Lane
from jobs.states import FINAL
from scheduler import duties, timetable
from tests import factory, rows
from tests.integration import rehearsal
from worker import app, context, tasks
from worker.api.replies import Page

TASKS = {
    Lane.RECONCILE: tasks.reconcile.reconcile,
    Lane.COLLECT: tasks.collect.collect,
    Lane.POLL: tasks.poll.poll,
    Lane.CANCEL: tasks.cancel.cancel,
    Lane.SUBMIT: tasks.submit.submit,
}
TOKEN = rehearsal.Sandbox.token
VERSION = "15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d"
# In the order of one tick.
DUTIES = tuple(duty for _, duty in timetable._DUTIES)
SETTLED = 151.0  # seconds after which a send in doubt is looked up, whichever way it came into doubt
_AGED = (tables.jobs, tables.attempts, tables.accounts)


def submit(ids):
    tasks.submit.submit(ids, _account())


def collect(ids):
    tasks.collect.collect(ids, _account())


def poll(ids, pages=0):
    tasks.poll.poll(ids, pages, _account())


def reconcile(ids):
    tasks.reconcile.reconcile(ids, _account())


def cancel(targets):
    tasks.cancel.cancel(targets, _account())


def _account():
    """The only account of the worker that this test is."""
    [account_id] = app._held
    return account_id


class Night:
    """One open batch at one API, and one worker process that this test is."""

    def __init__(self, database, url, folder, **given):
        self.database = database
        self.settings = settings.Settings(
            **{
                "OVERNIGHT_API_URL": url,
                "api_token": TOKEN,
                "database_url": "sqlite:///unused.db",
                "output": str(folder),
                "post_deadline": "5s",
                "_env_file": None,
            }
            | given
        )
        folder.mkdir(exist_ok=True)
        self.here = self.start()
        self.batch = factory.make_batch(database, api=self.settings.api.identity)
        self.passes(60)  # the buckets of a new account are empty

    def start(self):
        """Start a worker's process; the tasks run in it from now on."""
        [here] = context.start(self.settings, self.database)
        self.work_as(here)
        return here

    def work_as(self, here):
        app.hold(here)
        self.here = here

    def close(self):
        context.close([self.here])

    def make(self, count=1, **columns):
        """Add jobs; return their ids."""
        more = {"version": VERSION} | columns
        return [factory.make_job(self.database, self.batch, **more).id for _ in range(count)]

    def release(self):
        """Hand out what may be bought; return the ids."""
        return [i for message in self.told(duties.release) for i in message.payload]

    def told(self, duty):
        """What a duty would send."""
        duties.rescue(self.database, self.settings)
        scope = duties.Scope(factory.seat(self.database, self.settings.api.identity))
        handed = duty(self.database, self.settings, scope)
        return [one for one in handed if isinstance(one, duties.Message)]

    def tick(self, *only):
        """One pass of the scheduler; each message is acted on at once. Return the lanes that had something to do."""
        lanes = []
        for duty in only or DUTIES:
            for message in self.told(duty):
                lanes.append(message.lane)
                TASKS[message.lane](*message.args)
        return lanes

    def until(self, look, seconds=60):
        """Tick, some seconds passing between two ticks, until something is true."""

        def step():
            self.tick()
            found = look()
            if not found:
                self.passes(5)
            return found

        return rehearsal.eventually(step, seconds)

    def finish(self):
        """Tick until every job is final; return how many ended in which state."""
        self.until(lambda: all(job.state in FINAL for job in self.jobs()))
        return self.states()

    def states(self):
        found = [job.state for job in self.jobs()]
        return {state: found.count(state) for state in sorted(set(found))}

    def jobs(self):
        return rows.rows(self.database, tables.jobs)

    def job(self, job_id):
        return rows.job(self.database, job_id)

    def attempts(self, job_id):
        return rows.attempts(self.database, job_id)

    def phases(self, job_id):
        return [attempt.phase for attempt in self.attempts(job_id)]

    @property
    def account(self):
        return rows.account(self.database, self.here.account.id)

    @property
    def batch_state(self):
        batch = rows.batch(self.database, self.batch.id)
        return batch.state, batch.pause_reason

    def events(self):
        return [event.kind for event in rows.rows(self.database, tables.events)]

    def passes(self, seconds):
        """Let time pass: whatever was a moment ago was longer ago."""
        with self.database.write() as tx:
            for table in _AGED:
                moments = [column for column in table.c if isinstance(column.type, dialects.Utc)]
                for row in tx.execute(sa.select(table.c.id, *moments)).all():
                    older = {
                        column.name: getattr(row, column.name) - timedelta(seconds=seconds)
                        for column in moments
                        if getattr(row, column.name) is not None
                    }
                    tx.execute(sa.update(table).where(table.c.id == row.id).values(**older))

    def sent_before(self, job_id, seconds):
        """Make a job's current attempt as if it had been begun so long ago, and nothing else."""
        with self.database.write() as tx:
            then = databases.now(tx) - timedelta(seconds=seconds)
        rows.change(self.database, tables.attempts, self.job(job_id).attempt_id, intended_at=then)

    def settles(self):
        """Let sends in doubt settle, and be looked up twice."""
        for seconds in (SETTLED, 31):
            self.passes(seconds)
            self.tick(duties.reconcile)


class Listing:
    """An API client with another list."""

    def __init__(self, api, show):
        self._api = api
        self._show = show

    def __getattr__(self, name):
        return getattr(self._api, name)

    async def list(self, created_after=None, cursor=None, **_):
        return await self._show(self._api.list, created_after, cursor)


def list_as(night, show):
    """From now on, let ``show`` answer for the list: it is given the true one, the moment and the cursor."""
    night.work_as(dataclasses.replace(night.here, api=Listing(night.here.api, show)))


async def show_nothing(*_):
    return Page((), None)


def buy_elsewhere(sandbox, sent):
    """Buy with the same account, but not through us; return the prediction's id."""
    body = {"version": VERSION, "input": {"image": "https://images.example/x.png"} | sent}
    with sandbox.client() as elsewhere:
        return elsewhere.post("/predictions", json=body).raise_for_status().json()["id"]


class Held:
    """An API client whose creates wait: before they are sent, or with the answer in hand."""

    def __init__(self, api, where):
        self._api = api
        self._where = where
        self.arrived = threading.Event()
        self._go_on = threading.Event()

    def __getattr__(self, name):
        return getattr(self._api, name)

    def go_on(self):
        self._go_on.set()

    async def create(self, *args):
        if self._where == "before":
            await self._wait()
        made = await self._api.create(*args)
        if self._where == "after":
            await self._wait()
        return made

    async def _wait(self):
        self.arrived.set()
        await asyncio.to_thread(self._go_on.wait)


class Stalled:
    """A worker in a thread of its own that stands still at its create, until it is let go."""

    def __init__(self, night, ids, where):
        self._night = night
        self.api = Held(night.here.api, where)
        before = night.here
        night.work_as(dataclasses.replace(before, api=self.api))
        self._thread = threading.Thread(target=submit, args=(ids,), daemon=True)
        self._thread.start()
        assert self.api.arrived.wait(10)
        night.work_as(before)

    def go_on(self):
        """Let it go on to its end."""
        self.api.go_on()
        self._thread.join(20)
        assert not self._thread.is_alive()


def started(night, count=1):
    """Make jobs and let them be bought; return their ids."""
    ids = night.make(count)
    night.tick(duties.release)
    return ids


def ending(night, job_id):
    job = night.job(job_id)
    return job.state, job.error_class
