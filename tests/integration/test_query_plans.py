"""What the tick, the workers' tasks and `status` ask of the database costs as much at a million jobs as at ten."""

import shutil
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from jobs import accounts, batches, events, hints, lifecycle, settings, stops, tables, worklists
from jobs.accounts.breaker import BreakerState
from jobs.batches import PauseReason
from jobs.database import Database, now
from jobs.lifecycle import Accepted, Failure, Image, Interrupted, Lost, NotBought, Produced, Stray
from jobs.reports import results, status, usage
from jobs.states import State
from jobs.worklists import fetching, runs
from scheduler import duties
from tests import conftest, crowd, factory, rows
from tests.integration import plans

AWAY = "https://away.example/v1"
LEASE = timedelta(seconds=60)
HOUR = timedelta(hours=1)


class Undone(Database):
    """A database in which all is done, and nothing stays: everybody finds the same rows."""

    @contextmanager
    def write(self):
        with super().write() as tx:
            yield tx
            tx.get_transaction().rollback()


class Scene:
    """A batch in the midst of its jobs, some of them in every state; and another API, which is away."""

    def __init__(self, url):
        made = Database(url)
        before = rows.now(made) - HOUR
        self.batch = factory.make_batch(made)
        self.account = factory.make_account(made, refilled_at=before)
        with made.write() as tx:
            told = {"batch_id": self.batch.id, "at": before, "kind": "orphaned", "detail": ""}
            tx.execute(sa.insert(tables.events), [told] * 5000)
            came = [{"webhook_id": f"before-{n}", "received_at": before} for n in range(5000)]
            tx.execute(sa.insert(tables.hints), came)
        crowd.gather(made, self.batch.id, self.account.id, crowd.Crowd(ended=20_000, pending=10_000, pace=10))
        self._jobs = {
            state: [factory.make_job(made, self.batch, state=state) for _ in range(3)] for state in State
        }
        factory.make_account(made, api=AWAY, breaker=BreakerState.OUTAGE, probe_at=before)
        factory.make_job(made, factory.make_batch(made, api=AWAY))
        made.close()
        self.database = Undone(url)
        self.settings = settings.Settings(OVERNIGHT_API_URL=factory.API, max_in_flight="400", _env_file=None)
        self.seat = factory.seat(self.database)
        self.duty = (self.database, self.settings, duties.Scope(self.seat))
        self.duty_away = (self.database, self.settings, duties.Scope(factory.seat(self.database, AWAY)))

    def analyse(self):
        """Count what there is, as a person may, and as SQLite then weighs it."""
        with self.database.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
            connection.commit()
        self.database.engine.dispose()  # who is connected does not look at the counts again

    def ids(self, state):
        return [job.id for job in self._jobs[state]]

    def fences(self, state):
        return [rows.fence(job) for job in self._jobs[state]]

    def each(self, kind, state, *said, **named):
        """What a worker says of each job of a state."""
        return [kind(fence, *said, **named) for fence in self.fences(state)]

    def asks(self, question):
        with self.database.write() as tx:
            return question(tx)

    def arrow(self, arrow, *said, **named):
        return self.asks(lambda tx: arrow(tx, now(tx), *said, **named))

    def settle(self, arrow, items, *said):
        """Run an arrow in its savepoint, as the tasks do."""
        return self.asks(lambda tx: lifecycle.settle(tx, now(tx), arrow, items, *said))


@pytest.fixture(scope="module", params=["sqlite", "sqlite, analysed", "postgresql"])
def scene(request, tmp_path_factory):
    if request.param != "postgresql":
        path = tmp_path_factory.mktemp("scene") / "overnight.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        made = Scene(f"sqlite:///{path}")
        if "analysed" in request.param:
            made.analyse()
        yield made
        made.database.close()
        return
    admin, name = request.getfixturevalue("postgres_admin"), f"scene_{uuid4().hex}"
    template = request.getfixturevalue("postgres_template")
    admin.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    made = Scene(conftest._url_of(request.getfixturevalue("postgres_server"), name))
    yield made
    made.database.close()
    admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


