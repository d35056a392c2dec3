"""The sandbox's faults as a client meets them, and what the ledger says of each."""

import contextlib
import io

import httpx
import pytest
from PIL import Image

from tests.integration.rehearsal import data_uri, eventually, fetch

VERSION = "b2" * 32


def create(client, seed=1, headers=None, **inputs):
    document = {"version": VERSION, "input": {"image": data_uri(), "seed": seed} | inputs}
    return client.post("/predictions", json=document, headers=headers)


def made(client, seed=1, **inputs):
    """The prediction as it stands at the first read after its creation."""
    return client.get(f"/predictions/{create(client, seed, **inputs).json()['id']}").json()


@pytest.mark.parametrize(
    ("fault", "raised", "accepted"),
    [
        ("refuse", httpx.RemoteProtocolError, 0),
        ("exec_and_drop", httpx.RemoteProtocolError, 1),
        ("exec_and_reset", httpx.ReadError, 1),
        ("exec_and_timeout", httpx.ReadTimeout, 1),
    ],
)
def test_an_answer_is_lost_on_the_wire(start_sandbox, fault, raised, accepted):
    sandbox = start_sandbox(faults={fault: 1})
    with sandbox.client(timeout=2) as client, pytest.raises(raised):
        create(client)
    assert [line["fault"] for line in sandbox.ledger()] == [fault] * accepted
    assert sandbox.stats()["statuses"] == {"0": 1}, "none"


@pytest.mark.parametrize(
    ("fault", "status", "accepted"),
    [("502_before", 502, 0), ("502_after", 502, 1), ("html200", 200, 0)],
)
def test_an_answer_is_a_page(start_sandbox, fault, status, accepted):
    sandbox = start_sandbox(faults={fault: 1})
    with sandbox.client() as client:
        answer = create(client)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert len(sandbox.ledger()) == accepted


def test_a_throttle_out_of_turn_is_not_accepted(start_sandbox):
    sandbox = start_sandbox(faults={"429": 1})
    with sandbox.client() as client:
        answer = create(client)
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["retry_after"]) == (429, "1", 1)
    assert sandbox.ledger() == []


def test_broken_json_and_an_object_without_an_id_are_accepted_all_the_same(start_sandbox):
    sandbox = start_sandbox(faults={"bad_json": 1})
    with sandbox.client() as client:
        broken = create(client)
        assert broken.status_code == 201
        with pytest.raises(ValueError, match=r"line 1 column"):
            broken.json()
        sandbox.heal()
        sandbox.faults(no_id=1)
        assert "id" not in create(client).json()
    assert [line["fault"] for line in sandbox.ledger()] == ["bad_json", "no_id"]


def test_a_connection_that_was_kept_is_reset_as_the_next_call_arrives(start_sandbox):
    sandbox = start_sandbox(faults={"stale": 1})
    with sandbox.client() as client:
        bought = create(client).json()
        with pytest.raises(httpx.ReadError):
            create(client, seed=2)
        for path in (f"/predictions/{bought['id']}", "/predictions"):
            found = client.get(path)  # by a new connection
            assert found.status_code == 200
            with pytest.raises(httpx.ReadError):
                client.get(path)
        [output] = client.get(f"/predictions/{bought['id']}").json()["output"]
        with pytest.raises(httpx.ReadError):
            client.get(output)
        assert client.get(output).content.startswith(b"\x89PNG")
    assert len(sandbox.ledger()) == 1


def test_how_a_job_fares_does_not_depend_on_the_connections_that_a_client_keeps(start_sandbox):
    faults = {"stale": 0.5, "502_before": 0.3, "502_after": 0.3}
    keeping, closing = start_sandbox(faults=faults), start_sandbox(faults=faults)
    with keeping.client() as kept, closing.client() as closed:
        closed.headers["connection"] = "close"
        assert [insisted(kept) for _ in range(20)] == [insisted(closed) for _ in range(20)]
    assert keeping.stats()["statuses"]["0"] > 0, "nothing was reset"


def insisted(client):
    """The status of a create that is sent until its connection is not reset."""
    while True:
        with contextlib.suppress(httpx.ReadError):
            return create(client).status_code


