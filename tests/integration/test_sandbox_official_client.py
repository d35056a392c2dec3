"""The official Python client works against the sandbox as it is."""

import io
import warnings

import httpx
import pytest

from tests.integration.rehearsal import fetch, png

with warnings.catch_warnings():
    # The client is built on pydantic's first version, which says so on newer Pythons.
    warnings.simplefilter("ignore")
    import replicate
    import replicate.exceptions

NAME = "stability-ai/stable-diffusion-img2img"
VERSION = "15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d"


def picture():
    file = io.BytesIO(png(colour="maroon"))
    file.name = "maroon.png"
    return file


@pytest.fixture
def sandbox(start_sandbox):
    return start_sandbox(latency=0.1)


@pytest.fixture
def official(sandbox):
    client = replicate.Client(
        api_token=sandbox.token, base_url=sandbox.url.removesuffix("/v1"), transport=httpx.HTTPTransport()
    )
    client.poll_interval = 0.02
    yield client
    client._client.close()


def test_run_uploads_the_picture_waits_and_returns_the_output(official):
    (url,) = official.run(f"{NAME}:{VERSION}", input={"image": picture(), "prompt": "hills"})
    assert fetch(url).content.startswith(b"\x89PNG")


def test_run_raises_what_the_model_said(sandbox, official):
    sandbox.faults(nsfw=1)
    with pytest.raises(replicate.exceptions.ModelError, match=r"NSFW content detected|E005"):
        official.run(f"{NAME}:{VERSION}", input={"image": picture()}, wait=False)


def test_predictions_are_created_waited_for_and_read(official):
    created = official.predictions.create(
        version=VERSION, input={"image": "https://images.invalid/a.png", "seed": 4}
    )
    assert created.status == "starting"
    created.wait()
    assert created.status == "succeeded"
    assert official.predictions.get(created.id).logs.startswith("Using seed: 4")


def test_predictions_are_listed_page_by_page(official):
    made = [
        official.predictions.create(
            version=VERSION, input={"image": "https://images.invalid/a.png", "seed": seed}
        ).id
        for seed in range(3)
    ]
    page = official.predictions.list()
    assert [prediction.id for prediction in page] == made[::-1]
    assert page.next is None


def test_a_prediction_is_canceled(sandbox, official):
    sandbox.faults(stuck=1)
    created = official.predictions.create(version=VERSION, input={"image": "https://images.invalid/a.png"})
    created.cancel()
    assert created.status == "canceled"


def test_files_are_created_read_listed_and_deleted(official):
    file = official.files.create(picture(), metadata={"a": 1})
    assert official.files.get(file.id).name == "maroon.png"
    assert [found.id for found in official.files.list()] == [file.id]
    assert official.files.delete(file.id)


def test_a_refusal_arrives_as_the_clients_own_error(official):
    with pytest.raises(replicate.exceptions.ReplicateError, match="image is required"):
        official.predictions.create(version=VERSION, input={"prompt": "hills"})
