import base64
import json

import pytest

from sandbox import problems, validation

VERSION = "f6" * 32
IMAGE = "https://images.invalid/a.png"


def refused(call, *arguments):
    with pytest.raises(problems.Problem) as caught:
        call(*arguments)
    return caught.value


def create(version=VERSION, **inputs):
    return json.dumps({"version": version, "input": {"image": IMAGE, **inputs}}).encode()


@pytest.mark.parametrize("version", [VERSION, f"stability-ai/stable-diffusion-img2img:{VERSION}"])
def test_a_version_is_an_id_with_or_without_its_model(version):
    assert validation.read_create(create(version)).version == VERSION


@pytest.mark.parametrize(
    "version",
    [
        "",
        "latest",
        "stability-ai/img2img",
        VERSION[:-1],
        VERSION + "\n",
        f"a/b/c:{VERSION}",
        f"a/b:{VERSION}",
    ],
)
def test_a_version_that_is_none_is_not_permitted(version):
    problem = refused(validation.read_create, create(version))
    assert (problem.status, problem.body["title"]) == (422, "Invalid version or not permitted")


@pytest.mark.parametrize(
    "url", ["https://me.invalid/ended", "http://127.0.0.1:8600/", "http://localhost/", "http://[::1]:8600/"]
)
def test_a_webhook_is_called_by_https_or_on_this_machine(url):
    document = {"version": VERSION, "input": {"image": IMAGE}, "webhook": url}
    assert validation.read_create(json.dumps(document).encode()).webhook == url


@pytest.mark.parametrize(
    "url", ["", "ended", "http://me.invalid/", "ftp://127.0.0.1/", "https://", "http://127.0.0.1:port/"]
)
def test_a_webhook_that_nobody_can_be_called_by_is_422(url):
    document = {"version": VERSION, "input": {"image": IMAGE}, "webhook": url}
    problem = refused(validation.read_create, json.dumps(document).encode())
    assert (problem.status, problem.body["invalid_fields"][0]["field"]) == (422, "webhook")


def test_an_input_that_the_model_does_not_know_is_kept_and_ignored():
    assert validation.read_create(create(prompt_strenght=3)).input["prompt_strenght"] == 3


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({"version": VERSION}, "", "input is required"),
        ({"input": {"image": IMAGE}}, "", "version is required"),
        ({"version": VERSION, "input": {}}, "input", "image is required"),
        ({"version": VERSION, "input": []}, "input", "object"),
        ({"version": VERSION, "input": {"image": IMAGE}, "extra": 1}, "", "extra"),
        ({"version": VERSION, "input": {"image": "file:///etc/passwd"}}, "input.image", "match"),
        ({"version": VERSION, "input": {"image": "http://[x"}}, "input.image", "uri"),
        ({"version": VERSION, "input": {"image": "https://a.invalid:port/x"}}, "input.image", "uri"),
        ({"version": VERSION, "input": {"image": IMAGE, "num_outputs": 9}}, "input.num_outputs", "8"),
        (
            {"version": VERSION, "input": {"image": IMAGE, "num_outputs": True}},
            "input.num_outputs",
            "integer",
        ),
        ({"version": VERSION, "input": {"image": IMAGE, "guidance_scale": 0.5}}, "input.guidance_scale", "1"),
        ({"version": VERSION, "input": {"image": IMAGE, "scheduler": "EULER"}}, "input.scheduler", "DDIM"),
        ({"version": VERSION, "input": {"image": IMAGE, "seed": 1.5}}, "input.seed", "integer"),
        ([], "", "object"),
    ],
)
def test_a_body_that_does_not_fit_names_the_field(document, field, words):
    problem = refused(validation.read_create, json.dumps(document).encode())
    assert problem.status == 422
    assert problem.body["title"] == "Input validation failed"
    assert problem.body["invalid_fields"][0]["field"] == field
    assert words in problem.body["invalid_fields"][0]["description"]
    assert problem.body["detail"].startswith(f"- {field}: " if field else "- ")


def test_a_refusal_never_repeats_what_was_sent():
    problem = refused(validation.read_create, create(image="ftp://" + "x" * 1000))
    assert "xxx" not in json.dumps(problem.body)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_is_400(body):
    assert refused(validation.read_create, body).status == 400


def test_a_data_uri_gives_its_bytes():
    uri = "data:image/png;base64," + base64.b64encode(b"bytes").decode()
    assert validation.read_data_uri(uri) == b"bytes"


@pytest.mark.parametrize(
    "uri", ["data:", "data:image/png,bytes", "data:image/png;base64,b*", "data:;base64,YQ"]
)
def test_a_data_uri_that_is_none_is_422(uri):
    assert refused(validation.read_data_uri, uri).status == 422


@pytest.mark.parametrize(("length", "status"), [(999_999, 422), (1_000_000, 413)])
def test_a_data_uri_of_a_megabyte_is_turned_away_by_the_proxy(length, status):
    problem = refused(validation.read_data_uri, "data:image/png;base64,".ljust(length, "*"))
    assert problem.status == status
    assert (problem.response().media_type == "text/html") == (status == 413)
    assert (problem.one_api_response().media_type == "text/html") == (status == 413)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m45s", 5445), ("30", 30), ("2h30m", 9000), (" 5s ", 5)],
)
def test_cancel_after_takes_hours_minutes_and_seconds(header, seconds):
    assert validation.read_deadline(header) == seconds


@pytest.mark.parametrize("header", ["4s", "0", "", "soon", "-5m", "5m1h", "1.5h", "٩٩"])
def test_cancel_after_that_is_malformed_or_under_five_seconds_is_422(header):
    assert refused(validation.read_deadline, header).status == 422


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", 0), ("wait", 60), ("wait=5", 5), ("wait=600", 60), ("respond-async, wait=7", 7), ("wait=soon", 0)],
)
def test_prefer_asks_to_wait_up_to_a_minute(header, seconds):
    assert validation.read_wait(header) == seconds
