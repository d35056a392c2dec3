"""The sandbox as a process: what survives its end, and what ends it."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.integration.rehearsal import data_uri, eventually, fetch

VERSION = "c3" * 32


def create(client, seed=1, headers=None):
    document = {"version": VERSION, "input": {"image": data_uri(), "seed": seed}}
    return client.post("/predictions", json=document, headers=headers)


def test_a_kill_and_a_restart_keep_predictions_cancels_files_and_pictures(start_sandbox):
    sandbox = start_sandbox(latency=500)
    with sandbox.client() as client:
        kept, canceled = create(client, 1).json()["id"], create(client, 2).json()["id"]
        client.post(f"/predictions/{canceled}/cancel")
        file = client.post("/files", files={"content": ("a.png", b"bytes", "image/png")}).json()
    before = sandbox.ledger()
    sandbox.options["latency"] = 0
    sandbox.restart()
    with sandbox.client() as client:
        assert client.get(f"/predictions/{kept}").json()["status"] in {"starting", "processing"}
        assert client.get(f"/predictions/{canceled}").json()["status"] == "canceled"
        assert client.get(f"/files/{file['id']}").json()["size"] == 5
        done = client.get(f"/predictions/{create(client, 3).json()['id']}").json()
        sandbox.restart()
    with sandbox.client() as client:
        again = client.get(f"/predictions/{done['id']}").json()
        assert fetch(again["output"][0]).content.startswith(b"\x89PNG")
        listed = [prediction["id"] for prediction in client.get("/predictions").json()["results"]]
    assert listed == [done["id"], canceled, kept]
    assert sandbox.ledger()[:2] == before


def test_a_torn_last_line_is_forgotten_and_the_rest_kept(start_sandbox):
    sandbox = start_sandbox()
    with sandbox.client() as client:
        kept = create(client, 1).json()["id"]
    sandbox.stop(signal.SIGKILL)
    with (sandbox.state / "ledger.jsonl").open("ab") as ledger:
        ledger.write(b'{"id": "torn off by a ki')
    sandbox.start()
    with sandbox.client() as client:
        later = create(client, 2).json()["id"]
    assert [line["id"] for line in sandbox.ledger()] == [kept, later]


def test_a_damaged_line_inside_the_ledger_is_one_sentence(start_sandbox):
    sandbox = start_sandbox()
    sandbox.stop()
    (sandbox.state / "ledger.jsonl").write_text("no json\n")
    ended = run("--state", str(sandbox.state))
    assert ended.returncode == 2
    assert ended.stderr == f"sandbox: {sandbox.state}/ledger.jsonl: line 1 is damaged; use another folder.\n"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ledger", '{"identity": "of a release that wrote less"}'),
        ("ledger", '"a word"'),
        ("events", '{"event": "cancel", "id": "in a ledger that was deleted", "t": 1.0}'),
        ("events", '{"event": "of a later release"}'),
    ],
)
def test_a_line_that_makes_no_sense_is_one_sentence(tmp_path, name, line):
    (tmp_path / f"{name}.jsonl").write_text(f"{line}\n")
    ended = run("--state", str(tmp_path))
    assert ended.returncode == 2
    assert ended.stderr == f"sandbox: {tmp_path}/{name}.jsonl: line 1 is damaged; use another folder.\n"


def test_attempts_are_counted_across_a_restart(start_sandbox):
    options = {"faults": {"502_before": 0.5}, "seed": 3}
    alone, restarted = start_sandbox(**options), start_sandbox(**options)
    with alone.client() as client:
        expected = [create(client).status_code for _ in range(12)]
    with restarted.client() as client:
        seen = [create(client).status_code for _ in range(6)]
    restarted.restart()
    with restarted.client() as client:
        seen += [create(client).status_code for _ in range(6)]
    assert seen == expected
    assert {201, 502} == set(seen)


def test_a_create_that_is_accepted_late_is_so_after_a_kill_and_a_restart(start_sandbox):
    sandbox = start_sandbox(faults={"late_exec": 1}, late=1)
    for _ in range(2):
        with sandbox.client() as client:
            assert create(client).status_code == 504
        sandbox.restart()
    with sandbox.client() as client:
        eventually(lambda: len(client.get("/predictions").json()["results"]) == 2)
        sandbox.restart()
        sandbox.heal()
    with sandbox.client() as client:
        assert create(client).status_code == 201
    lines = [(line["fault"], line["attempt"]) for line in sandbox.ledger()]
    assert lines == [("late_exec", 0), ("late_exec", 1), (None, 2)]
    assert "base64" not in (sandbox.state / "events.jsonl").read_text()


def test_a_kill_and_a_restart_leave_the_faults_as_they_were_switched(start_sandbox):
    sandbox = start_sandbox(faults={"502_before": 1})
    sandbox.heal()
    sandbox.faults(nsfw=0.5)
    sandbox.restart()
    assert sandbox.faults() == {"nsfw": 0.5}
    sandbox.options["faults"] = {"502_before": 0.5}
    sandbox.restart()
    assert sandbox.faults() == {"502_before": 0.5}, "what is typed anew holds"


def test_the_time_until_all_faults_are_off_goes_on_through_a_restart(start_sandbox):
    sandbox = start_sandbox(faults={"502_before": 1}, heal_after=1)
    eventually(lambda: sandbox.faults() == {})
    sandbox.restart()
    assert sandbox.faults() == {}


def test_an_outage_from_the_first_call_on_that_is_over_does_not_come_back_with_a_restart(start_sandbox):
    sandbox = start_sandbox(faults={"outage:5xx": 0}, outage=0.5)
    for _ in range(2):
        with sandbox.client() as client:
            eventually(lambda client=client: create(client).status_code == 201)
        sandbox.restart()
    with sandbox.client() as client:
        assert create(client).status_code == 201


def test_a_second_sandbox_on_the_same_state_is_refused(start_sandbox):
    sandbox = start_sandbox()
    ended = run("--state", str(sandbox.state))
    assert ended.returncode == 2
    assert ended.stderr == f"sandbox: {sandbox.state} is the state of a sandbox that is still running.\n"


def test_a_taken_port_ends_with_69(start_sandbox, tmp_path):
    port = start_sandbox().url.removesuffix("/v1").rpartition(":")[2]
    ended = run("--state", str(tmp_path / "other"), "--port", port)
    assert ended.returncode == 69
    assert "Address already in use" in ended.stderr


def run(*arguments):
    command = [sys.executable, "-m", "sandbox", "--port", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_though_connections_are_open_and_held(start_sandbox, number, capfd):
    sandbox = start_sandbox(faults={"exec_and_timeout": 1})
    with sandbox.client() as idle, sandbox.client() as held, ThreadPoolExecutor(1) as pool:
        idle.get("/account")
        answer = pool.submit(create, held)
        eventually(sandbox.ledger)
        assert not answer.done()
        assert sandbox.stop(number) == 0
        assert answer.exception() or answer.result().status_code == 500
    assert capfd.readouterr().err == ""


def test_it_ends_when_its_parent_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        url = parent.stdout.readline().split()[-1]
        assert fetch(url).status_code == 404
        parent.kill()
    eventually(lambda: is_gone(url))


# Passes on the sandbox's line, so that it is up before anyone is killed.
PARENT = """
import os, subprocess, sys
command = [sys.executable, "-m", "sandbox", "--port", "0", "--state", sys.argv[1], "--parent-pid", str(os.getpid())]
child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), flush=True)
child.wait()
"""


def is_gone(url):
    try:
        fetch(url)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        return False  # Caught in its closing: only a refused connection says that nobody listens.
    return False