def test_a_late_create_is_accepted_after_its_504(start_sandbox):
    sandbox = start_sandbox(faults={"late_exec": 1}, late=5)
    with sandbox.client() as client:
        assert create(client, seed=5).status_code == 504
        assert client.get("/predictions").json()["results"] == []
        found = eventually(lambda: client.get("/predictions").json()["results"])
    assert found[0]["input"]["seed"] == 5
    assert [line["fault"] for line in sandbox.ledger()] == ["late_exec"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("fail_transient", "failed"), ("nsfw", "failed"), ("oom", "failed"), ("aborted", "aborted")],
)
def test_a_prediction_ends_badly(start_sandbox, fault, status):
    sandbox = start_sandbox(faults={fault: 1})
    with sandbox.client() as client:
        ended = made(client)
    assert (ended["status"], ended["output"]) == (status, None)
    assert sandbox.ledger()[0]["fate"] == fault


@pytest.mark.parametrize(("fault", "left"), [("flagged:fewer", 1), ("flagged:none", 0)])
def test_the_safety_check_drops_outputs_of_what_has_succeeded(start_sandbox, fault, left):
    with start_sandbox(faults={fault: 1}).client() as client:
        ended = made(client, num_outputs=3)
    assert (ended["status"], len(ended["output"])) == ("succeeded", left)


def test_a_terse_api_shows_an_id_a_status_and_what_there_is_of_an_output(start_sandbox):
    with start_sandbox(faults={"terse:always": 1}).client() as client:
        created = create(client).json()
        assert created.keys() == {"id", "status"}
        single = client.get(f"/predictions/{created['id']}").json()
        assert single.keys() == {"id", "status", "output"}
        assert single["output"].startswith("http://")
        assert len(made(client, num_outputs=2)["output"]) == 2


def test_outputs_are_data_uris_of_what_their_urls_would_serve(start_sandbox):
    sandbox = start_sandbox()
    with sandbox.client() as client:
        ended = made(client, num_outputs=2)
        urls = ended["output"]
        sandbox.faults(inline=1)
        inlined = [data_uri(fetch(url).content) for url in urls]
        assert client.get(f"/predictions/{ended['id']}").json()["output"] == inlined
        assert client.get("/predictions").json()["results"][0]["output"] == inlined
        sandbox.faults(**{"terse:always": 1})
        assert made(client, seed=2)["output"].startswith("data:image/png;base64,")


def test_a_stuck_prediction_runs_until_it_is_canceled(start_sandbox):
    with start_sandbox(faults={"stuck": 1}).client() as client:
        stuck = made(client)
        assert stuck["status"] == "processing"
        assert client.post(f"/predictions/{stuck['id']}/cancel").json()["status"] == "canceled"


def test_an_end_that_no_client_knows_lasts_and_has_its_outputs(start_sandbox):
    with start_sandbox(faults={"unknown_end": 1}).client() as client:
        ended = made(client)
        canceled = client.post(f"/predictions/{ended['id']}/cancel").json()
    assert (ended["status"], canceled["status"]) == ("completed", "completed")
    assert ended["completed_at"]
    assert fetch(ended["output"][0]).content.startswith(b"\x89PNG")


def test_outputs_are_listed_early_and_are_there_at_the_end(start_sandbox):
    sandbox = start_sandbox(faults={"early_output": 1, "expire_url:removed": 1}, latency=60)
    with sandbox.client() as client:
        created = create(client).json()
        running = eventually(lambda: as_processing(client, created["id"]))
        assert (created["output"], running["data_removed"]) == (None, False)
        assert fetch(running["output"][0]).status_code == 404


def as_processing(client, prediction_id):
    shown = client.get(f"/predictions/{prediction_id}").json()
    return shown if shown["status"] == "processing" else None


@pytest.mark.parametrize(("kind", "shown"), [("other", "0" * 64), ("hidden", "hidden"), ("null", None)])
def test_a_version_is_not_the_one_that_was_asked_for(start_sandbox, kind, shown):
    with start_sandbox(faults={f"other_version:{kind}": 1}).client() as client:
        answers = create(client).json(), made(client, 2), *client.get("/predictions").json()["results"]
    assert {answer["version"] for answer in answers} == {shown} != {VERSION}


