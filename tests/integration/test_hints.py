"""What a webhook changes in the database: when a job is looked at, and nothing else."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from jobs import hints, tables
from jobs.hints import Hint
from jobs.settings.times import Times
from jobs.states import State
from tests import factory, rows

TIMES = Times()
LATER = timedelta(minutes=1)


@pytest.fixture
def account(database):
    return factory.make_account(database)


@pytest.fixture
def batch(database, account):  # noqa: ARG001  a batch needs an account that buys for it
    return factory.make_batch(database)


@pytest.fixture
def job(database, batch):
    """A job that runs, and is looked at much later."""
    made = factory.make_job(database, batch, state=State.RUNNING)
    rows.change(database, tables.jobs, made.id, due_at=rows.now(database) + LATER)
    return made


def prediction(database, job):
    return rows.attempt(database, job.attempt_id).prediction_id


def hint(database, job, webhook_id="msg_1"):
    return Hint(webhook_id, prediction(database, job))


def take(database, *some, api=factory.API):
    return rows.write(database, hints.take, {api}, some, TIMES)


def waits(database, job):
    """In how many seconds a job is due; negative when it is."""
    return (rows.job(database, job.id).due_at - rows.now(database)).total_seconds()


def test_the_job_that_waits_for_the_prediction_is_due_at_once_and_stays_what_it_is(database, job):
    before = rows.job(database, job.id)
    assert take(database, hint(database, job)) == 1
    after = rows.job(database, job.id)
    assert waits(database, job) <= 0
    assert after._asdict() | {"due_at": before.due_at} == before._asdict()


def test_the_same_webhook_again_changes_nothing(database, job):
    again = hint(database, job)
    take(database, again)
    rows.change(database, tables.jobs, job.id, due_at=rows.now(database) + LATER)
    assert take(database, again) == 0
    assert take(database, again, again) == 0
    assert waits(database, job) > 50


def test_another_webhook_of_the_same_prediction_counts(database, job):
    take(database, hint(database, job, "msg_1"))
    rows.change(database, tables.jobs, job.id, due_at=rows.now(database) + LATER)
    assert take(database, hint(database, job, "msg_2"), hint(database, job, "msg_3")) == 1
    assert waits(database, job) <= 0


def test_a_webhook_is_remembered_for_a_day(database, job):
    known = hint(database, job)
    take(database, known, hint(database, job, "msg_2"))
    with database.write() as tx:
        old = sa.update(tables.hints).where(tables.hints.c.webhook_id == "msg_1")
        tx.execute(old.values(received_at=rows.now(database) - timedelta(hours=24, minutes=1)))
    rows.change(database, tables.jobs, job.id, due_at=rows.now(database) + LATER)
    assert take(database, hint(database, job, "msg_2")) == 0
    with database.read() as tx:
        assert list(tx.execute(sa.select(tables.hints.c.webhook_id)).scalars()) == ["msg_2"]
    assert take(database, known) == 1


@pytest.mark.parametrize("state", [s for s in State if s is not State.RUNNING])
def test_a_job_that_does_not_run_is_left_alone(database, batch, state):
    job = factory.make_job(database, batch, state=state)
    if job.attempt_id is None:
        take(database, Hint("msg_1", "nobody's"))
    else:
        take(database, Hint("msg_1", prediction(database, job) or "nobody's"))
    assert rows.job(database, job.id) == job


def test_a_prediction_that_nobody_waits_for_is_nothing_but_noted(database, job, account):
    assert take(database, Hint("msg_1", "a-strangers")) == 0
    assert waits(database, job) > 50
    assert rows.account(database, account.id).hinted_at is None


def test_a_prediction_of_another_api_is_not_looked_at(database, job, account):
    assert take(database, hint(database, job), api="https://elsewhere.example/v1") == 0
    assert waits(database, job) > 50
    assert rows.account(database, account.id).hinted_at is None


def test_what_is_due_already_is_not_put_off(database, job):
    before = rows.now(database) - LATER
    rows.change(database, tables.jobs, job.id, due_at=before)
    take(database, hint(database, job))
    assert rows.job(database, job.id).due_at == before


def test_the_account_remembers_when_a_hint_came_and_not_each_of_a_second(database, job, account):
    take(database, hint(database, job))
    first = rows.account(database, account.id).hinted_at
    assert rows.now(database) - first < timedelta(seconds=30)
    recent = rows.now(database) - timedelta(seconds=0.5)
    rows.change(database, tables.accounts, account.id, hinted_at=recent)
    take(database, hint(database, job, "msg_2"))
    assert rows.account(database, account.id).hinted_at == recent
    rows.change(database, tables.accounts, account.id, hinted_at=recent - timedelta(seconds=1))
    take(database, hint(database, job, "msg_3"))
    assert rows.account(database, account.id).hinted_at > recent


def test_many_hints_are_taken_in_one_transaction(database, batch):
    jobs = [factory.make_job(database, batch, state=State.RUNNING) for _ in range(30)]
    for job in jobs:
        rows.change(database, tables.jobs, job.id, due_at=rows.now(database) + LATER)
    some = [hint(database, job, f"msg_{n}") for n, job in enumerate(jobs)]
    more = [Hint(f"stranger_{n}", f"p{n}") for n in range(500)]
    assert take(database, *some, *more) == 30
    assert all(waits(database, job) <= 0 for job in jobs)


# That none comes


def ended(database, job, count, **columns):
    now = rows.now(database)
    for _ in range(count):
        produced = {"intended_at": now, "produced_at": now, "finished_at": now} | columns
        factory.make_attempt(database, job, "succeeded", **produced)


def missed(database):
    with database.read() as tx:
        return hints.missed(tx, rows.now(database))


def test_that_no_webhook_comes_is_told_once_predictions_have_ended_without(database, batch):
    job = factory.make_job(database, batch)
    ended(database, job, 9)
    ended(
        database, job, 20, intended_at=rows.now(database) - timedelta(hours=2)
    )  # perhaps there was no URL then
    assert not missed(database)
    ended(database, job, 1)
    assert missed(database).startswith(
        "none has come yet, and predictions have ended: is `overnight webhook` running"
    )


def test_one_that_comes_is_enough_until_others_that_were_bought_later_end_without(database, job):
    ended(database, job, 10)
    take(database, hint(database, job))
    assert not missed(database)
    ended(database, job, 10)
    assert missed(database).startswith("none has come since 20")
