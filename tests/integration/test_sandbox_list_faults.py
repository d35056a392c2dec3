"""The sandbox's list and its reads when they lag, are out of order, or show something else."""

import pytest

from tests.integration.rehearsal import data_uri, eventually

VERSION = "b2" * 32
LONG = 3600  # seconds: longer than any test


def create(client, seed=1, **inputs):
    document = {"version": VERSION, "input": {"image": data_uri(), "seed": seed} | inputs}
    return client.post("/predictions", json=document).raise_for_status().json()


def listed(client):
    return [prediction["id"] for prediction in client.get("/predictions").json()["results"]]


def walked(client):
    """The pages of the list, one after another."""
    url = "/predictions"
    while url:
        page = client.get(url).json()
        yield [prediction["id"] for prediction in page["results"]]
        url = page["next"]


def test_a_new_prediction_is_in_the_list_only_after_the_lag(start_sandbox):
    with start_sandbox(faults={"list_lag": 1}, lag=5).client() as client:
        made = create(client)["id"]
        assert client.get(f"/predictions/{made}").status_code == 200
        assert listed(client) == []
        eventually(lambda: listed(client) == [made])


def test_only_the_share_that_was_drawn_lags(start_sandbox):
    def early(seed):
        sandbox = start_sandbox(faults={"list_lag": 0.5}, lag=LONG, seed=seed)
        with sandbox.client() as client:
            for job in range(20):
                create(client, job)
            return {p["input"]["seed"] for p in client.get("/predictions").json()["results"]}

    assert 0 < len(early(1)) < 20
    assert early(1) == early(1) != early(2)


def test_how_one_accounts_lists_fare_does_not_depend_on_what_others_read(start_sandbox):
    def fares(others):
        with start_sandbox(faults={"get_5xx": 0.5}).client() as client:
            for _ in range(20):
                yield client.get("/predictions").status_code
                for _ in range(others):
                    client.get("/predictions", headers={"authorization": "Bearer another"})

    assert list(fares(0)) == list(fares(1))


@pytest.mark.parametrize("status", [404, 405, 403])
def test_there_is_no_list_or_upload(start_sandbox, status):
    with start_sandbox(faults={f"no_list:{status}": 1, f"no_file:{status}": 1}).client() as client:
        made = create(client)["id"]
        assert client.get("/predictions").status_code == status
        assert client.post("/files", files={"content": ("a.png", b"bytes")}).status_code == status
        assert client.get(f"/predictions/{made}").status_code == 200


def test_a_bare_list_shows_how_it_stands_and_nothing_of_what_it_is(start_sandbox):
    with start_sandbox(faults={"list_bare": 1}).client() as client:
        made = create(client)["id"]
        (entry,) = client.get("/predictions").json()["results"]
        assert (entry["id"], entry["status"]) == (made, "succeeded")
        assert not {"input", "output", "error", "logs", "metrics"} & entry.keys()
        assert client.get(f"/predictions/{made}").json()["output"]


def test_the_next_page_of_a_hostile_api_is_on_another_host(start_sandbox):
    sandbox = start_sandbox(profile="hostile", creates_per_minute=0)
    sandbox.heal()
    with sandbox.client() as client:
        for job in range(101):
            create(client, job)
        following = client.get("/predictions").json()["next"]
        assert following.startswith("https://predictions.invalid/v1/predictions?cursor=")
        query = following.partition("?")[2]
        assert len(client.get(f"/predictions?{query}").json()["results"]) == 1


def test_a_shuffled_list_is_out_of_order_across_pages_and_shows_each_prediction_once(start_sandbox):
    sandbox = start_sandbox(faults={"list_shuffle": 1}, lag=LONG, creates_per_minute=0)
    with sandbox.client() as client:
        made = [create(client, job)["id"] for job in range(230)]
        pages = list(walked(client))
        assert list(walked(client)) == pages
        sandbox.heal()
        assert [prediction for page in walked(client) for prediction in page] == made[::-1]
    assert [len(page) for page in pages] == [100, 100, 30]
    assert sorted(prediction for page in pages for prediction in page) == sorted(made)
    assert set(pages[0]) - set(made[130:]), "it stays within its page"
    assert pages[0] != sorted(pages[0], key=made.index, reverse=True)


def test_the_pages_of_a_shuffled_list_lead_back_as_well(start_sandbox):
    sandbox = start_sandbox(faults={"list_shuffle": 1}, lag=LONG, creates_per_minute=0)
    with sandbox.client() as client:
        for job in range(120):
            create(client, job)
        first = client.get("/predictions").json()
        second = client.get(first["next"]).json()
        assert first["previous"] is None
        assert client.get(second["previous"]).json()["results"] == first["results"]


def test_a_prediction_vanishes_for_a_while_or_for_ever(start_sandbox):
    sandbox = start_sandbox(faults={"vanish:while": 1}, lag=5)
    with sandbox.client() as client:
        made = create(client)["id"]
        assert client.get(f"/predictions/{made}").status_code == 404
        assert listed(client) == [made]
        eventually(lambda: client.get(f"/predictions/{made}").status_code == 200)
        sandbox.heal()
        sandbox.faults(**{"vanish:ever": 1})
        assert client.get(f"/predictions/{made}").status_code == 404


def test_an_input_is_echoed_rewritten_wherever_it_is_shown(start_sandbox):
    with start_sandbox(faults={"rewritten": 1}).client() as client:
        made = create(client, seed=7, prompt_strength=0.6)
        for shown in (
            made,
            client.get(f"/predictions/{made['id']}").json(),
            client.get("/predictions").json()["results"][0],
        ):
            assert shown["input"]["prompt_strength"] == pytest.approx(0.6)
            assert shown["input"]["prompt_strength"] != 0.6
            assert (shown["input"]["seed"], shown["input"]["scheduler"]) == (7, "DPMSolverMultistep")
            assert "safety_tolerance" in shown["input"]