@pytest.mark.parametrize(("kind", "left"), [("ended", {"created_at", "started_at"}), ("always", set())])
def test_a_prediction_without_times_has_all_the_rest(start_sandbox, kind, left):
    with start_sandbox(faults={f"undated:{kind}": 1}).client() as client:
        ended = made(client)
        assert client.get("/predictions").json()["results"] == [ended]
    assert {name for name in ended if name.endswith("_at")} == left
    assert (ended["status"], ended["metrics"].keys()) == ("succeeded", {"predict_time", "total_time"})


def test_a_status_that_no_client_knows_is_shown_until_the_end(start_sandbox):
    with start_sandbox(faults={"unknown_status": 1}).client() as client:
        created = create(client).json()
        assert created["status"] not in {
            "starting",
            "processing",
            "succeeded",
            "failed",
            "canceled",
            "aborted",
        }
        assert client.get(f"/predictions/{created['id']}").json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("fault", "raised"), [("truncate", httpx.RemoteProtocolError), ("no_length_cut", None)]
)
def test_an_output_is_cut_with_or_without_a_declared_length(start_sandbox, fault, raised):
    with start_sandbox(faults={fault: 1}).client() as client:
        url = made(client)["output"][0]
        if raised:
            with pytest.raises(raised):
                fetch(url)
        else:
            with pytest.raises(OSError, match="truncated"):
                Image.open(io.BytesIO(fetch(url).content)).load()


def test_an_output_is_no_image_or_its_url_is_dead(start_sandbox):
    sandbox = start_sandbox(faults={"not_image": 1})
    with sandbox.client() as client:
        url = made(client)["output"][0]
        answer = fetch(url)
        assert answer.headers["content-type"] == "image/png"
        assert answer.content.startswith(b"<html>")
        sandbox.heal()
        assert fetch(url).content.startswith(b"\x89PNG")
        sandbox.faults(expire_url=1)
        assert fetch(url).status_code == 404


@pytest.mark.parametrize(("faults", "status"), [({}, 404), ({"gone_403": 1}, 403)])
def test_what_is_deleted_answers_404_or_403_in_the_same_words(start_sandbox, faults, status):
    sandbox = start_sandbox(faults=faults, lifetime=0.02)
    with sandbox.client() as client:
        created = create(client)
    output = f"{sandbox.url.removesuffix('/v1')}/output/{sandbox.ledger()[0]['key']}/out-0.png"
    for url in (output, created.json()["input"]["image"]):
        answer = eventually(lambda url=url: gone(url))
        assert (answer.status_code, answer.json()) == (status, {"detail": "requested file not found"})


def gone(url):
    answer = fetch(url)
    return None if answer.is_success else answer


def test_reads_falter_and_then_work_again(start_sandbox):
    sandbox = start_sandbox(faults={"get_5xx": 0.5})
    with sandbox.client() as client:
        created = create(client).json()
        statuses = {client.get(f"/predictions/{created['id']}").status_code for _ in range(40)}
    assert statuses == {200, 503}


