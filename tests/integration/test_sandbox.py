"""The sandbox speaks the API: create, read, list, cancel, files, limits, refusals."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
import pytest
from PIL import Image

from tests.integration.rehearsal import data_uri, eventually, fetch, png

VERSION = "stability-ai/stable-diffusion-img2img:" + "a1" * 32


def body(image=None, **inputs):
    return {"version": VERSION, "input": {"image": image or data_uri(), "prompt": "hills", **inputs}}


def create(client, headers=None, **inputs):
    answer = client.post("/predictions", json=body(**inputs), headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def sandbox(start_sandbox):
    return start_sandbox(output_size=512)


@pytest.fixture
def client(sandbox):
    with sandbox.client() as client:
        yield client


def test_a_prediction_is_made_and_its_picture_fetched_without_a_token(client):
    created = create(client, seed=7, num_outputs=2)
    assert (created["status"], created["output"], created["error"]) == ("starting", None, None)
    assert created["version"] == "a1" * 32

    done = client.get(f"/predictions/{created['id']}").json()
    assert done["status"] == "succeeded"
    assert done["logs"].splitlines()[0] == "Using seed: 7"
    assert done["metrics"]["predict_time"] >= 0
    assert len(done["output"]) == 2
    first, second = (fetch(url) for url in done["output"])
    assert Image.open(io.BytesIO(first.content)).size == (96, 64)
    assert first.content != second.content
    assert first.content == fetch(done["output"][0]).content


def test_the_ledger_has_a_line_for_each_accepted_create_and_no_token_or_image(sandbox, client):
    created = create(client, seed=7)
    client.post("/predictions", json=body(prompt_strength=3))
    (line,) = sandbox.ledger()
    assert line["id"] == created["id"]
    assert line["seed"] == 7
    assert line["image"] == "blob:" + hashlib.sha256(png()).hexdigest()
    assert (line["fault"], line["fate"]) == (None, None)
    text = (sandbox.state / "ledger.jsonl").read_text()
    assert sandbox.token not in text
    assert "base64" not in text


def test_a_data_uri_is_shown_as_a_url_of_the_same_bytes(client):
    shown = create(client)["input"]["image"]
    assert fetch(shown).content == png()


def test_with_latency_a_prediction_starts_runs_and_ends(start_sandbox):
    with start_sandbox(latency=0.6).client() as client:
        created = create(client, seed=1)
        assert created["status"] == "starting"
        seen = eventually(lambda: running(client, created["id"]))
        assert seen["output"] is None
        assert "completed_at" not in seen
        eventually(lambda: client.get(f"/predictions/{created['id']}").json()["output"])


def running(client, prediction_id):
    found = client.get(f"/predictions/{prediction_id}").json()
    return found if found["status"] == "processing" else None


def test_prefer_wait_answers_with_the_finished_prediction(start_sandbox):
    with start_sandbox(latency=0.2).client() as client:
        assert create(client, {"prefer": "wait"})["status"] == "succeeded"


def test_prefer_wait_that_runs_out_answers_202_unfinished(start_sandbox):
    with start_sandbox(latency=500).client() as client:
        answer = client.post("/predictions", json=body(), headers={"prefer": "wait=1"})
    assert answer.status_code == 202
    assert answer.json()["status"] in {"starting", "processing"}


def test_prefer_respond_async_answers_202(client):
    assert client.post("/predictions", json=body(), headers={"prefer": "respond-async"}).status_code == 202


def test_cancel_after_sets_the_deadline_counted_from_creation(sandbox, client):
    created = create(client, {"cancel-after": "1m30s"})
    (line,) = sandbox.ledger()
    assert line["deadline"] == line["t"] + 90
    assert "T" in created["deadline"]
    assert client.post("/predictions", json=body(), headers={"cancel-after": "4s"}).status_code == 422


def test_the_list_is_newest_first_in_pages_of_a_hundred(start_sandbox):
    with start_sandbox(creates_per_minute=0).client() as client:
        ids = [create(client, seed=number)["id"] for number in range(110)]
        newest = client.get("/predictions").json()
        oldest = client.get(newest["next"]).json()
        again = client.get(oldest["previous"]).json()
    assert identities(newest) == ids[:9:-1]
    assert identities(oldest) == ids[9::-1]
    assert identities(again) == identities(newest)
    assert newest["previous"] is None
    assert oldest["next"] is None


def identities(page):
    return [prediction["id"] for prediction in page["results"]]


def test_the_list_takes_created_after_inclusively_and_created_before_exclusively(client):
    first, second, third = (create(client, seed=number) for number in range(3))
    found = client.get("/predictions", params={"created_after": second["created_at"]}).json()["results"]
    assert [prediction["id"] for prediction in found] == [third["id"], second["id"]]
    found = client.get("/predictions", params={"created_before": second["created_at"]}).json()["results"]
    assert [prediction["id"] for prediction in found] == [first["id"]]


def test_an_account_sees_only_its_own_predictions(client):
    created = create(client)
    stranger = {"authorization": "Bearer someone-else"}
    assert client.get(f"/predictions/{created['id']}", headers=stranger).status_code == 404
    assert client.get("/predictions", headers=stranger).json()["results"] == []


def test_cancel_answers_with_the_whole_object_and_lasts(start_sandbox):
    with start_sandbox(latency=500).client() as client:
        created = create(client, seed=3)
        canceled = client.post(f"/predictions/{created['id']}/cancel")
        assert canceled.status_code == 200
        assert canceled.json()["status"] == "canceled"
        assert canceled.json()["input"]["seed"] == 3
        assert client.get(f"/predictions/{created['id']}").json()["status"] == "canceled"


def test_cancel_of_what_has_succeeded_changes_nothing(client):
    created = create(client)
    assert client.post(f"/predictions/{created['id']}/cancel").json()["status"] == "succeeded"


def test_an_uploaded_file_is_an_input_and_can_be_listed_fetched_and_deleted(client):
    answer = client.post(
        "/files", files={"content": ("hill.png", png(), "image/png")}, data={"metadata": '{"a": 1}'}
    )
    assert answer.status_code == 201
    file = answer.json()
    assert (file["name"], file["content_type"], file["size"]) == ("hill.png", "image/png", len(png()))
    assert file["checksums"]["sha256"] == hashlib.sha256(png()).hexdigest()
    assert file["metadata"] == {"a": 1}
    assert file["urls"].keys() == {"get"}
    assert fetch(file["urls"]["get"]).status_code == 401
    assert client.get(file["urls"]["get"]).json() == file

    created = create(client, image=file["urls"]["get"])
    assert created["input"]["image"] == file["urls"]["get"]
    assert client.get(f"/predictions/{created['id']}").json()["status"] == "succeeded"

    assert [found["id"] for found in client.get("/files").json()["results"]] == [file["id"]]
    assert client.delete(f"/files/{file['id']}").status_code == 204
    assert client.get(f"/files/{file['id']}").status_code == 404


moment = datetime.fromisoformat


def upload(client):
    return client.post("/files", files={"content": ("hill.png", png(), "image/png")}).json()


def test_a_prediction_whose_file_is_another_accounts_fails(client):
    stranger = {"authorization": "Bearer someone-else"}
    created = create(client, stranger, image=upload(client)["urls"]["get"])
    failed = client.get(f"/predictions/{created['id']}", headers=stranger).json()
    assert (failed["status"], failed["error"]) == (
        "failed",
        "Failed to download the input image: the server answered 401",
    )


def test_a_prediction_whose_file_has_expired_fails(start_sandbox):
    with start_sandbox(lifetime=0.02).client() as client:
        file = upload(client)
        lives = moment(file["expires_at"]) - moment(file["created_at"])
        assert lives.total_seconds() == pytest.approx(0.48, abs=1e-5)  # each is rounded for itself
        eventually(lambda: client.get(file["urls"]["get"]).status_code == 404)
        created = create(client, image=file["urls"]["get"])
        assert client.get(f"/predictions/{created['id']}").json()["status"] == "failed"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (("hill.png", bytes(99_999_999)), 201),
        (("hill.png", bytes(100_000_000)), 413),
        (("h" * 256, b"bytes"), 422),
        (("", b"bytes"), 422),
    ],
    ids=["under 100 MB", "100 MB", "a long name", "no name"],
)
def test_which_files_are_taken(client, content, status):
    assert client.post("/files", files={"content": content}).status_code == status


def test_the_same_picture_by_file_and_by_data_uri_gives_the_same_output(client):
    file = client.post("/files", files={"content": ("hill.png", png(), "image/png")}).json()
    pictures = set()
    for image in (file["urls"]["get"], data_uri()):
        created = create(client, image=image, seed=1)
        url = client.get(f"/predictions/{created['id']}").json()["output"][0]
        pictures.add(fetch(url).content)
    assert len(pictures) == 1


def test_an_output_can_be_the_next_input(client):
    created = create(client, seed=1)
    url = client.get(f"/predictions/{created['id']}").json()["output"][0]
    second = create(client, image=url, seed=2)
    assert client.get(f"/predictions/{second['id']}").json()["status"] == "succeeded"


def test_a_url_of_the_world_outside_is_drawn_and_not_fetched(client):
    created = create(client, image="https://images.invalid/hills.jpeg")
    done = client.get(f"/predictions/{created['id']}").json()
    assert Image.open(io.BytesIO(fetch(done["output"][0]).content)).size == (512, 384)


def test_a_picture_of_this_machine_that_is_not_there_fails_the_prediction(sandbox, client):
    created = create(client, image=sandbox.url.removesuffix("/v1") + "/nothing.png")
    done = client.get(f"/predictions/{created['id']}").json()
    assert done["status"] == "failed"
    assert done["error"] == "Failed to download the input image: the server answered 404"


@pytest.mark.parametrize("content", [b"GIF89a but not really", png()[: len(png()) // 2]])
def test_a_picture_that_cannot_be_read_fails_the_prediction(client, content):
    created = create(client, image=data_uri(content))
    done = client.get(f"/predictions/{created['id']}").json()
    assert (done["status"], done["error"]) == ("failed", "cannot identify image file")


def test_without_a_bearer_token_everything_is_401(sandbox):
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": "Basic eDp5"}):
        answer = httpx.get(f"{sandbox.url}/predictions", headers=headers, trust_env=False)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["title"] == "Unauthenticated"


def test_a_wrong_input_is_422_and_names_the_fields(sandbox, client):
    answer = client.post("/predictions", json=body(prompt_strength=1.5, num_outputs="two"))
    assert answer.status_code == 422
    assert answer.headers["ratelimit-remaining"] == "59", "it counts, and says so"
    problem = answer.json()
    assert problem["title"] == "Input validation failed"
    assert {field["field"] for field in problem["invalid_fields"]} == {
        "input.prompt_strength",
        "input.num_outputs",
    }
    assert sandbox.ledger() == []


def test_create_limits_are_kept_per_token_and_told_in_three_places(start_sandbox):
    with start_sandbox(creates_per_minute=6).client() as client:
        assert create(client)["status"] == "starting"
        answer = client.post("/predictions", json=body())
        assert answer.status_code == 429
        wait = int(answer.headers["retry-after"])
        assert 1 <= wait <= 10
        assert answer.json()["retry_after"] == wait
        assert f"resets in ~{wait}s" in answer.json()["detail"]
        assert answer.headers["ratelimit-remaining"] == "0"
        other = client.post("/predictions", json=body(), headers={"authorization": "Bearer another"})
        assert other.status_code == 201


def test_a_create_is_answered_slowly_and_nothing_else_is(start_sandbox):
    sandbox = start_sandbox(create_seconds=600)
    with sandbox.client() as client, sandbox.client(timeout=1) as hasty:
        with pytest.raises(httpx.ReadTimeout):
            hasty.post("/predictions", json=body())
        (bought,) = eventually(sandbox.ledger)
        assert client.get(f"/predictions/{bought['id']}").json()["status"] == "succeeded"
        assert client.post("/predictions", json=body(prompt_strength=3)).status_code == 422


def test_reads_have_a_limit_of_their_own(start_sandbox):
    with start_sandbox(reads_per_minute=20).client() as client:
        assert [client.get("/predictions").status_code for _ in range(3)] == [200, 200, 429]
        assert create(client)["status"] == "starting"


def test_outputs_and_inputs_are_gone_after_their_lifetime(start_sandbox):
    with start_sandbox(lifetime=5).client() as client:
        created = create(client)
        url = client.get(f"/predictions/{created['id']}").json()["output"][0]
        assert fetch(created["input"]["image"]).status_code == 200
        gone = eventually(lambda: removed(client, created["id"]))
        assert (gone["status"], gone["output"], gone["input"]) == ("succeeded", None, {})
        for answer in fetch(url), fetch(created["input"]["image"]):
            assert answer.status_code == 404
            assert answer.json()["detail"] == "requested file not found"


def removed(client, prediction_id):
    found = client.get(f"/predictions/{prediction_id}").json()
    return found if found["data_removed"] else None


def test_stats_count_requests_and_the_most_predictions_alive_at_once(start_sandbox):
    sandbox = start_sandbox(latency=500)
    with sandbox.client() as client, ThreadPoolExecutor(4) as pool:
        ids = [created["id"] for created in pool.map(lambda seed: create(client, seed=seed), range(8))]
        client.post(f"/predictions/{ids[0]}/cancel")
        create(client, seed=99)
    stats = sandbox.stats()
    assert stats["accepted"] == 9
    assert stats["requests"]["create"] == 9
    assert (stats["peak_in_flight"], stats["in_flight"], stats["throttled"]) == (8, 8, 0)


@pytest.mark.parametrize(("version", "status"), [("a1" * 32, 200), ("a1" * 31, 404), ("latest", 404)])
def test_a_version_of_the_model_can_be_looked_at_and_nothing_else(client, version, status):
    found = client.get(f"/models/stability-ai/stable-diffusion-img2img/versions/{version}")
    assert found.status_code == status
    assert client.get(f"/models/stability-ai/other/versions/{version}").status_code == 404
