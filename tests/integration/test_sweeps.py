"""The orphan sweep: predictions of ours that nobody waits for are found, and recorded on their jobs."""

import dataclasses
from contextlib import closing

import pytest
import sqlalchemy as sa

from jobs import accounts, lifecycle, marker, tables, worklists
from jobs.database import Database
from jobs.lanes import Lane
from jobs.states import Phase, State
from scheduler import duties
from tests import factory, rows
from tests.integration import stepped
from tests.integration.stepped import reconcile


@pytest.fixture
def sandbox(start_sandbox):
    return start_sandbox(reads_per_minute=0, creates_per_minute=0, latency=600)


# The API accepts a send of ours long after we gave it up: it looks as a purchase from elsewhere does.
accept_late = stepped.buy_elsewhere


def given_up(night, sandbox):
    """A job whose first send is taken for absent, so that it is wanted again."""
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.settles()
    assert night.phases(job_id) == ["absent"]
    return job_id


def sweep(night):
    """Let five minutes pass, and one sweep."""
    night.passes(301)
    assert night.tick(duties.sweep) == [Lane.RECONCILE]


def forget(night, job_id, **job):
    """Undo a purchase in the database, as a cut of the power or an older backup does."""
    with night.database.write() as tx:
        tx.execute(sa.delete(tables.attempts).where(tables.attempts.c.job_id == job_id))
    back = {"state": State.PENDING, "attempt_id": None, "attempts": 0, "due_at": rows.now(night.database)}
    rows.change(night.database, tables.jobs, job_id, **back | job)


# What it finds


def test_a_send_that_was_accepted_after_it_was_given_up_is_adopted(night, sandbox):
    job_id = given_up(night, sandbox)
    late = accept_late(sandbox, night.job(job_id).input)
    sweep(night)
    [attempt] = night.attempts(job_id)
    assert (attempt.phase, attempt.prediction_id) == ("running", late)
    assert night.release() == []


def test_a_send_that_was_accepted_after_its_second_purchase_is_an_orphan_and_is_cancelled(night, sandbox):
    job_id = given_up(night, sandbox)
    night.tick(duties.release)
    late = accept_late(sandbox, night.job(job_id).input)
    sweep(night)
    assert night.phases(job_id) == ["orphan", "running"]
    [message] = night.told(duties.cancel)
    assert [prediction for _, prediction in message.payload] == [late]
    assert "orphaned" in night.events()


@pytest.mark.parametrize("added", [{}, {"num_outputs": 1}])
def test_what_a_job_failed_for_want_of_is_its_own_when_it_turns_up(night, sandbox, added):
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    rows.write(night.database, lifecycle.unprovable, [rows.fence(night.job(job_id))], "nobody can tell")
    assert night.job(job_id).state == "failed"
    late = accept_late(sandbox, night.job(job_id).input | added)
    sweep(night)
    [attempt] = night.attempts(job_id)
    assert (attempt.phase, attempt.prediction_id) == ("running", late)
    assert night.job(job_id).state == "running"
    assert night.told(duties.cancel) == []


def given_up_unproven(night, sandbox):
    """A job whose first send nobody can tell of, and that a person wants all the same."""
    sandbox.faults(**{"502_before": 1})
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    rows.write(night.database, lifecycle.unprovable, [rows.fence(night.job(job_id))], "nobody can tell")
    rows.write(night.database, lifecycle.retry, [job_id])
    return job_id


@pytest.mark.parametrize(("give_up", "phase"), [(given_up, "absent"), (given_up_unproven, "failed")])
def test_what_turns_up_while_a_second_send_is_in_doubt_is_not_taken_for_its_own_before_that_has_settled(
    night, sandbox, give_up, phase
):
    job_id = give_up(night, sandbox)
    sandbox.faults(**{"502_before": 1})
    night.tick(duties.release)
    sandbox.heal()
    accept_late(sandbox, night.job(job_id).input)
    reconcile([job_id])
    assert night.phases(job_id) == [phase, "unconfirmed"]
    accept_late(sandbox, night.job(job_id).input)
    night.settles()
    assert night.phases(job_id) == ["orphan", "running"]
    assert night.release() == []


def test_a_purchase_that_went_with_the_power_is_recorded_on_its_job_and_not_made_again(night, sandbox):
    [other, job_id] = night.make(2)
    night.tick(duties.release)
    [_, bought] = [one.prediction_id for i in (other, job_id) for one in night.attempts(i)]
    forget(night, job_id)
    sweep(night)
    [attempt] = night.attempts(job_id)
    assert (attempt.phase, attempt.prediction_id) == ("running", bought)
    assert attempt.input == night.job(job_id).input
    assert (night.job(job_id).state, night.job(job_id).attempts) == ("running", 1)
    assert night.release() == []
    assert len(sandbox.ledger()) == 2


