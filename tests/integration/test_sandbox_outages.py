"""The sandbox when it is away or throttles, and when it comes to itself."""

import time

import httpx
import pytest

from tests.integration.rehearsal import data_uri, eventually

VERSION = "b2" * 32


def create(client, seed=1, headers=None):
    document = {"version": VERSION, "input": {"image": data_uri(), "seed": seed}}
    return client.post("/predictions", json=document, headers=headers)


@pytest.mark.parametrize(
    ("kind", "header", "field", "words"),
    [
        ("seconds", "1", None, ""),
        ("field", None, 1, ""),
        ("text", None, None, " Expected available in 1 seconds."),
        ("none", None, None, ""),
        ("absurd", "86400", None, ""),
        ("negative", "-1", None, ""),
    ],
)
def test_a_throttle_says_in_one_place_only_how_long_to_wait(start_sandbox, kind, header, field, words):
    sandbox = start_sandbox(faults={f"429_odd:{kind}": 1})
    with sandbox.client() as client:
        answer = create(client)
    assert answer.status_code == 429
    assert answer.headers.get("retry-after") == header
    assert answer.json().get("retry_after") == field
    assert answer.json()["detail"] == f"Request was throttled.{words}"
    assert sandbox.ledger() == []


def test_a_throttle_may_give_a_date(start_sandbox):
    with start_sandbox(faults={"429_odd:date": 1}).client() as client:
        assert create(client).headers["retry-after"].endswith(" GMT")


def test_a_throttle_asks_for_fractions_where_time_passes_faster(start_sandbox):
    with start_sandbox(faults={"429": 1}, wait=0.25).client() as client:
        assert create(client).json()["retry_after"] == 0.25


@pytest.mark.parametrize("fault", ["429", "429_odd:seconds", "429_odd:date", "429_odd:field", "429_odd:text"])
def test_a_client_that_comes_back_too_early_is_throttled_again_until_the_time_given(start_sandbox, fault):
    sandbox = start_sandbox(faults={fault: 1}, wait=600)
    stranger = {"authorization": "Bearer another"}
    with sandbox.client() as client:
        assert create(client).status_code == 429
        sandbox.faults(**{fault: 0.001})
        again = [create(client, job) for job in range(2, 5)]
        assert [answer.status_code for answer in again] == [429] * 3
        assert all(answer.json()["retry_after"] >= 600 for answer in again)
        assert create(client, 5, headers=stranger).status_code == 201
        assert client.get("/predictions").status_code == 200
        sandbox.heal()
        assert create(client).status_code == 201


def test_a_client_that_waits_as_long_as_it_is_told_is_served(start_sandbox):
    sandbox = start_sandbox(faults={"429": 1}, wait=0.3)
    with sandbox.client() as client:
        wait = create(client).json()["retry_after"]
        sandbox.faults(**{"429": 0.001})
        time.sleep(wait)
        assert create(client).status_code == 201


@pytest.mark.parametrize("kind", ["none", "absurd", "negative"])
def test_a_throttle_that_says_nothing_sensible_holds_nobody(start_sandbox, kind):
    sandbox = start_sandbox(faults={f"429_odd:{kind}": 1}, wait=600)
    with sandbox.client() as client:
        assert create(client).status_code == 429
        sandbox.faults(**{f"429_odd:{kind}": 0.001})
        assert create(client).status_code == 201


def test_a_throttle_out_of_turn_tells_of_no_room_and_is_worded_as_the_profile_does(start_sandbox):
    with start_sandbox(faults={"429": 1}).client() as client:
        assert "ratelimit-remaining" not in create(client).headers
    with start_sandbox(faults={"429": 1}, profile="gateway").client() as client:
        assert create(client).json()["error"]["code"] == "rate_limit_exceeded"


def test_once_credit_is_low_six_creates_a_minute_are_sold_and_no_two_at_once(start_sandbox):
    sandbox = start_sandbox(faults={"low_credit_after": 3})
    with sandbox.client() as client:
        assert [create(client, job).status_code for job in range(5)] == [201, 201, 201, 201, 429]
        answer = create(client, 5)
        wait = answer.json()["retry_after"]
        assert 1 <= wait <= 10
        assert answer.headers["retry-after"] == str(wait)
        assert answer.headers["ratelimit-remaining"] == "0"
        told = answer.json()["detail"]
        assert "credit is low, you have 6 requests per minute with a burst of 1 request." in told
        assert told.endswith(f" resets in ~{wait}s.")
        assert client.get("/predictions").status_code == 200
        sandbox.heal()
        assert [create(client, job).status_code for job in (5, 6)] == [201, 201]
    assert len(sandbox.ledger()) == 6


def test_an_outage_begins_at_its_count_and_spares_nothing(start_sandbox):
    sandbox = start_sandbox(faults={"outage:5xx": 2}, outage=600)
    with sandbox.client() as client:
        assert [create(client, job).status_code for job in range(4)] == [201, 201, 503, 503]
        assert client.get("/predictions").status_code == 503
        assert client.get("/account").status_code == 503
    assert len(sandbox.ledger()) == 2


def test_an_outage_ends_after_its_time_and_does_not_come_back_with_a_restart(start_sandbox):
    sandbox = start_sandbox(faults={"outage:5xx": 1}, outage=5)
    with sandbox.client() as client:
        assert [create(client, job).status_code for job in range(2)] == [201, 503]
        eventually(lambda: create(client, 1).status_code == 201)
    sandbox.restart()
    with sandbox.client() as client:
        assert create(client, 2).status_code == 201


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        # An end, or a reset if the end of the call was still on its way.
        ("refuse", (httpx.RemoteProtocolError, httpx.NetworkError)),
        ("hang", httpx.ReadTimeout),
    ],
)
def test_an_outage_lasts_until_it_is_healed(start_sandbox, kind, raised):
    sandbox = start_sandbox()
    with sandbox.client() as client, sandbox.client(timeout=2) as hasty:
        assert create(client).status_code == 201
        sandbox.faults(**{f"outage:{kind}": 0})
        with pytest.raises(raised):
            create(hasty)
        sandbox.heal()
        assert create(client).status_code == 201
    assert len(sandbox.ledger()) == 2


def test_an_outage_that_is_switched_on_lasts_its_time_from_then_on(start_sandbox):
    sandbox = start_sandbox(outage=1)
    with sandbox.client() as client:
        assert create(client).status_code == 201
        sandbox.faults(**{"outage:5xx": 0})
        assert create(client).status_code == 503
        eventually(lambda: create(client).status_code == 201)


def test_an_outage_that_is_over_does_not_come_back_with_another_fault(start_sandbox):
    sandbox = start_sandbox(faults={"outage:5xx": 0}, outage=0.5)
    with sandbox.client() as client:
        eventually(lambda: create(client).status_code == 201)
        sandbox.faults(nsfw=0.5)
        assert create(client).status_code == 201


def test_after_its_time_every_fault_is_off_and_the_profile_stays(start_sandbox):
    sandbox = start_sandbox(profile="gateway", faults={"502_before": 1}, heal_after=1)
    with sandbox.client() as client:
        assert create(client).status_code == 502
        eventually(lambda: create(client).status_code == 200)
        assert client.get("/predictions").status_code == 404
