"""How predictions end that do not end well: stuck, aborted, unknown, wiped; and what a disk without room prevents."""

import asyncio
import dataclasses
import shutil
import types
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from jobs import errors, lifecycle, tables
from jobs.accounts.tally import Tally
from jobs.lanes import Lane
from jobs.reports import dossier, limits, results
from jobs.states import BatchState, Phase, State
from overnight.display import portrait
from scheduler import duties
from tests import factory, rows
from tests.integration import rehearsal, stepped
from tests.integration.stepped import cancel, ending, poll, started, submit

MINUTE = 60


def shown(night, job_id):
    [attempt] = night.attempts(job_id)
    with night.sandbox.client() as client:
        return client.get(f"/predictions/{attempt.prediction_id}").json()["status"]


# When they are looked at


def test_a_prediction_is_first_looked_at_when_others_of_its_version_had_ended(begin):
    night = begin()
    then = rows.now(night.database)
    for job_id in night.make(10, state=State.SUCCEEDED):
        attempt_id = night.job(job_id).attempt_id
        rows.change(
            night.database, tables.attempts, attempt_id,
            accepted_at=then, produced_at=then + timedelta(seconds=9),
        )  # fmt: skip
    [job_id] = started(night)
    wait = night.job(job_id).due_at - night.attempts(job_id)[0].accepted_at
    assert wait.total_seconds() == pytest.approx(9, abs=0.1)


# Deadlines


def test_a_prediction_that_is_stuck_is_cancelled_at_its_deadline_and_not_bought_again(begin):
    night = begin(faults={"stuck": 1})
    [job_id] = started(night)
    night.passes(30 * MINUTE)
    night.tick(duties.poll)
    assert night.told(duties.cancel) == []
    night.passes(31)
    assert night.tick(duties.cancel) == [Lane.CANCEL]
    night.passes(16)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("failed", "deadline")
    assert night.job(job_id).attempts == len(night.sandbox.ledger()) == 1


def test_a_prediction_that_nothing_ends_is_given_up_one_deadline_after_it_was_to_be_cancelled(begin):
    night = begin(faults={"stuck": 1}, profile="gateway")
    [job_id] = started(night)
    night.passes(31 * MINUTE)
    night.tick(duties.cancel)
    for _ in range(2):
        night.passes(14 * MINUTE)
        night.tick(duties.poll)
        assert ending(night, job_id) == ("running", None)
    night.passes(2 * MINUTE)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("failed", "deadline")


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (404, "The API does not know this prediction."),
        *((status, f"This API does not cancel: it answered {status}.") for status in (403, 405, 501)),
    ],
)
def test_where_nothing_can_be_cancelled_it_is_not_asked_for_ever_and_the_account_goes_on(
    begin, status, refusal
):
    night = begin(faults={"stuck": 1, f"no_cancel:{status}": 1}, profile="gateway")
    stuck, surplus = started(night, 2)
    night.passes(31 * MINUTE)
    now = rows.now(night.database)
    rows.change(
        night.database, tables.attempts, night.job(surplus).attempt_id, phase=Phase.ORPHAN, finished_at=now
    )
    rows.change(night.database, tables.jobs, surplus, state=State.CANCELLED, due_at=None, finished_at=now)
    assert night.tick(duties.cancel) == [Lane.CANCEL]
    night.passes(MINUTE)
    assert night.told(duties.cancel) == []
    assert (night.account.breaker, night.batch_state) == ("closed", (BatchState.OPEN, None))
    [orphan] = night.attempts(surplus)
    assert orphan.cancel_refused == refusal
    night.passes(29 * MINUTE)
    night.tick(duties.poll)
    assert ending(night, stuck) == ("failed", "deadline")


def test_each_purchase_tells_the_api_after_which_time_to_end_it(begin):
    night = begin()
    hurried = night.here.settings.model_copy(update={"prediction_deadline": 600.0})
    night.work_as(dataclasses.replace(night.here, settings=hurried))
    started(night)
    [sold] = night.sandbox.ledger()
    assert sold["deadline"] - sold["t"] == pytest.approx(600)


