"""The embedded run against a hostile API: nothing lost, nothing paid twice. `test_chaos` kills it as well."""

import subprocess

import pytest

from tests.faults import nights

FAULTS = {"exec_and_drop": 0.05, "502_after": 0.05, "429": 0.05, "fail_transient": 0.05}


def test_five_hundred_jobs_on_a_faulty_api_all_succeed_and_are_paid_once(begin, start_sandbox):
    sandbox = start_sandbox(faults=FAULTS, creates_per_minute=0, reads_per_minute=0, output_size=64, seed=7)
    night = begin(sandbox, jobs=500, max_attempts=6, creates_per_minute=2400, price=0.25)
    night.remember()

    code = night.run(seconds=600)

    assert code == 0, night.words()
    report = night.check()
    assert report.clean, str(report)
    assert report.jobs == 500
    failed_there = [line for line in sandbox.ledger() if line["fate"] == "fail_transient"]
    assert len(failed_there) > 5, "the faults were on"
    assert report.accepted == 500 + len(failed_there)


def test_an_api_that_lists_but_takes_no_creates_fails_no_job(begin, start_sandbox):
    sandbox = start_sandbox(
        faults={"502_before": 1.0}, creates_per_minute=0, reads_per_minute=0, output_size=64
    )
    night = begin(sandbox, jobs=40, time_scale=0.02)

    child = night.start("run", str(night.manifest))
    nights.eventually(lambda: "API away" in night.words() or child.poll() is not None)
    # Long enough for five sends of one job to be lost and found absent, which would fail it if each were counted.
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(timeout=25)
    sandbox.heal()

    assert child.wait(timeout=200) == 0, night.words()
    report = night.check()
    assert report.clean, str(report)
    assert report.accepted == 40
