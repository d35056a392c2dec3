"""`overnight worker`, `overnight scheduler` and a distributed `run`: how they start, refuse to start, and end."""

import json
import os
import re
import signal
import socket
import stat
from pathlib import Path

import pytest
import redis

from jobs import batches
from jobs.lanes import Lane
from jobs.states import State
from tests import factory
from tests.faults import processes
from tests.integration import rehearsal
from tests.integration.place import CELERYS, NOBODY
from worker import app
from worker.transfers import storing


@pytest.fixture
def hanging_api():
    """An API that takes connections and never answers; the connections that were made."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def refused(ended, code, *said):
    """Check that a command ended with one line and a code."""
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    for words in said:
        assert words in ended.stderr


@pytest.mark.parametrize("command", ["worker", "scheduler"])
class TestStart:
    def test_needs_a_broker(self, command, place):
        refused(place.overnight(command, broker_url=None), 2, "OVERNIGHT_BROKER_URL=redis://")

    def test_serves_no_sandbox_that_only_a_run_starts(self, command, place):
        ended = place.overnight(command, api_url="sandbox", database_url=None)
        refused(ended, 2, f"a {command} cannot serve --api sandbox", "start `overnight sandbox`")

    def test_needs_postgresql(self, command, place):
        refused(place.overnight(command, database_url="sqlite:///night.db"), 2, "need PostgreSQL")

    def test_says_in_one_line_that_the_broker_is_away(self, command, place):
        refused(place.overnight(command, broker_url=NOBODY), 69, "broker redis://127.0.0.1:1/0", "refused")

    def test_says_in_one_line_that_the_broker_does_not_answer(self, command, place, hanging_api):
        silent = hanging_api.replace("http", "redis").replace("/v1", "/0")
        refused(place.overnight(command, broker_url=silent), 69, f"broker {silent}")

    def test_says_in_one_line_that_the_database_is_away(self, command, place):
        url = "postgresql://me:secret@127.0.0.1:1/night"
        ended = place.overnight(command, database_url=url)
        refused(ended, 69, "database postgresql+psycopg://me:***@127.0.0.1:1/night", "refused")

    def test_needs_the_schema(self, command, place, empty_postgres_url):
        refused(place.overnight(command, database_url=empty_postgres_url), 69, "overnight db upgrade")


def test_a_worker_needs_a_token(place):
    refused(place.overnight("worker", api_token=None), 2, "no token for 127.0.0.1")


@pytest.mark.parametrize(
    "command", [("overnight", "worker"), ("overnight", "scheduler"), *CELERYS.values()], ids=" ".join
)
def test_a_rehearsals_times_at_a_real_api_are_warned_of_by_whoever_goes_by_them(command, place):
    place.start(*command, api_url="https://api.example.invalid/v1")
    place.says("overnight: warning: OVERNIGHT_TIME_SCALE is 0.05, which is for rehearsals")


def test_a_worker_makes_the_output_folder_for_itself_alone(place):
    place.output.rmdir()
    place.start("overnight", "worker", "--concurrency=1")
    rehearsal.eventually(place.enrolled)
    assert stat.S_IMODE(place.output.stat().st_mode) == 0o700


def test_a_worker_makes_no_output_folder_anew_that_had_images(place):
    with place.database() as db:
        factory.make_job(db, factory.make_batch(db), state=State.SUCCEEDED)
    place.output.rmdir()
    refused(place.overnight("worker"), 69, "mount its disk, if images were stored in it before, or make it")
    assert not place.output.exists()


def test_a_worker_needs_an_output_folder_that_takes_files(place):
    # Whoever is root may write anywhere but here.
    refused(place.overnight("worker", output="/proc"), 69, "output folder /proc cannot be written to")


def test_a_run_says_that_the_broker_is_away_before_it_loads_anything(place):
    ended = place.overnight("run", place.manifest(1), broker_url=NOBODY)
    assert ended.returncode == 69
    assert ended.stderr.splitlines()[-1].startswith(f"overnight: broker {NOBODY}: ")
    assert place.states() == {}


@pytest.mark.parametrize("command", [("overnight", "worker", "--concurrency=1"), CELERYS["worker"]])
def test_a_worker_makes_its_account_known_before_there_is_any_work(command, place):
    worker = place.start(*command)
    rehearsal.eventually(place.enrolled)
    assert worker.poll() is None


def test_a_worker_takes_over_from_one_of_another_account_that_is_gone(place):
    place.start("overnight", "worker", "--concurrency=1")
    [first] = rehearsal.eventually(place.enrolled)
    other = place.start("overnight", "worker", "--concurrency=1", api_token="another")
    rehearsal.eventually(lambda: place.buying() not in ([], [first]))
    os.killpg(other.pid, signal.SIGKILL)
    rehearsal.eventually(lambda: place.buying() == [first])
    place.says("accounts-taken-up")


@pytest.mark.parametrize("scheduler", [("overnight", "scheduler"), CELERYS["beat"]])
@pytest.mark.parametrize("worker", [("overnight", "worker"), ("celery", "-A", "worker.app", "worker")])
def test_a_batch_is_worked_off_by_our_commands_and_by_celerys(worker, scheduler, place, start_sandbox):
    sandbox = start_sandbox(output_size=64)
    place.settings["OVERNIGHT_API_URL"] = sandbox.url
    place.start(*worker, "--concurrency=2")
    place.start(*scheduler)

    ended = place.overnight("run", place.manifest(10))

    assert ended.returncode == 0, ended.stderr
    assert len(sandbox.ledger()) == 10
    assert sandbox.token not in place.words.read_text()


def test_a_message_is_json_under_our_prefix_in_the_queue_of_its_lane(place, start_sandbox):
    place.settings["OVERNIGHT_API_URL"] = start_sandbox().url
    worker = place.start("overnight", "worker", "--concurrency=1")
    rehearsal.eventually(place.enrolled)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    place.start("overnight", "scheduler")
    place.start("overnight", "run", place.manifest(3))

    with redis.Redis.from_url(place.settings["OVERNIGHT_BROKER_URL"]) as client:
        waiting = rehearsal.eventually(lambda: client.lrange(f"overnight:{Lane.SUBMIT}", 0, -1))
        keys = {key.decode() for key in client.scan_iter()}
    message = json.loads(waiting[0])
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == Lane.SUBMIT
    assert all(key.startswith("overnight:") for key in keys)


def test_a_worker_says_that_the_broker_serves_another_database_too_and_tells_that_one(place):
    place.overnight("load", place.manifest(1))
    with redis.Redis.from_url(place.settings["OVERNIGHT_BROKER_URL"]) as client:
        client.set("overnight:database", "another")
        place.start("overnight", "worker", "--concurrency=1")
        place.says("serves another overnight database too")
        with place.database() as db, db.read() as tx:
            ours = batches.first(tx)
        assert client.get("overnight:database").decode() == ours
        assert client.ttl("overnight:database") > 0


def test_lanes_are_served_in_their_order_whatever_came_first(place, start_sandbox):
    place.settings["OVERNIGHT_API_URL"] = start_sandbox().url
    with pytest.MonkeyPatch.context() as patch:
        for name, text in place.settings.items():
            patch.setenv(name, text)
        from jobs import settings

        sender = app.create(settings.load())
    for lane in reversed(Lane):
        for _ in range(3):
            sender.send_task(f"unknown-{lane}", queue=lane)
    place.start("overnight", "worker", "--concurrency=1")

    def refused_by_celery():
        return re.findall(r"unregistered task of type 'unknown-(\w+)'", place.words.read_text())

    rehearsal.eventually(lambda: len(refused_by_celery()) == 3 * len(Lane))
    assert refused_by_celery() == [lane for lane in Lane for _ in range(3)]


def test_a_worker_that_is_asked_to_end_leaves_nothing_to_rescue(place, start_sandbox):
    sandbox = start_sandbox(latency=0.2, output_size=64, creates_per_minute=0, reads_per_minute=0)
    place.settings |= {"OVERNIGHT_API_URL": sandbox.url, "OVERNIGHT_TIME_SCALE": "1"}  # leases last a minute
    worker = place.start("overnight", "worker", "--concurrency=2")
    rehearsal.eventually(place.enrolled)
    scheduler = place.start("overnight", "scheduler")
    place.start("overnight", "run", place.manifest(300))
    rehearsal.eventually(lambda: place.states().get(State.SUCCEEDED, 0) > 10)

    scheduler.terminate()
    assert scheduler.wait(timeout=10) == 0
    with redis.Redis.from_url(place.settings["OVERNIGHT_BROKER_URL"]) as client:
        rehearsal.eventually(lambda: not any(client.llen(f"overnight:{lane}") for lane in Lane))
    worker.terminate()
    assert worker.wait(timeout=30) == 0

    assert not place.states().keys() & {State.QUEUED, State.SUBMITTING}, "nothing half-done"


def test_a_supervisor_that_asks_every_process_of_a_worker_interrupts_no_purchase(place, start_sandbox):
    sandbox = start_sandbox(
        create_seconds=3, latency=2, output_size=64, creates_per_minute=0, reads_per_minute=0
    )
    place.settings |= {"OVERNIGHT_API_URL": sandbox.url, "OVERNIGHT_TIME_SCALE": "1"}
    worker = place.start("overnight", "worker", "--concurrency=2")
    rehearsal.eventually(place.enrolled)
    place.start("overnight", "scheduler")
    place.start("overnight", "run", place.manifest(10))
    rehearsal.eventually(lambda: State.SUBMITTING in place.states())

    os.killpg(worker.pid, signal.SIGTERM)  # as systemd does

    assert worker.wait(timeout=60) == 0
    assert State.SUBMITTING not in place.states()


@pytest.mark.parametrize(
    "numbers", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGQUIT], [signal.SIGINT, signal.SIGINT]]
)
def test_a_worker_that_is_asked_twice_ends_at_once_with_its_children(numbers, place, hanging_api):
    place.settings |= {"OVERNIGHT_API_URL": hanging_api, "OVERNIGHT_TIME_SCALE": "1"}  # posts hang for 20 s
    worker = place.start("overnight", "worker", "--concurrency=1")
    rehearsal.eventually(place.enrolled)
    place.start("overnight", "scheduler")
    place.start("overnight", "run", place.manifest(5))
    rehearsal.eventually(lambda: place.states().get(State.SUBMITTING))

    for number in numbers[:-1]:
        worker.send_signal(number)
        place.says("Warm shutdown")
    worker.send_signal(numbers[-1])

    assert worker.wait(timeout=60) == 130, "a worker that ended in peace would say 0"
    rehearsal.eventually(lambda: not group_lives(worker.pid))


def test_the_children_of_a_killed_worker_do_not_outlive_it(place):
    worker = place.start("overnight", "worker", "--concurrency=2")
    rehearsal.eventually(place.enrolled)
    worker.kill()
    worker.wait()
    rehearsal.eventually(lambda: not group_lives(worker.pid))


def test_that_a_child_died_is_a_line_of_the_log_like_any_other(place):
    worker = place.start("overnight", "worker", "--concurrency=1")
    rehearsal.eventually(lambda: children(worker))
    [child] = children(worker)
    os.kill(child, signal.SIGKILL)
    place.says("exited with")
    [told] = [line for line in place.words.read_text().splitlines() if "exited with" in line]
    assert json.loads(told)["level"] == "error"


def test_what_a_child_that_was_killed_was_fetching_goes_when_another_takes_its_place(place, hanging_api):
    worker = place.start("overnight", "worker", "--concurrency=1", api_url=hanging_api)
    place.start("overnight", "scheduler", api_url=hanging_api)
    place.start("overnight", "run", place.manifest(1), "--yes", api_url=hanging_api)
    rehearsal.eventually(lambda: State.SUBMITTING in place.states())
    [child] = children(worker)
    part = place.output / f".overnight-{storing._host()}-{child}-0.part"
    part.write_text("half")
    os.kill(child, signal.SIGKILL)
    rehearsal.eventually(lambda: not part.exists())
    assert worker.poll() is None


def children(process):
    return [pid for pid in processes.members(process.pid) if pid != process.pid]


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_scheduler_ends_when_it_is_asked(number, place):
    scheduler = place.start("overnight", "scheduler")
    rehearsal.eventually(lambda: catches(scheduler.pid, signal.SIGTERM))
    scheduler.send_signal(number)
    assert scheduler.wait(timeout=10) == 0


def catches(pid, number):
    """Whether a process has a handler for a signal by now."""
    with Path(f"/proc/{pid}/status").open(encoding="ascii") as status:
        mask = next(line.split()[1] for line in status if line.startswith("SigCgt"))
    return int(mask, 16) >> (number - 1) & 1


def test_ctrl_c_leaves_a_distributed_run_and_says_that_the_work_goes_on(place, start_sandbox):
    sandbox = start_sandbox(output_size=64)
    place.settings["OVERNIGHT_API_URL"] = sandbox.url
    run = place.start("overnight", "run", place.manifest(20))
    rehearsal.eventually(place.states)
    place.says("0 of 20 ended")

    run.send_signal(signal.SIGINT)

    assert run.wait(timeout=10) == 130
    place.says("the scheduler and the workers go on; to watch again: overnight run night")
    place.start("overnight", "worker")
    place.start("overnight", "scheduler")
    rehearsal.eventually(lambda: place.states() == {State.SUCCEEDED: 20})


def test_a_run_that_nobody_works_for_says_so(place):
    place.start("overnight", "run", place.manifest(5))
    place.says("no worker has ever run; start `overnight worker` and `overnight scheduler`")


def test_a_probe_says_whether_the_work_goes_on(place):
    for command in ("worker", "scheduler"):
        assert place.overnight(command, "--probe").returncode == 0, "nothing is due"

    place.start("overnight", "run", place.manifest(5))
    worker = place.start("overnight", "worker")
    rehearsal.eventually(lambda: place.enrolled() and place.states())
    os.killpg(worker.pid, signal.SIGKILL)

    ended = rehearsal.eventually(lambda: still(place.overnight("worker", "--probe")))
    refused(
        ended,
        69,
        "night: nobody has worked on it since",
        "start `overnight scheduler` and `overnight worker`",
    )
    assert place.overnight("scheduler", "--probe").returncode == 69


def still(ended):
    return ended if ended.returncode else None