def test_a_wish_that_cannot_be_granted_is_repeated_rarely(begin):
    night = begin(faults={"stuck": 1, "no_cancel:405": 1})
    [job_id] = started(night)
    rows.write(night.database, lifecycle.ask_to_cancel, [job_id])
    assert night.tick(duties.cancel) == [Lane.CANCEL]
    night.passes(29 * MINUTE)
    assert night.told(duties.cancel) == []
    night.sandbox.heal()
    night.passes(2 * MINUTE)
    night.tick(duties.cancel, duties.poll)
    assert night.states() == {"cancelled": 1}


def test_a_message_alone_cancels_nothing(begin):
    """Whoever can write to the broker is not the scheduler: which predictions nobody wants is in the rows."""
    night = begin(latency=600)
    [job_id] = started(night)
    before = rows.everything(night.database)
    [attempt] = night.attempts(job_id)
    cancel([(attempt.id, attempt.prediction_id)])
    assert shown(night, job_id) != "canceled"
    assert rows.everything(night.database) == before


async def unknown(_):
    raise errors.Missing("404")


def test_a_prediction_that_the_api_does_not_know_yet_is_cancelled_later(begin, monkeypatch):
    night = begin(latency=600)
    [job_id] = started(night)
    rows.write(night.database, lifecycle.ask_to_cancel, [job_id])
    with monkeypatch.context() as fresh:
        fresh.setattr(night.here.api, "cancel", unknown)
        assert night.tick(duties.cancel) == [Lane.CANCEL]
    night.passes(MINUTE)
    night.tick(duties.cancel, duties.poll)
    assert night.states() == {"cancelled": 1}


@pytest.mark.parametrize("hindrance", [errors.Missing("404"), errors.Unanswered("500")])
def test_an_orphan_of_long_ago_is_asked_for_no_more_whatever_the_api_says(begin, monkeypatch, hindrance):
    night = begin()
    [job_id] = started(night)
    night.finish()
    rows.change(night.database, tables.attempts, night.job(job_id).attempt_id, phase=Phase.ORPHAN)

    async def hinder(_):
        raise hindrance

    monkeypatch.setattr(night.here.api, "cancel", hinder)
    monkeypatch.setattr(night.here.api, "get", hinder)
    for _ in range(2):
        night.passes(29 * MINUTE)
        assert night.tick(duties.cancel) == [Lane.CANCEL]
        assert night.attempts(job_id)[0].cancel_sent_at is None
    night.passes(3 * MINUTE)
    night.tick(duties.cancel)
    night.passes(3 * MINUTE)
    assert night.told(duties.cancel) == []
    assert night.attempts(job_id)[0].cancel_refused == str(hindrance)


def test_a_cancel_that_comes_after_the_end_is_no_refusal(begin, monkeypatch):
    night = begin()
    [job_id] = started(night)
    rows.write(night.database, lifecycle.ask_to_cancel, [job_id])

    async def too_late(_):
        raise errors.Refused("409")

    rehearsal.eventually(lambda: shown(night, job_id) == "succeeded")
    monkeypatch.setattr(night.here.api, "cancel", too_late)
    night.tick(duties.cancel)
    [attempt] = night.attempts(job_id)
    assert (attempt.cancel_sent_at is None, attempt.cancel_refused) == (False, None)
    assert night.account.failures == 0


@pytest.mark.parametrize(("kind", "end"), [("while", "succeeded"), ("ever", "failed")])
def test_a_prediction_that_the_api_does_not_know_is_asked_for_until_long_after_its_deadline(begin, kind, end):
    night = begin(faults={f"vanish:{kind}": 1}, lag=3600)
    [job_id] = started(night)
    night.passes(29 * MINUTE)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("running", None)
    if kind == "while":
        night.sandbox.heal()
    for minutes in (2, 30, 1):
        night.passes(minutes * MINUTE)
        night.tick(duties.cancel, duties.poll, duties.collect)
        if minutes == 2 and kind == "ever":
            assert ending(night, job_id) == ("running", None), "such an answer may pass"
    assert ending(night, job_id) == (end, None if end == "succeeded" else "expired")
    assert len(night.sandbox.ledger()) == 1


