"""What an API may answer although no document says so: what was bought is bought once, and ends rightly."""

from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from jobs import tables
from jobs.reports import limits, status
from jobs.states import BatchState
from scheduler import duties
from tests import rows
from tests.integration import rehearsal
from tests.integration.stepped import ending, started
from worker import endings

MINUTE = 60


def what_it_waits_for(night):
    with night.database.read() as tx:
        progress = status.progress(tx, night.batch.id)
    return str(limits.current(progress, night.settings))


@pytest.mark.parametrize("profile", ["gateway", "replicate"])
def test_outputs_under_a_status_that_nobody_knows_are_fetched_once_its_deadline_is_over(begin, profile):
    night = begin(faults={"unknown_end": 1}, profile=profile)
    [job_id] = started(night)
    night.passes(29 * MINUTE)
    night.tick(duties.cancel, duties.poll)
    assert ending(night, job_id) == ("running", None), "it may not be its end"
    night.passes(2 * MINUTE)
    night.tick(duties.cancel, duties.poll)
    night.tick(duties.collect)
    assert ending(night, job_id) == ("succeeded", None)
    assert len(night.sandbox.ledger()) == 1


def test_outputs_of_what_is_known_to_run_are_not_taken_for_all_that_there_will_be(begin):
    night = begin(faults={"stuck": 1, "early_output": 1}, profile="gateway")
    [job_id] = started(night)
    night.passes(31 * MINUTE)
    night.tick(duties.cancel, duties.poll)
    assert ending(night, job_id) == ("running", None)
    night.passes(30 * MINUTE)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("failed", "deadline")


def test_a_status_that_nobody_knows_is_reported_once(begin):
    night = begin(faults={"unknown_end": 1})
    endings.report.cache_clear()
    started(night, 3)
    with capture_logs() as logged:
        for _ in range(2):
            night.passes(MINUTE)
            night.tick(duties.poll)
    assert [one["status"] for one in logged if one["event"] == "status-unknown"] == ["completed"]


@pytest.mark.parametrize("faults", [{"undated": 1}, {"terse:always": 1, "terse:created": 0}], ids=str)
@pytest.mark.parametrize("after", [6, 60])
def test_an_end_of_which_nobody_says_when_it_was_had_come_before_it_was_seen(begin, faults, after):
    night = begin(faults=faults, profile="gateway")
    [job_id] = started(night)
    night.passes(after)
    night.tick(duties.poll)
    [attempt] = night.attempts(job_id)
    ran = (attempt.produced_at - attempt.accepted_at).total_seconds()
    seen_after = (rows.now(night.database) - attempt.accepted_at).total_seconds()
    assert ran < seen_after - 1, "the next look would come later, and later each time"
    assert ran > seen_after - 9, "what is shown as running ten seconds after its end disproves the list"


def test_a_cancel_from_elsewhere_is_not_told_as_the_end_of_its_time(begin):
    night = begin(latency=600)
    [job_id] = started(night)
    [attempt] = night.attempts(job_id)
    night.here.loop.call(night.here.api.cancel(attempt.prediction_id), 5)
    night.passes(10)
    night.tick(duties.poll)
    assert ending(night, job_id) == ("failed", "deadline")
    assert (
        night.job(job_id).error_message == "it was canceled at the API before its deadline, and not from here"
    )


@pytest.mark.parametrize("ahead", [None, timedelta(0), timedelta(hours=5)])
@pytest.mark.parametrize("shown", [True, False])
def test_a_success_without_an_image_is_given_time_to_show_it(begin, monkeypatch, shown, ahead):
    night = begin(latency=0.2)
    [job_id] = started(night)
    ask = night.here.api.get
    [bought] = [one.prediction_id for one in night.attempts(job_id)]
    rehearsal.eventually(lambda: night.here.loop.call(ask(bought), 5).final, 20)

    async def half_written(prediction_id):
        completed_at = None if ahead is None else night.attempts(job_id)[0].accepted_at + ahead
        return replace(await ask(prediction_id), output=(), completed_at=completed_at)

    with monkeypatch.context() as late:
        late.setattr(night.here.api, "get", half_written)
        night.passes(10)
        night.tick(duties.poll)
        assert ending(night, job_id) == ("running", None)
        told = "waiting for predictions: 1 running, 1 of them succeeded and still without an image"
        assert what_it_waits_for(night) == told
        if not shown:
            night.passes(2 * MINUTE)
            night.tick(duties.poll)
            assert ending(night, job_id) == ("failed", "empty-output")
    if shown:
        assert night.finish() == {"succeeded": 1}
    assert len(night.sandbox.ledger()) == 1


@pytest.mark.parametrize("fault", ["early_output", "undated:always", "other_version:hidden"])
def test_what_fails_is_not_taken_for_a_success_and_not_bought_again(begin, fault):
    night = begin(faults={"nsfw": 1, fault: 1}, latency=0.2)
    [job_id] = night.make()
    assert night.finish() == {"failed": 1}
    assert ending(night, job_id) == ("failed", "nsfw")
    assert len(night.sandbox.ledger()) == 1


@pytest.mark.parametrize("profile", ["gateway", "replicate"])
def test_a_used_up_quota_that_is_told_as_a_throttle_stops_the_batch_and_fails_no_job(begin, profile):
    night = begin(faults={"429_after": 1}, profile=profile)
    started(night)
    night.make(3)
    night.tick()
    assert (night.account.breaker, night.batch_state) == ("blocked", (BatchState.PAUSED, "blocked"))
    assert {job.attempts for job in night.jobs() if job.state == "pending"} == {0}
    night.sandbox.heal()
    night.until(lambda: night.states().get("succeeded") == 1)  # what is in flight is fetched all the same
    rows.change(night.database, tables.batches, night.batch.id, state="open", pause_reason=None)
    assert night.finish() == {"succeeded": 4}
    assert len(night.sandbox.ledger()) == 4