DUTIES = {
    "look": lambda s: s.arrow(lambda tx, at: duties.lanes(tx, at, *s.duty[1:])),
    "look what to rescue": lambda s: s.arrow(duties.may_rescue),
    "rescue": lambda s: duties.rescue(s.database, s.settings),
    "reconcile": lambda s: list(duties.reconcile(*s.duty)),
    "reconcile, away": lambda s: list(duties.reconcile(*s.duty_away)),
    "sweep": lambda s: list(duties.sweep(*s.duty)),
    "collect": lambda s: list(duties.collect(*s.duty)),
    "poll": lambda s: list(duties.poll(*s.duty)),
    "cancel": lambda s: list(duties.cancel(*s.duty)),
    "release": lambda s: list(duties.release(*s.duty)),
    "release, away": lambda s: list(duties.release(*s.duty_away)),
    "limit losses": lambda s: duties.limit_losses(s.database),
    "due": lambda s: s.arrow(lambda tx, at: worklists.due(tx, s.account.id, at, 2000)),
    "begun": lambda s: s.arrow(lambda tx, at: worklists.begun(tx, s.account.id, at - HOUR, 9000)),
}
TASKS = {
    "begin": lambda s: s.arrow(lifecycle.begin, s.account.id, s.ids(State.QUEUED), LEASE),
    "accepted": lambda s: s.settle(lifecycle.accepted, s.each(Accepted, State.SUBMITTING, "new")[:1], LEASE),
    "accepted late": lambda s: s.arrow(lifecycle.accepted, s.each(Accepted, State.FAILED, "late"), LEASE),
    "lost": lambda s: s.arrow(
        lambda tx, at: lifecycle.lost(tx, at, s.each(Lost, State.SUBMITTING, "", at), LEASE)
    ),
    "not bought": lambda s: s.arrow(
        lambda tx, at: lifecycle.not_bought(tx, at, s.each(NotBought, State.SUBMITTING, "", at))
    ),
    "refused": lambda s: s.settle(lifecycle.refused, s.each(Failure, State.SUBMITTING, "invalid-input", "")),
    "running": lambda s: s.asks(lambda tx: worklists.running(tx, s.seat.answers_for, s.ids(State.RUNNING))),
    "running as": lambda s: s.asks(
        lambda tx: worklists.running_as(tx, s.seat.answers_for, ["crowd-2", "crowd-4"])
    ),
    "run times": lambda s: s.asks(lambda tx: runs.lately(tx, s.account.id)),
    "hints": lambda s: s.arrow(
        lambda tx, at: hints.take(
            tx, at, {factory.API}, [hints.Hint(f"told-{n}", f"crowd-{n}") for n in (2, 4)], s.settings.times
        )
    ),
    "cancel requested": lambda s: s.asks(lambda tx: worklists.cancel_requested(tx, s.ids(State.RUNNING))),
    "produced": lambda s: s.arrow(
        lambda tx, at: lifecycle.produced(
            tx, at, s.each(Produced, State.RUNNING, ("https://x.example/1",), at)
        )
    ),
    "interrupted": lambda s: s.arrow(
        lambda tx, at: lifecycle.interrupted(
            tx, at, s.each(Interrupted, State.RUNNING, "interrupted", "", at, counted=False)
        )
    ),
    "failed": lambda s: s.settle(lifecycle.failed, s.each(Failure, State.RUNNING, "model-error", "")),
    "cancelled": lambda s: s.arrow(lifecycle.cancelled, s.fences(State.RUNNING)),
    "look again": lambda s: s.arrow(
        lambda tx, at: lifecycle.look_again(tx, State.RUNNING, dict.fromkeys(s.fences(State.RUNNING), at))
    ),
    "collecting": lambda s: s.asks(
        lambda tx: worklists.collecting(tx, s.seat.answers_for, s.ids(State.COLLECTING))
    ),
    "kept": lambda s: s.settle(
        lifecycle.kept,
        s.each(Image, State.COLLECTING, 0, lifecycle.File("new.png", "image/png", 1, 64, 64, "0" * 64))[:1],
    ),
    "stored": lambda s: s.arrow(lifecycle.stored, s.fences(State.COLLECTING)),
    "cancel sent": lambda s: s.arrow(lifecycle.cancel_sent, [job.attempt for job in s.fences(State.RUNNING)]),
    "cancel refused": lambda s: s.arrow(
        lambda tx, at: lifecycle.cancel_refused(
            tx, at, at, {job.attempt: "no" for job in s.fences(State.RUNNING)}
        )
    ),
    "to cancel": lambda s: s.asks(lambda tx: worklists.to_cancel(tx, s.seat.answers_for, [1, 2, 3])),
    "cases": lambda s: s.asks(lambda tx: worklists.cases(tx, s.seat.answers_for)),
    "seeded": lambda s: s.asks(lambda tx: worklists.seeded(tx, s.ids(State.QUEUED))),
    "unsettled": lambda s: s.asks(lambda tx: worklists.unsettled(tx, factory.API)),
    "known": lambda s: s.asks(lambda tx: worklists.known(tx, ["crowd-2", "crowd-4", "strange"])),
    "bought by": lambda s: s.asks(
        lambda tx: worklists.bought_by(tx, s.account.id, ["crowd-2", "crowd-4", "strange"])
    ),
    "missed": lambda s: s.asks(lambda tx: lifecycle.missed(tx, s.fences(State.COLLECTING))),
    "first known": lambda s: s.arrow(lambda tx, at: worklists.first_known(tx, s.account.id, at - HOUR)),
    "traces": lambda s: s.arrow(
        lambda tx, at: worklists.traces(tx, s.account.id, ["0" * 32], at - HOUR / 60)
    ),
    "witness": lambda s: s.asks(lambda tx: worklists.witness(tx, s.account.id)),
    "absent": lambda s: s.arrow(
        lambda tx, at: lifecycle.absent(tx, at, s.fences(State.UNCONFIRMED), at, LEASE)
    ),
    "presumed absent": lambda s: s.arrow(lifecycle.presumed_absent, s.fences(State.UNCONFIRMED)),
    "unprovable": lambda s: s.arrow(lifecycle.unprovable, s.fences(State.UNCONFIRMED), "too late"),
    "adopted": lambda s: s.settle(lifecycle.adopted, s.each(Accepted, State.UNCONFIRMED, "found")[:1], LEASE),
    "recalled": lambda s: s.arrow(
        lambda tx, at: lifecycle.recalled(
            tx, at, Stray(s.ids(State.PENDING)[0], s.account.id, "strange", at), LEASE
        )
    ),
    "owners": lambda s: s.asks(lambda tx: worklists.owners(tx, factory.API, [1, 2])),
    "owners among some": lambda s: s.asks(
        lambda tx: worklists.owners(tx, factory.API, [1, 2], s.ids(State.PENDING))
    ),
    "inputs": lambda s: s.arrow(lambda tx, at: worklists.inputs(tx, s.account.id, ["crowd-2"], at - HOUR)),
    "purchases": lambda s: s.arrow(lambda tx, at: worklists.purchases(tx, s.account.id, at - HOUR / 60, at)),
    "unstored": lambda s: s.asks(lambda tx: fetching.unstored(tx, factory.API)),
    "bytes of a job": lambda s: s.asks(fetching.bytes_of_a_job),
    "swept from": lambda s: s.arrow(
        lambda tx, at: worklists.swept_from(tx, accounts.known(tx, s.account.id), at, s.settings.times)
    ),
    "pause": lambda s: s.arrow(stops.pause, [s.batch.id], PauseReason.STORAGE, "full"),
    "event of a job": lambda s: s.arrow(
        events.record_of_job, s.ids(State.RUNNING)[0], events.EventKind.ORPHANED, ""
    ),
}
EMBEDDED = {
    "take over": lambda s: s.arrow(lifecycle.take_over, LEASE),
    "stop buying": lambda s: s.arrow(lifecycle.rescue, expired_only=False),
    "unfinished": lambda s: s.asks(lambda tx: batches.unfinished(tx, s.batch.id)),
}
STATUS = {
    "status": lambda s: s.asks(status.overview),
    "status of a batch": lambda s: s.asks(lambda tx: status.progress(tx, s.batch.id)),
    "latest images": lambda s: s.asks(lambda tx: results.latest_images(tx, 1)),
    "quota": lambda s: s.asks(lambda tx: usage.every(tx, s.settings)),
}
ALL = DUTIES | TASKS | EMBEDDED | STATUS