def test_a_prediction_that_the_api_has_forgotten_in_other_words_does_not_hold_the_night(begin, monkeypatch):
    night = begin(latency=600, lag=3600)
    [job_id] = started(night)

    async def forgotten(_):
        raise errors.Refused("The API answered 400: task_not_exist")

    monkeypatch.setattr(night.here.api, "get", forgotten)
    monkeypatch.setattr(night.here.api, "cancel", forgotten)
    night.passes(61 * MINUTE)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("running", None), "one answer proves little"
    night.tick(duties.cancel)
    assert night.attempts(job_id)[0].cancel_sent_at is not None
    night.passes(MINUTE)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("failed", "expired")
    assert night.account.breaker == "closed"
    assert "task_not_exist" in night.job(job_id).error_message


def unanswered(night, monkeypatch, *job_ids):
    """Let the API answer nothing of these jobs' predictions, and everything else."""
    broken = {night.attempts(job_id)[0].prediction_id for job_id in job_ids}
    for call in ("get", "cancel"):
        sound = getattr(night.here.api, call)

        async def asked(prediction_id, sound=sound):
            if prediction_id in broken:
                raise errors.Unanswered("The API answered 500 without a reason.")
            return await sound(prediction_id)

        monkeypatch.setattr(night.here.api, call, asked)


@pytest.mark.parametrize("profile", ["gateway", "replicate"])
@pytest.mark.parametrize("count", [1, 10])
def test_predictions_that_alone_get_no_answer_are_no_outage(begin, monkeypatch, profile, count):
    night = begin(latency=600, lag=3600, profile=profile)
    ids = started(night, count)
    unanswered(night, monkeypatch, *ids)
    for _ in range(12):
        night.passes(16)
        night.tick(duties.poll)
    night.passes(31 * MINUTE)
    for _ in range(12):
        night.tick(duties.cancel)
        night.passes(61)
    assert (night.account.breaker, night.events()) == ("closed", [])
    assert night.states() == {"running": count}


@pytest.mark.parametrize("profile", ["gateway", "replicate"])
def test_a_prediction_that_alone_gets_no_answer_is_given_up_when_its_outputs_must_be_gone(
    begin, monkeypatch, profile
):
    night = begin(latency=600, lag=3600, profile=profile)
    [job_id] = started(night)
    unanswered(night, monkeypatch, job_id)
    night.passes(89 * MINUTE)
    night.tick(duties.cancel)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("running", None)
    night.passes(2 * MINUTE)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("failed", "expired")
    assert "answered 500" in night.job(job_id).error_message
    assert len(night.sandbox.ledger()) == 1


def test_a_prediction_that_alone_gets_no_answer_does_not_prolong_an_outage(begin, monkeypatch):
    night = begin(latency=600, lag=3600, profile="gateway")
    [job_id] = started(night)
    unanswered(night, monkeypatch, job_id)
    now = rows.now(night.database)
    away = {"breaker": "outage", "failing": "reads", "failures": 10, "breaker_reason": "no answer"}
    rows.change(
        night.database,
        tables.accounts,
        night.account.id,
        **away,
        breaker_at=now,
        failing_since=now,
        probe_at=now,
    )
    night.passes(31)
    night.tick(duties.poll)
    assert night.account.breaker == "closed"


def test_an_outage_ends_no_job_however_long_it_is(begin):
    night = begin(latency=600, lag=3600, profile="gateway")
    ids = started(night, 3)
    night.sandbox.faults(**{"outage:5xx": 0})
    for _ in range(24):
        for duty in (duties.poll, duties.cancel):
            night.passes(5 * MINUTE)
            night.tick(duty)
    assert night.account.breaker == "outage"
    assert night.states() == {"running": len(ids)}
    assert not any(night.attempts(job_id)[0].cancel_sent_at for job_id in ids)


