"""The plan: what is counted, what is estimated, and what is told of it."""

from collections import Counter
from decimal import Decimal

import pytest

from jobs import settings
from jobs.loading import loader
from jobs.loading.difference import Difference
from jobs.manifest.pictures import Travel
from jobs.reports import plan
from overnight.display import planning
from tests import snapshots


def planned(**changed):
    usual = {
        "batch": "cats",
        "api": "replicate",
        "api_url": "https://api.replicate.com/v1",
        "api_reason": "--api",
        "database": "/home/me/overnight.db",
        "output": "/home/me/outputs",
        "difference": Difference(new=1000, jobs=1000, images=2000),
        "pictures": Counter({Travel.URL: 990, Travel.INLINE: 10}),
        "creates_per_minute": 600,
        "max_in_flight": 200,
        "free_bytes": 10**12,
        "price": None,
        "when_unconfirmed": "resubmit",
    }
    return plan.Plan(**usual | changed)


@pytest.mark.parametrize(
    ("creates_per_minute", "max_in_flight", "seconds"),
    [
        pytest.param(
            600, 200, 1000 / 600 * 60 + 7, id="the quota of purchases limits, then the last one runs"
        ),
        pytest.param(600, 10, 700, id="the cap in flight limits"),
        pytest.param(None, 200, 35, id="no quota: only the cap"),
    ],
)
def test_time_is_that_of_the_narrowest_place(creates_per_minute, max_in_flight, seconds):
    made = planned(creates_per_minute=creates_per_minute, max_in_flight=max_in_flight)
    assert made.seconds == pytest.approx(seconds)


def test_nothing_to_buy_takes_no_time():
    assert planned(difference=Difference(there=1000)).seconds == 0


def test_one_job_takes_as_long_as_a_prediction():
    assert planned(difference=Difference(new=1, jobs=1, images=1)).seconds == pytest.approx(7.1)


def test_a_price_is_that_of_a_job_and_is_added_up_exactly():
    made = planned(price=Decimal("0.0093"))
    assert made.cost == Decimal("9.3000")
    assert made.as_json()["cost"] == 9.3
    assert any("about 9.3000 at 0.0093 a job" in line for line in made.lines())


def test_without_a_price_the_plan_says_how_to_set_one():
    assert planned().cost is None
    assert any("OVERNIGHT_PRICE" in line for line in planned().lines())


def test_a_disk_that_is_too_small_is_told_and_stops_nothing():
    assert planned().cautions() == []
    (caution,) = planned(free_bytes=10**9).cautions()
    assert "/home/me/outputs" in caution


def test_a_disk_that_nobody_can_measure_is_no_caution():
    made = planned(free_bytes=None)
    assert made.cautions() == []
    assert not any("free" in line for line in made.lines())


def test_every_line_has_a_name_of_its_own():
    lines = planned(warnings=("no token",), difference=Difference(new=3, broken=1, jobs=2, images=2)).lines()
    names = [line[:10].strip() for line in lines]
    assert names == [
        "batch", "api", "database", "output", "jobs", "pictures", "time", "disk", "cost", "in doubt", "warning",
    ]  # fmt: skip
    assert lines[4] == "jobs      2 to buy, 2 images; 1 with a mistake: failed from the start"


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (Counter(), "none"),
        (Counter({Travel.URL: 1}), "1 by URL"),
        (
            Counter({Travel.URL: 2, Travel.INLINE: 3000, Travel.UPLOAD: 4}),
            "2 by URL, 3,000 sent inline, 4 uploaded, as they are over 190 kB",
        ),
    ],
)
def test_pictures_are_counted_by_how_they_travel(counts, told):
    assert f"pictures  {told}" in planned(pictures=counts).lines()


@pytest.mark.parametrize(
    ("choice", "word"), [("resubmit", "bought once more"), ("hold", "for a person to decide")]
)
def test_what_becomes_of_lost_answers_is_said_before_the_first_purchase(choice, word):
    assert any(word in line for line in planned(when_unconfirmed=choice).lines())


@pytest.mark.parametrize(
    ("can_look_up", "said"),
    [
        (None, ["an answer lost, if the API has no list: bought once more, reported as possibly paid twice"]),
        (False, ["an answer lost: bought once more, reported as possibly paid twice"]),
        (True, []),
    ],
)
def test_what_becomes_of_lost_answers_is_said_unless_the_api_is_known_to_show_it(can_look_up, said):
    lines = planned(can_look_up=can_look_up).lines()
    assert [line[10:] for line in lines if line.startswith("in doubt")] == said


def test_a_sandbox_without_an_address_is_named_alone():
    assert "api       sandbox (--api)" in planned(api="sandbox", api_url="").lines()


def test_json_says_all_that_the_lines_say():
    data = planned(
        difference=Difference(new=3, there=96, gone=1, changed=2, kept=4, jobs=5, images=5)
    ).as_json()
    assert (data["new"], data["there"], data["no_longer_listed"], data["changed"]) == (3, 96, 1, 2)
    assert data["left_as_bought"] == 4
    assert (data["jobs"], data["images"], data["bytes"]) == (5, 5, 7_500_000)
    assert data["pictures"] == {"urls": 990, "inline": 10, "upload": 0}


def test_going_on_takes_one_line_and_what_to_think_of():
    left = Difference(jobs=1000, images=2000)
    (line,) = planned(difference=left, price=Decimal("0.0093")).brief()
    assert line == (
        "cats: 1,000 jobs left to buy, 2,000 images, about 1m47s, 3.0 GB; cost about 9.3000 at 0.0093 a job"
    )
    assert planned(difference=left, free_bytes=1).brief()[1].startswith("warning: the disk of ")


GONE = "of these jobs are no longer listed, but are bought all the same"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            {"gone": 5, "unlisted": 2, "unlisted_keys": ("a", "b*")},
            f"2 {GONE}; to give them up: overnight cancel cats --key a --key 'b[*]' --api sandbox",
        ),
        (
            {"gone": 5, "unlisted": 4},
            f"4 {GONE}; they are among: overnight jobs cats --state pending --api sandbox",
        ),
        ({"unlisted": 4}, "4 of these jobs were loaded before, and are not among the rows read now"),
    ],
)
def test_jobs_that_no_row_stands_for_are_told_apart(found, told):
    lines = planned(difference=Difference(jobs=9, images=9, **found), flags="--api sandbox").lines()
    assert lines[5] == f"besides   {told}"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (1, "1 row differs from what was bought, which stays as it is; to buy"),
        (2, "2 rows differ from what was bought, which stays as it is; to buy"),
    ],
)
def test_rows_that_were_bought_before_they_were_edited_are_counted_in_good_english(rows, told):
    loaded = loader.Loaded(snapshots.batch(), Difference(), updated=0, kept=rows, kept_key="tom")
    assert planning.after(settings.load(), loaded)[1].startswith(told)