INDEXES = {
    "look": {"jobs_due", "attempts_by_age"},
    "look what to rescue": {"jobs_due", "jobs_to_cancel"},
    "rescue": {"jobs_due", "jobs_to_cancel"},
    "reconcile": {"jobs_due"},
    "reconcile, away": {"jobs_due"},
    "sweep": {"attempts_by_age"},
    "collect": {"jobs_due"},
    "poll": {"jobs_due"},
    "cancel": {"jobs_due"},
    "release": {"jobs_due", "jobs_to_release"},
    "release, away": {"jobs_to_release"},
    "limit losses": {"jobs_to_release", "jobs_counted", "attempts_surplus"},
    "due": {"jobs_due"},
    "begun": {"attempts_by_age"},
    "begin": {"attempts_one_unsettled_twin"},
    "run times": {"attempts_by_age"},
    "hints": {"hints_by_age"},
    "cases": {"jobs_due"},
    "unsettled": {"jobs_due"},
    "first known": {"attempts_by_age"},
    "traces": {"attempts_to_match", "attempts_by_age"},
    "witness": {"attempts_by_age"},
    "purchases": {"attempts_by_age"},
    "unstored": {"jobs_due"},
    "take over": {"jobs_due"},
    "stop buying": {"jobs_due"},
    "unfinished": {"jobs_to_release"},
    "status": {"jobs_counted"},
    "status of a batch": {"jobs_counted", "jobs_to_release"},
    "quota": {"attempts_by_age"},
}
# Scans that are none, and those that are meant: (what, index or table).
EXCUSED = {
    # The first of an index, in its order, and no further.
    ("look", "attempts_by_age"),
    ("sweep", "attempts_by_age"),
    ("release", "jobs_to_release"),
    ("release, away", "jobs_to_release"),
    ("limit losses", "jobs_to_release"),
    ("run times", "attempts_by_age"),
    ("witness", "attempts_by_age"),
    ("bytes of a job", None),
    ("bytes of a job", "outputs_pkey"),
    ("unfinished", "jobs_to_release"),
    ("status of a batch", "jobs_to_release"),
    ("latest images", None),
    ("latest images", "outputs_pkey"),
    # A night has a few dozen events.
    ("status of a batch", "events"),
    ("limit losses", "events"),
    # Exact counts, read from an index that has nothing else in it.
    ("status", "jobs_counted"),
    ("status of a batch", "jobs_counted"),
    # No index knows the seeds; asked only when the API's list shows what nobody can explain.
    ("owners", None),
    ("owners", "jobs_one_file_name"),
}