@pytest.mark.parametrize("kind", ["5xx", "refuse"])
def test_an_outage_gives_no_image_up_however_long_it_is(begin, kind):
    night = begin(latency=0)
    [job_id] = night.make()
    night.until(lambda: night.states() == {"collecting": 1})
    night.sandbox.faults(**{f"outage:{kind}": 0, "output_busy:503": 1})
    for _ in range(8):
        night.passes(10 * MINUTE)
        night.tick(duties.collect)
    assert (night.states(), night.attempts(job_id)[0].misses) == ({"collecting": 1}, 8)
    night.sandbox.heal()
    assert night.finish() == {"succeeded": 1}
    assert len(night.sandbox.ledger()) == 1


# Ends that cost nothing, and ends that cost the image


def test_predictions_that_the_api_always_aborts_are_not_bought_for_ever(begin):
    night = begin(faults={"aborted": 1})
    [job_id] = night.make()
    assert night.finish() == {"failed": 1}
    job = night.job(job_id)
    assert (job.error_class, job.attempts, job.absences) == ("unsubmittable", 0, 5)
    assert len(night.sandbox.ledger()) == 5
    assert {attempt.cost for attempt in night.attempts(job_id)} == {0.0}, "nobody ran them"


def test_what_breaks_off_each_time_is_bought_as_often_as_it_may_be(begin):
    night = begin(faults={"fail_transient": 1})
    twice = night.here.settings.model_copy(update={"max_attempts": 2})
    night.work_as(dataclasses.replace(night.here, settings=twice))
    [job_id] = night.make()
    assert night.finish() == {"failed": 1}
    assert ending(night, job_id) == ("failed", "interrupted")
    assert night.job(job_id).attempts == len(night.sandbox.ledger()) == 2


def test_an_output_that_is_never_an_image_is_fetched_for_an_hour_and_bought_once(begin):
    night = begin(faults={"not_image": 1})
    [job_id] = night.make()
    night.until(lambda: night.states() == {State.COLLECTING: 1})
    night.passes(50 * MINUTE)
    night.tick()
    assert night.states() == {"collecting": 1}
    night.passes(10 * MINUTE)
    assert night.finish() == {"failed": 1}
    assert ending(night, job_id) == ("failed", "output-invalid")
    assert night.job(job_id).attempts == len(night.sandbox.ledger()) == 1


def test_a_prediction_whose_images_did_not_come_keeps_its_run_time_and_its_cost(begin):
    night = begin(faults={"expire_url:listed": 1})
    [job_id] = night.make()
    night.until(lambda: night.states() == {State.COLLECTING: 1})
    rows.change(night.database, tables.attempts, night.attempts(job_id)[0].id, misses=4)
    night.passes(60 * MINUTE)
    assert night.finish() == {"failed": 1}
    assert ending(night, job_id) == ("failed", "expired")
    [attempt] = night.attempts(job_id)
    assert attempt.cost == 0.25
    assert attempt.predict_time is not None


def test_what_the_api_deleted_while_it_was_away_is_expired_and_not_bought_again(begin):
    night = begin(lifetime=0.001)
    [job_id] = started(night)
    night.until(lambda: night.job(job_id).state == State.FAILED)
    assert ending(night, job_id) == ("failed", "expired")
    assert len(night.sandbox.ledger()) == 1
    assert night.release() == []


# What the safety check takes


def pictures(night):
    return [path.name for path in night.settings.output.rglob("*.png")]