@pytest.mark.parametrize("path", ["/predictions/{id}", "/predictions"])
def test_reads_are_answered_oddly_and_then_as_ever(start_sandbox, path):
    sandbox = start_sandbox()
    with sandbox.client() as client:
        path = path.format(**create(client).json())
        eventually(lambda: "succeeded" in client.get(path).text)
        whole = client.get(path)
        sandbox.faults(**{"get_odd:html": 1})
        assert client.get(path).headers["content-type"].startswith("text/html")
        sandbox.faults(**{"get_odd:html": 0, "get_odd:cut": 1})
        assert client.get(path).content == whole.content[: len(whole.content) // 2]
        sandbox.faults(**{"get_odd:cut": 0, "get_odd:429": 1})
        assert (client.get(path).status_code, client.get(path).headers["retry-after"]) == (429, "1")
        sandbox.faults(**{"get_odd:429": 0, "get_odd:drop": 1})
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            client.get(path)
        sandbox.heal()
        assert client.get(path).content == whole.content


@pytest.mark.parametrize(("kind", "status"), [("5xx", 502), ("drop", None)])
def test_a_cancel_is_carried_out_and_its_answer_lost(start_sandbox, kind, status):
    sandbox = start_sandbox(latency=60, faults={f"cancel_lost:{kind}": 1})
    with sandbox.client() as client:
        path = f"/predictions/{create(client).json()['id']}"
        try:
            answered = client.post(f"{path}/cancel").status_code
        except httpx.RemoteProtocolError:
            answered = None
        assert answered == status
        assert client.get(path).json()["status"] == "canceled"
        sandbox.heal()
        assert client.post(f"{path}/cancel").json()["status"] == "canceled"


def test_an_outputs_host_is_busy_at_times(start_sandbox):
    sandbox = start_sandbox(faults={"output_busy": 0.8})
    with sandbox.client() as client:
        path = f"/predictions/{create(client).json()['id']}"
        url = eventually(lambda: client.get(path).json()["output"])[0]
    assert {fetch(url).status_code for _ in range(60)} == {200, 429, 503}


def test_an_account_runs_dry_after_so_many_predictions_and_heals(start_sandbox):
    sandbox = start_sandbox(faults={"402_after": 2})
    with sandbox.client() as client:
        assert [create(client, seed).status_code for seed in range(4)] == [201, 201, 402, 402]
        assert create(client).json()["title"] == "Insufficient credit"
        assert client.get("/predictions").status_code == 200
        sandbox.heal()
        assert create(client).status_code == 201
        sandbox.faults(**{"401_after": 0})
        assert client.get("/predictions").status_code == 401


def test_an_accounts_quota_at_a_gateway_is_used_up_and_heals(start_sandbox):
    sandbox = start_sandbox(faults={"429_after": 1})
    with sandbox.client() as client:
        assert [create(client, seed).status_code for seed in range(2)] == [201, 429]
        refused = create(client)
        assert refused.json()["error"]["code"] == "insufficient_quota"
        assert "retry-after" not in refused.headers
        assert client.get("/predictions").status_code == 200
        sandbox.heal()
        assert create(client).status_code == 201
    assert len(sandbox.ledger()) == 2


def test_an_unknown_fault_is_refused_by_name(start_sandbox):
    sandbox = start_sandbox()
    answer = httpx.post(sandbox.url.replace("/v1", "/_faults"), json={"gremlins": 1}, trust_env=False)
    assert answer.status_code == 422
    assert "exec_and_drop" in answer.json()["detail"]


def test_one_seed_strikes_the_same_jobs_in_any_order(start_sandbox):
    def struck(seeds, **options):
        sandbox = start_sandbox(faults={"502_after": 0.3}, creates_per_minute=0, **options)
        with sandbox.client() as client:
            return {seed for seed in seeds if create(client, seed).status_code == 502}

    forwards = struck(range(40))
    assert forwards
    assert struck(reversed(range(40))) == forwards
    assert struck(range(40), seed=1) != forwards


def test_the_next_attempt_of_a_job_is_a_new_draw(start_sandbox):
    with start_sandbox(faults={"502_before": 0.5}).client() as client:
        assert {create(client).status_code for _ in range(30)} == {201, 502}


def send_file(client):
    return client.post("/files", files={"content": ("hill.png", b"hill", "image/png")})


def test_an_upload_is_refused_and_nothing_is_kept(start_sandbox):
    with start_sandbox(faults={"upload:5xx": 1}).client() as client:
        assert send_file(client).status_code == 503
        assert client.get("/files").json()["results"] == []


def test_an_upload_is_never_answered(start_sandbox):
    with start_sandbox(faults={"upload:hang": 1}).client(timeout=1) as client:
        with pytest.raises(httpx.ReadTimeout):
            send_file(client)
        assert client.get("/files").json()["results"] == []


def test_the_next_try_of_an_upload_is_drawn_anew(start_sandbox):
    with start_sandbox(faults={"upload:5xx": 0.5}).client() as client:
        assert {send_file(client).status_code for _ in range(20)} == {201, 503}