@pytest.mark.parametrize("what", ALL)
def test_it_looks_at_what_it_needs_and_not_at_all_there_is(scene, what):
    with plans.explained(scene.database) as found:
        ALL[what](scene)
    assert found
    assert not [
        str(one) for one in found if one.is_scan and not {(what, one.index), (what, one.table)} & EXCUSED
    ]


# PostgreSQL weighs by what it sampled: where two indexes find a handful of rows it may take either.
@pytest.mark.parametrize("scene", ["sqlite", "sqlite, analysed"], indirect=True)
@pytest.mark.parametrize("what", INDEXES)
def test_it_finds_its_rows_by_the_index_that_was_made_for_it(scene, what):
    with plans.explained(scene.database) as found:
        ALL[what](scene)
    assert INDEXES[what] <= {one.index for one in found}


@pytest.mark.parametrize(
    "question",
    [
        "SELECT count(*) FROM jobs WHERE row > 7",
        "SELECT count(*) FROM jobs WHERE batch_id = 1 AND row > 7",
        "SELECT max(error_class) FROM jobs GROUP BY batch_id, state",
        "SELECT j.key FROM attempts AS a JOIN jobs AS j ON j.attempt_id = a.id WHERE a.account_id = 1",
        "UPDATE outputs SET url = NULL WHERE bytes > 7",
    ],
)
def test_a_scan_is_known_for_one(scene, question):
    with plans.explained(scene.database) as found:
        scene.asks(lambda tx: tx.exec_driver_sql(question))
    assert any(one.is_scan for one in found)