@pytest.mark.parametrize("more", [{}, {"inline": 1}])
def test_a_prediction_whose_images_are_all_black_failed_in_the_safety_check(begin, more):
    night = begin(faults={"blacked_out:all": 1, **more})
    [job_id] = night.make(input={"prompt": "a fox", "num_outputs": 2})
    assert night.finish() == {"failed": 1}
    assert ending(night, job_id) == ("failed", "nsfw")
    assert "black" in night.job(job_id).error_message
    assert pictures(night) == []
    assert len(night.sandbox.ledger()) == 1
    [attempt] = night.attempts(job_id)
    assert attempt.cost == 0.25, "it ran"
    assert attempt.predict_time is not None


@pytest.mark.parametrize("fault", ["blacked_out:others", "flagged:fewer"])
def test_images_that_the_safety_check_took_are_counted_and_the_others_kept(begin, fault):
    night = begin(faults={fault: 1})
    [job_id] = night.make(input={"prompt": "a fox", "num_outputs": 3})
    night.make(input={"prompt": "a fox"})
    assert night.finish() == {"succeeded": 2}
    assert len(pictures(night)) == 2
    assert len(night.sandbox.ledger()) == 2
    with night.database.read() as tx:
        assert results.harvest(tx, night.batch.id).dropped == 2
        page = portrait.lines(
            dossier.read(tx, job_id), limits.Limit(limits.Kind.FINISHED, "finished"), night.settings.output
        )
    assert [line for line in page if "2 more asked for" in line]


# Doubt


def calls(night):
    return sum(night.sandbox.stats()["requests"].values())


def test_an_api_that_may_be_away_is_asked_for_one_prediction_and_then_for_the_others(begin):
    night = begin()
    ids = started(night, 5)
    doubt = {"failures": 5, "failing": "creates", "failing_since": rows.now(night.database)}
    rows.change(night.database, tables.accounts, night.account.id, **doubt)
    night.sandbox.faults(**{"outage:5xx": 0})
    before = calls(night)
    poll(ids)
    assert calls(night) - before == 2, "one of these, and another or one made up"
    night.sandbox.heal()
    poll(ids)
    assert night.states() == {"collecting": 5}


@pytest.mark.parametrize("call", ["get", "cancel"])
def test_a_call_that_outlasts_its_slice_is_nothing_that_broke(begin, monkeypatch, call):
    night = begin(latency=600)
    [job_id] = started(night)
    [attempt] = night.attempts(job_id)

    async def never(_):
        await asyncio.Event().wait()

    monkeypatch.setattr(night.here.api, call, never)
    hasty = night.here.settings.model_copy(update={"lease": 0.1})
    night.work_as(dataclasses.replace(night.here, settings=hasty))
    with capture_logs() as logged:
        poll([job_id]) if call == "get" else cancel([(attempt.id, attempt.prediction_id)])
    assert [line for line in logged if line["log_level"] == "error"] == []
    assert night.states() == {"running": 1}


@pytest.mark.parametrize("kind", ["5xx", "refuse"])
def test_an_outage_costs_twenty_calls_until_it_is_known(begin, kind):
    night = begin(latency=600)
    started(night, 5)
    night.make(60)
    night.sandbox.faults(**{f"outage:{kind}": 0})
    before = calls(night)
    while night.account.breaker == "closed":
        night.tick()
        night.passes(1)
    assert calls(night) - before <= 20
    assert not any(job.state in {"failed", "queued"} for job in night.jobs())


@pytest.mark.parametrize(("lost", "state"), [(2, "queued"), (3, "pending")])
def test_what_is_handed_out_goes_back_when_an_outage_is_feared(begin, lost, state):
    night = begin()
    night.make(4)
    night.release()
    night.here.observe(Tally(lost=lost))
    assert {job.state for job in night.jobs()} == {state}


def creates_fail(night):
    """Make the last creates failures that no other create has followed."""
    doubt = {"failures": 3, "failing": "creates", "failing_since": rows.now(night.database)}
    rows.change(night.database, tables.accounts, night.account.id, **doubt)


