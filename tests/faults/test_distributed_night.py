"""Two workers and a scheduler on servers: a worker, the broker and the scheduler are struck during the night."""

from jobs.states import State
from tests.faults import nights

JOBS = 400
FAULTS = {"exec_and_drop": 0.05, "502_after": 0.05, "429": 0.05, "fail_transient": 0.05}


def test_a_worker_and_a_scheduler_killed_and_the_broker_emptied_lose_nothing_and_pay_nothing_twice(
    install, start_sandbox, postgres_url, redis_url
):
    sandbox = start_sandbox(
        faults=FAULTS, latency=0.5, creates_per_minute=0, reads_per_minute=0, output_size=64, seed=7
    )
    night = install(
        sandbox,
        JOBS,
        database_url=postgres_url,
        broker_url=redis_url,
        max_attempts=6,
        creates_per_minute=2400,
        price=0.25,
    )
    night.remember()
    doomed, _ = night.worker(), night.worker()
    scheduler = night.scheduler()
    run = night.start("run", str(night.manifest))

    nights.eventually(lambda: night.count(State.SUCCEEDED) > JOBS // 8)
    nights.kill_group(doomed)
    nights.eventually(lambda: night.count(State.SUCCEEDED) > JOBS // 4)
    night.flush()
    nights.eventually(lambda: night.count(State.SUCCEEDED) > JOBS // 2)
    nights.kill_group(scheduler)
    night.scheduler()

    assert run.wait(timeout=200) == 0, night.words()
    night.worker()  # in place of the dead one, whose half-fetched files it removes
    nights.eventually(lambda: not list(night.output.rglob(".*")))
    report = night.check()
    assert report.clean, str(report)
    failed_there = [line for line in sandbox.ledger() if line["fate"] == "fail_transient"]
    assert len(failed_there) > 5, "the faults were on"
    assert (report.jobs, report.accepted) == (JOBS, JOBS + len(failed_there))
    assert night.accounts() == 1, "all processes share one account's row"
