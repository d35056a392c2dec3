"""Each profile as a client meets it, and our own worker's night with it."""

import contextlib

import httpx
import pytest

from tests.integration.rehearsal import data_uri, eventually

VERSION = "b2" * 32


def create(client, seed=1, **inputs):
    document = {"version": VERSION, "input": {"image": data_uri(), "seed": seed} | inputs}
    return client.post("/predictions", json=document)


def test_a_gateway_has_no_list_no_cancel_and_no_files(start_sandbox):
    sandbox = start_sandbox(profile="gateway")
    with sandbox.client() as client:
        made = create(client).json()["id"]
        assert client.get(f"/predictions/{made}").json()["status"] == "succeeded"
        for answer in (
            client.get("/predictions"),
            client.post(f"/predictions/{made}/cancel"),
            client.get("/files"),
            client.post("/files", files={"content": ("a.png", b"bytes", "image/png")}),
        ):
            assert answer.status_code == 404
            assert answer.json()["error"]["message"].startswith("Invalid URL (")


def test_a_gateway_words_its_errors_as_one_api_does(start_sandbox):
    sandbox = start_sandbox(profile="gateway", creates_per_minute=6)
    with sandbox.client() as client:
        refused = create(client, num_outputs=99)
        assert refused.status_code == 422
        assert refused.json().keys() == {"error"}
        assert refused.json()["error"].keys() == {"message", "type", "param", "code"}
        throttled = create(client)
        assert (throttled.status_code, throttled.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert "retry-after" not in throttled.headers


def test_a_gateway_forbids_what_cannot_be_paid_for(start_sandbox):
    sandbox = start_sandbox(profile="gateway", faults={"402_after": 0})
    with sandbox.client() as client:
        answer = create(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_user_quota")
        sandbox.faults(**{"401_after": 0})
        assert (create(client).status_code, create(client).json()["error"]["code"]) == (
            401,
            "invalid_api_key",
        )


def test_a_gateway_names_another_host_for_its_predictions(start_sandbox):
    with start_sandbox(profile="gateway").client() as client:
        made = client.get(f"/predictions/{create(client).json()['id']}").json()
    assert made["urls"] == {
        "get": f"https://predictions.invalid/v1/predictions/{made['id']}",
        "cancel": f"https://predictions.invalid/v1/predictions/{made['id']}/cancel",
    }


def test_a_gateway_answers_a_create_with_an_id_and_a_status(start_sandbox):
    with start_sandbox(profile="gateway").client() as client:
        answer = create(client)
    assert answer.status_code == 200
    assert answer.json().keys() == {"id", "status"}


def test_a_hostile_api_lags_shuffles_rewrites_and_accepts_late(start_sandbox):
    plain = dict.fromkeys(("drip", "stale", "undated", "get_odd"), 0)
    sandbox = start_sandbox(profile="hostile", faults=plain, late=0.2, lag=1, creates_per_minute=0)
    with sandbox.client(timeout=1) as client:
        for seed in range(60):
            with contextlib.suppress(httpx.TransportError):
                create(client, seed)
        eventually(lambda: {line["fault"] for line in sandbox.ledger()} > {"late_exec", None})
        eventually(lambda: len(listed(client)) == len(sandbox.ledger()))
        shown = listed(client)
    assert all("safety_tolerance" in prediction["input"] for prediction in shown)
    created = [prediction["created_at"] for prediction in shown]
    assert created != sorted(created, reverse=True)


def listed(client):
    """The first page of a list that may falter."""

    def answered():
        with contextlib.suppress(httpx.TransportError):
            answer = client.get("/predictions")
            return answer if answer.is_success else None

    return eventually(answered).json()["results"]


@pytest.mark.parametrize(
    "faults",
    [
        {"vanish:while": 1},
        {"list_lag": 1, "late_exec": 0.5},
        {"list_shuffle": 1, "exec_and_drop": 0.5},
        {"rewritten": 1, "exec_and_drop": 0.5},
        {"redirect:once": 1},
        {"terse:always": 1},
        {"inline": 1},
        {"inline": 1, "no_list:404": 1},
        {"flagged:fewer": 1},
        {"blacked_out:others": 1},
        {"no_list:405": 1},
        {"list_bare": 1},
        {"429_odd:text": 0.5},
        {"drip": 0.2},
        {"stale": 0.1},
        {"other_version": 1},
        {"other_version": 1, "exec_and_drop": 0.5},
        {"early_output": 1},
        {"early_output": 1, "inline": 1},
        {"undated:ended": 1},
        {"undated:always": 1, "exec_and_drop": 0.5},
        {"unknown_status": 1, "exec_and_drop": 0.5},
    ],
    ids=" ".join,
)
def test_a_night_ends_with_every_image_bought_once(begin_night, start_sandbox, faults):
    sandbox = start_sandbox(faults=faults, lag=0.3, late=0.2, wait=0.1, seed=3)
    night = begin_night(sandbox, post_deadline="1s", lease="4s")
    night.make(6)
    assert night.finish() == {"succeeded": 6}
    assert len(sandbox.ledger()) == 6


def test_a_night_at_a_gateway_ends_with_every_image_bought_once(begin_night, start_sandbox):
    sandbox = start_sandbox(profile="gateway")
    night = begin_night(sandbox)
    night.make(4)
    assert night.finish() == {"succeeded": 4}
    assert len(sandbox.ledger()) == 4