@pytest.mark.parametrize("profile", ["replicate", "gateway"])
def test_what_is_stuck_is_cancelled_although_the_last_creates_of_a_night_failed(begin, profile):
    night = begin(faults={"stuck": 1}, profile=profile)
    [job_id] = started(night)
    night.passes(31 * MINUTE)
    creates_fail(night)
    assert night.told(duties.cancel) == [], "the API may be away"
    night.passes(31)
    assert night.tick(duties.cancel) == [Lane.CANCEL]
    night.passes(30 * MINUTE)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("failed", "deadline")


def test_what_nobody_knows_of_is_searched_for_although_the_last_creates_of_a_night_failed(begin):
    night = begin()
    started(night)
    night.finish()
    night.passes(10 * MINUTE)
    creates_fail(night)
    assert night.told(duties.sweep) == [], "the API may be away"
    night.passes(31)
    assert night.tick(duties.sweep) == [Lane.RECONCILE]


# Room


def leave(monkeypatch, free):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=free))


def test_nothing_is_bought_that_could_not_be_stored(begin, monkeypatch):
    night = begin()
    ids = night.make(3)
    queued = night.release()
    leave(monkeypatch, 2 * 3 * 1_500_000 - 1)
    submit(queued)
    assert night.batch_state == ("paused", "storage")
    assert night.states() == {"pending": 3}
    assert night.sandbox.ledger() == []
    assert "MB free" in rows.batch(night.database, night.batch.id).pause_detail
    leave(monkeypatch, 2 * 3 * 1_500_000)
    rows.change(night.database, tables.batches, night.batch.id, state="open", pause_reason=None)
    assert night.finish() == {"succeeded": len(ids)}


def test_a_message_that_names_many_jobs_needs_no_more_room_than_those_that_were_handed_out(
    begin, monkeypatch
):
    night = begin()
    [handed] = night.make()
    night.release()
    leave(monkeypatch, 2 * 1_500_000)
    submit([*range(handed, handed + 1000)])
    assert night.batch_state == ("open", None)
    assert len(night.sandbox.ledger()) == 1


def test_what_is_in_flight_has_its_room_before_more_is_bought(begin, monkeypatch):
    night = begin(latency=600)
    started(night, 5)
    night.make()
    leave(monkeypatch, 2 * 6 * 1_500_000 - 1)
    night.tick(duties.release)
    assert night.batch_state == ("paused", "storage")
    assert night.states() == {"pending": 1, "running": 5}


def test_images_that_came_before_say_how_much_room_one_takes(begin, monkeypatch):
    night = begin()
    night.make(2)
    night.finish()
    stored = sum(output.bytes for output in rows.rows(night.database, tables.outputs))
    night.make()
    leave(monkeypatch, stored)  # for two jobs; room is left for one and as much again
    assert night.finish() == {"succeeded": 3}


def test_without_the_folder_of_its_pictures_a_batch_stops_and_no_other(begin, tmp_path):
    night = begin()
    there, root = night.make(1), {"images_root": str(tmp_path / "pictures")}
    other = factory.make_batch(night.database, api=night.batch.api, options=root)
    ids = [
        factory.make_job(night.database, other, version=stepped.VERSION, image="fox.png").id for _ in range(2)
    ]
    night.tick(duties.release)
    paused = rows.batch(night.database, other.id)
    assert (paused.state, paused.pause_reason) == (BatchState.PAUSED, "storage")
    assert "mount its disk" in paused.pause_detail
    assert night.batch_state == ("open", None)
    assert [night.job(one).state for one in ids] == [State.PENDING] * 2
    assert night.job(there[0]).state == State.RUNNING
    assert len(night.sandbox.ledger()) == 1


def test_without_its_output_folder_nothing_is_bought(begin):
    night = begin()
    night.make(2)
    night.settings.output.rmdir()
    night.tick(duties.release)
    assert night.batch_state == ("paused", "storage")
    assert "mount its disk" in rows.batch(night.database, night.batch.id).pause_detail
    assert night.sandbox.ledger() == []