def test_while_all_jobs_are_read_for_whose_a_purchase_may_be_others_may_write(night):
    [_, job_id] = night.make(2)
    night.tick(duties.release)
    forget(night, job_id)
    scans = []

    @sa.event.listens_for(night.database.engine, "before_cursor_execute")
    def write_meanwhile(_connection, _cursor, statement, *_):
        if "CAST" in statement and "jobs.id IN" not in statement:
            scans.append(statement)
            with closing(Database(night.database.url)) as other, other.write():
                pass

    sweep(night)
    assert len(scans) == 1
    assert night.phases(job_id) == ["running"]


@pytest.mark.parametrize("state", [State.RUNNING, State.CANCELLED])
def test_a_purchase_that_went_with_the_power_and_was_made_again_is_an_orphan(night, state):
    [_, job_id] = night.make(2)
    night.tick(duties.release)
    [forgotten] = night.attempts(job_id)
    forget(night, job_id)
    if state is State.CANCELLED:
        rows.write(night.database, lifecycle.cancel, [job_id])
    else:
        night.tick(duties.release)
    sweep(night)
    orphan = [one for one in night.attempts(job_id) if one.phase == Phase.ORPHAN]
    assert [one.prediction_id for one in orphan] == [forgotten.prediction_id]
    assert night.job(job_id).state == state
    assert "orphaned" in night.events()


def test_a_purchase_that_two_jobs_may_have_made_is_an_orphan_and_gives_neither_the_others_picture(night):
    twins = night.make(2, input={"prompt": "a fox", "seed": 7})  # by chance: a seed has 31 bits
    night.make()
    for _ in twins:
        night.tick(duties.release)
        night.passes(10)
    bought = [one.prediction_id for i in twins for one in night.attempts(i)]
    for job_id in twins:
        forget(night, job_id)
    sweep(night)
    assert night.states() == {"pending": 2, "running": 1}
    assert {(one.phase, one.prediction_id) for i in twins for one in night.attempts(i)} == {
        ("orphan", prediction) for prediction in bought
    }
    assert night.events().count("orphaned") == 2


def test_what_others_buy_with_the_same_account_is_left_alone(night, sandbox):
    night.make()
    night.make(input={"prompt": "a fox", "seed": 70_007}, own_seed=False)
    night.tick(duties.release)
    for sent in (
        {"prompt": "a fox", "seed": 70_007},
        {"prompt": "a fox", "seed": 80_008},
        {"prompt": "another"},
    ):
        accept_late(sandbox, sent)
    before = rows.everything(night.database)
    sweep(night)
    after = rows.everything(night.database)
    assert [len(table) for table in after] == [len(table) for table in before]
    assert night.told(duties.cancel) == []


@pytest.mark.parametrize("was_own", [True, False])
def test_whose_seed_a_send_had_does_not_change_with_its_job(night, sandbox, was_own):
    """As by `retry --new-seed`, or by `--set seed=`: what others buy with a seed is theirs for good, and ours ours."""
    ours = marker.seed(night.batch.uuid, "fox")
    sent, other = ({"prompt": "a fox", "seed": seed} for seed in ((ours, 7) if was_own else (7, ours)))
    [job_id] = night.make(key="fox", input=sent, own_seed=was_own)
    night.tick(duties.release)
    rows.write(
        night.database, lifecycle.failed, [lifecycle.Failure(rows.fence(night.job(job_id)), "nsfw", "")]
    )
    with night.database.write() as tx:
        lifecycle.change_input(tx, {job_id: other}, own_seed=not was_own)
    twin = accept_late(sandbox, sent)
    sweep(night)
    found = [one.prediction_id for one in night.attempts(job_id) if one.phase == Phase.ORPHAN]
    assert found == [twin] * was_own


def test_a_walk_that_breaks_off_is_tried_again_a_lease_later(night):
    night.make()
    night.tick(duties.release)
    night.here.api._base += "/nowhere"
    sweep(night)
    assert night.account.swept_at is None
    assert night.told(duties.sweep) == []
    night.passes(61)
    assert len(night.told(duties.sweep)) == 1


# When it goes


def test_nothing_is_swept_before_anything_was_sent(night):
    night.make()
    assert night.told(duties.sweep) == []


def test_a_sweep_comes_every_five_minutes_and_ends_when_all_sends_had_settled(night):
    [job_id] = night.make()
    night.tick(duties.release)
    night.tick(duties.sweep)
    for _ in range(2):
        night.passes(290)
        assert night.told(duties.sweep) == []
        night.passes(11)
        assert night.tick(duties.sweep) == [Lane.RECONCILE]
    moment = rows.now(night.database)
    gone = lifecycle.Failure(rows.fence(night.job(job_id)), "expired", "")
    rows.write(night.database, lifecycle.failed, [gone])
    night.passes(3600)
    assert night.told(duties.sweep) == [], f"swept at {night.account.swept_at}, now {moment}"


def test_nothing_is_swept_without_a_list_or_while_the_api_is_away(night):
    night.make()
    night.tick(duties.release)
    rows.change(night.database, tables.accounts, night.account.id, can_list=False)
    assert night.told(duties.sweep) == []
    away = {"breaker": "outage", "breaker_reason": "away", "failing": "both", "can_list": True}
    rows.change(night.database, tables.accounts, night.account.id, **away)
    assert night.told(duties.sweep) == []


def test_a_sweep_looks_up_what_is_in_doubt_as_well(night, sandbox):
    sandbox.faults(exec_and_drop=1)
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.passes(stepped.SETTLED)
    reconcile([])
    assert night.phases(job_id) == ["running"]


# Whether the list is to be believed


async def hide(ask, created_after, cursor):
    page = await ask(created_after, cursor)
    hidden = [dataclasses.replace(one, input={"prompt": "something else"}) for one in page.predictions]
    return dataclasses.replace(page, predictions=tuple(hidden))


def in_doubt(night, sandbox, fault="502_before"):
    sandbox.faults(**{fault: 1})
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    return job_id


@pytest.mark.parametrize(("policy", "phase"), [("resubmit", "absent"), ("hold", "failed")])
def test_a_list_that_hides_what_was_sent_proves_no_absence(begin_night, sandbox, policy, phase):
    night = begin_night(sandbox, when_unconfirmed=policy)
    night.make()
    night.tick(duties.release)
    job_id = in_doubt(night, sandbox, "exec_and_drop")
    stepped.list_as(night, hide)
    night.passes(stepped.SETTLED)
    night.tick(duties.reconcile)
    [attempt] = night.attempts(job_id)
    assert (attempt.phase, attempt.possibly_paid) == (phase, True)
    with night.database.read() as tx:
        assert "does not show what was sent" in accounts.blind_spot(accounts.known(tx, night.account.id))


def test_a_list_that_rounds_numbers_is_believed(night, sandbox):
    sandbox.faults(rewritten=1)
    sent = {"prompt": "a fox", "seed": 2**31 - 1, "prompt_strength": 0.8}
    night.make(input=sent)
    night.tick(duties.release)
    sandbox.faults(exec_and_drop=1)
    [job_id] = night.make(input=sent | {"seed": 2**31 - 2})
    night.tick(duties.release)
    night.settles()
    assert night.phases(job_id) == ["running"]
    assert night.account.list_echoes is True


def test_while_nobody_knows_what_the_list_shows_a_stranger_may_be_ours(night, sandbox):
    job_id = in_doubt(night, sandbox)
    accept_late(sandbox, {"prompt": "by hand"})
    night.settles()
    assert night.phases(job_id) == ["unconfirmed"]
    night.make()
    night.tick(duties.release)  # and now there is one that the list shows as it was sent
    night.settles()
    assert night.phases(job_id) == ["absent"]


def test_a_list_that_is_behind_is_given_as_much_more_time(night, sandbox):
    job_id = in_doubt(night, sandbox)
    night.passes(60)
    night.make()
    night.tick(duties.release)
    night.passes(30)
    honest = night.here
    stepped.list_as(night, stepped.show_nothing)
    reconcile([])
    assert 29 < night.account.list_lag < 60
    night.work_as(honest)
    night.passes(45)
    reconcile([job_id])
    assert night.attempts(job_id)[0].absent_at is None
    night.passes(40)
    reconcile([job_id])
    assert night.attempts(job_id)[0].absent_at is not None


def test_an_account_remembers_what_the_latest_walk_showed_and_the_longest_lag(database):
    account_id = factory.make_account(database).id
    for echoes, lag, expected in [
        (None, 0.0, (None, None)),
        (True, 3.0, (True, 3.0)),
        (None, 1.0, (True, 3.0)),
        (False, 0.0, (False, 3.0)),
    ]:
        with database.write() as tx:
            learned = accounts.list_learned(tx, accounts.get(tx, account_id), echoes=echoes, lag=lag)
        row = rows.account(database, account_id)
        assert (row.list_echoes, row.list_lag) == expected == (learned.list_echoes, learned.list_lag)


def test_a_page_may_show_more_predictions_than_a_database_takes_in_one_statement(database):
    factory.make_account(database)
    job = factory.make_job(database, factory.make_batch(database), state=State.RUNNING)
    shown = [f"strange-{n}" for n in range(70_000)] + ["ours"]
    with database.write() as tx:
        tx.execute(sa.update(tables.attempts).values(prediction_id="ours"))
        assert worklists.known(tx, shown) == {"ours"}
        assert worklists.bought_by(tx, job.account_id, shown) == {"ours": job.attempt_id}
