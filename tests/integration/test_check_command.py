"""`overnight check` as a person types it: the plan, or every mistake, and nothing written."""

import json
import re
import shlex
import subprocess

import pytest

from jobs.settings import apis
from tests import factory
from tests.integration.loads import listing, overnight, table
from tests.integration.rehearsal import ROOT
from tests.manifests import WEB, picture, write


def plan_of(done):
    """Return the plan's lines by their names."""
    assert done.returncode == 0, done.stderr
    return {line[:10].strip(): line[10:] for line in done.stdout.splitlines()}


def test_the_plan_is_printed_and_nothing_is_written(tmp_path):
    write(tmp_path, table("a", "b"))
    before = listing(tmp_path)
    done = overnight(tmp_path, "check", "cats.csv", OVERNIGHT_API_TOKEN="t", OVERNIGHT_PRICE="0.5")
    plan = plan_of(done)
    assert done.stderr == ""
    assert plan["batch"] == "cats: 2 new"
    assert plan["api"] == "quickrouter https://api.quickrouter.ai/replicate/v1 (the default)"
    assert plan["database"] == f"{tmp_path / 'overnight.db'}, to be made"
    assert plan["output"] == str(tmp_path / "outputs")
    assert plan["jobs"] == "2 to buy, 2 images"
    assert plan["pictures"] == "2 by URL"
    assert plan["time"].startswith("about 7s at 600 purchases a minute")
    assert plan["disk"].startswith("about 3.0 MB at 1.5 MB an image; ")
    assert plan["cost"] == "about 1.0 at 0.5 a job"
    assert plan["in doubt"].startswith("an answer lost, if the API has no list: bought once more")
    assert "warning" not in plan
    assert listing(tmp_path) == before


def test_the_line_in_the_readme_makes_a_manifest_of_photos_whatever_they_are_called(tmp_path):
    for name in ("plain.jpg", 'a "fox", a lake.JPEG', "é/it's.jpg"):
        picture(tmp_path / "photos" / name, form="JPEG")
    (tmp_path / "photos" / "notes.txt").touch()
    readme = (ROOT / "README.md").read_text("utf-8")
    (line, typed) = re.search(
        r"`(.*find photos .* > tonight\.csv)` and\s`overnight run (.*)`\.", readme
    ).groups()
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True, timeout=60)
    plan = plan_of(overnight(tmp_path, "check", *shlex.split(typed)))
    assert plan["jobs"] == "3 to buy, 3 images"


def test_a_missing_token_is_told_and_is_no_mistake(tmp_path):
    write(tmp_path, table("a"))
    assert plan_of(overnight(tmp_path, "check", "cats.csv"))["warning"].startswith(
        "no token for api.quickrouter"
    )
    assert "warning" not in plan_of(overnight(tmp_path, "check", "cats.csv", "--api", "sandbox"))


def test_images_that_the_database_does_not_know_are_told_before_they_are_bought_again(tmp_path):
    write(tmp_path, table("a", "b"))
    there = tmp_path / "outputs-sandbox" / "cats"
    (there / "more").mkdir(parents=True)
    (there / ".hidden").touch()
    assert "warning" not in plan_of(overnight(tmp_path, "check", "cats.csv", "--api", "sandbox"))
    for name in ("a-0.png", "more/b-0.png"):
        (there / name).touch()
    told = f"{there} has 2 files already, but this database does not know batch cats: every row is bought"
    assert told in plan_of(overnight(tmp_path, "check", "cats.csv", "--api", "sandbox"))["warning"]
    assert f"warning: {told}" in overnight(tmp_path, "load", "cats.csv", "--api", "sandbox").stderr
    told = f"{there} has an image of cats/a, which this database has not bought"
    assert told in plan_of(overnight(tmp_path, "check", "cats.csv", "--api", "sandbox"))["warning"]


def test_the_plan_says_why_it_is_this_api(tmp_path):
    write(tmp_path, table("a"))
    replicate = "replicate https://api.replicate.com/v1"
    by_option = overnight(tmp_path, "check", "cats.csv", "--api", "replicate")
    by_setting = overnight(tmp_path, "check", "cats.csv", OVERNIGHT_API_URL="replicate")
    assert plan_of(by_option)["api"] == f"{replicate} (--api)"
    assert plan_of(by_setting)["api"] == f"{replicate} (OVERNIGHT_API_URL)"
    accounts = {
        "OVERNIGHT_ACCOUNTS": "main,spare",
        "OVERNIGHT_API_TOKEN_MAIN": "a",
        "OVERNIGHT_API_TOKEN_SPARE": "b",
        "OVERNIGHT_API_URL_SPARE": "replicate",
    }
    by_account = overnight(tmp_path, "check", "cats.csv", "--account", "spare", **accounts)
    assert plan_of(by_account)["api"] == f"{replicate} (account spare)"
    anyone = overnight(tmp_path, "check", "cats.csv", "--account", "any", **accounts)
    assert plan_of(anyone)["api"].endswith("(the default)")


def test_what_is_done_about_lost_answers_can_be_chosen(tmp_path):
    write(tmp_path, table("a"))
    done = overnight(tmp_path, "check", "cats.csv", "--when-unconfirmed", "hold")
    assert plan_of(done)["in doubt"].endswith("failed, class unconfirmed, for a person to decide")


def test_every_mistake_ends_with_2_on_the_error_stream(tmp_path):
    write(tmp_path, f"image,prompt,num_outputs\n{WEB},a,9\n{WEB},b,9\nnone.png,,1\n")
    before = listing(tmp_path)
    done = overnight(tmp_path, "check", "cats.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == (
        "overnight: cats.csv:2: num_outputs: 9 is more than 8 (2 times: lines 2-3)"
    )
    assert len(done.stderr.splitlines()) == 3
    assert listing(tmp_path) == before


def test_json_lists_every_kind_of_mistake_with_its_lines(tmp_path):
    columns = [f"unknown_{n}" for n in range(30)]
    write(tmp_path, f"image,prompt,{','.join(columns)}\n{WEB},a{',' * 30}\n")
    done = overnight(tmp_path, "check", "cats.csv", "--json")
    data = json.loads(done.stdout)
    assert done.returncode == 2
    assert data["plan"] is None
    assert [kind["column"] for kind in data["mistakes"]] == columns
    assert {(kind["file"], kind["line"], kind["count"]) for kind in data["mistakes"]} == {("cats.csv", 1, 1)}
    assert "10 more kinds" in done.stderr


def test_json_has_the_plan(tmp_path):
    write(tmp_path, table("a", "b"))
    data = json.loads(overnight(tmp_path, "check", "cats.csv", "--json", "--limit", "1").stdout)
    assert data["mistakes"] == []
    assert (data["plan"]["jobs"], data["plan"]["images"], data["plan"]["cost"]) == (1, 1, None)


def test_a_manifest_that_is_loaded_is_compared_and_nothing_changes(tmp_path):
    write(tmp_path, table("a", "b"))
    overnight(tmp_path, "load", "cats.csv", "--default", "num_outputs=2")
    write(tmp_path, table("b", "c"))
    before = listing(tmp_path)
    plan = plan_of(overnight(tmp_path, "check", "cats.csv"))
    assert plan["batch"] == "cats: 1 new, 1 there, 1 no longer listed"
    assert plan["jobs"] == "3 to buy, 6 images"
    assert plan["database"] == str(tmp_path / "overnight.db")
    assert listing(tmp_path) == before


def test_rows_that_are_no_longer_listed_are_bought_too_and_a_command_gives_them_up(tmp_path):
    write(tmp_path, table("a", "b[1]"))
    overnight(tmp_path, "load", "cats.csv")
    write(tmp_path, table("c"))
    plan = plan_of(overnight(tmp_path, "check", "cats.csv", OVERNIGHT_PRICE="0.5"))
    assert (plan["jobs"], plan["cost"]) == ("3 to buy, 3 images", "about 1.5 at 0.5 a job")
    told, _, printed = plan["besides"].partition("; to give them up: ")
    assert told == "2 of these jobs are no longer listed, but are bought all the same"
    done = overnight(tmp_path, *shlex.split(printed)[1:])
    assert done.stderr == "cats: 2 jobs cancelled\n"
    plan = plan_of(overnight(tmp_path, "check", "cats.csv"))
    assert plan["jobs"] == "1 to buy, 1 image"
    assert "besides" not in plan


def test_many_rows_that_are_no_longer_listed_are_to_be_looked_for(tmp_path):
    write(tmp_path, table("a", "b", "c", "d"))
    overnight(tmp_path, "load", "cats.csv")
    write(tmp_path, table("e"))
    besides = plan_of(overnight(tmp_path, "check", "cats.csv"))["besides"]
    assert besides.endswith("; they are among: overnight jobs cats --state pending")


def test_rows_that_a_limit_leaves_unread_are_bought_if_they_are_loaded(tmp_path):
    write(tmp_path, table("a", "b", "c"))
    overnight(tmp_path, "load", "cats.csv")
    done = overnight(tmp_path, "check", "cats.csv", "--limit", "1")
    assert plan_of(done)["jobs"] == "3 to buy, 3 images"
    assert plan_of(done)["besides"] == (
        "2 of these jobs were loaded before, and are not among the rows read now"
    )
    data = json.loads(overnight(tmp_path, "check", "cats.csv", "--limit", "1", "--json").stdout)
    assert (data["plan"]["jobs"], data["plan"]["unlisted"]) == (3, 2)


def test_what_was_typed_of_lost_answers_is_in_the_plan_of_the_next_time(tmp_path):
    write(tmp_path, table("a"))
    overnight(tmp_path, "load", "cats.csv", "--when-unconfirmed", "hold")
    held = "failed, class unconfirmed, for a person to decide"
    assert plan_of(overnight(tmp_path, "check", "cats.csv"))["in doubt"].endswith(held)
    again = overnight(tmp_path, "check", "cats.csv", "--when-unconfirmed", "resubmit")
    assert "bought once more" in plan_of(again)["in doubt"]


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"can_list": True}, None),
        ({"can_list": True, "list_echoes": False}, "an answer lost: bought once more"),
        ({"can_list": False}, "an answer lost: bought once more"),
        ({}, "an answer lost, if the API has no list: bought once more"),
    ],
)
def test_of_lost_answers_the_plan_says_what_is_true_of_this_api(tmp_path, sqlite_database, seen, told):
    write(tmp_path, table("a"))
    api = "https://api.quickrouter.ai/replicate/v1"
    factory.make_account(sqlite_database, api=apis.parse(api).identity, **seen)
    url = f"sqlite:///{sqlite_database.path}"
    said = plan_of(overnight(tmp_path, "check", "cats.csv", OVERNIGHT_DATABASE_URL=url)).get("in doubt")
    assert said is None if told is None else said.startswith(told)


def test_what_a_run_would_refuse_is_refused(tmp_path):
    write(tmp_path, table("a"))
    overnight(tmp_path, "load", "cats.csv")
    write(tmp_path, table("a", prompt="edited"))
    done = overnight(tmp_path, "check", "cats.csv")
    assert done.returncode == 2
    assert "--update" in done.stderr
    assert plan_of(overnight(tmp_path, "check", "cats.csv", "--update"))["batch"] == "cats: 0 new, 1 changed"


def test_bad_rows_are_counted_apart_when_they_may_fail(tmp_path):
    write(tmp_path, f"image,prompt,seed\n{WEB},a,no\n{WEB},b,1\n")
    plan = plan_of(overnight(tmp_path, "check", "cats.csv", "--keep-going", "--api", "sandbox"))
    assert plan["jobs"] == "1 to buy, 1 image; 1 with a mistake: failed from the start"
    assert plan["warning"] == "cats.csv:2: seed: no is not a whole number"


def test_a_missing_picture_is_a_mistake_for_scripts_too(tmp_path):
    write(tmp_path, f"image,prompt\ntom.png,a\n{WEB},b\n")
    done = overnight(tmp_path, "check", "cats.csv", "--json")
    assert done.returncode == 2
    (mistake,) = json.loads(done.stdout)["mistakes"]
    assert (mistake["line"], mistake["column"], mistake["message"]) == (2, "image", "cannot be found")


def test_an_empty_database_on_a_server_stays_empty(tmp_path, empty_postgres_url):
    write(tmp_path, table("a"))
    done = overnight(tmp_path, "check", "cats.csv", OVERNIGHT_DATABASE_URL=empty_postgres_url)
    assert plan_of(done)["batch"] == "cats: 1 new"
    assert overnight(tmp_path, "db", "check", OVERNIGHT_DATABASE_URL=empty_postgres_url).returncode == 69


ALONE = "overnight: with --keep-going such rows fail alone, and the others are bought"


@pytest.mark.parametrize(
    ("rows", "helps"),
    [
        ("b.png,fox\nhttps://images.example/a.png,\nhttps://images.example/a.png,fox\n", True),
        ("https://images.example/a.png,\nhttps://images.example/b.png,\n", False),
    ],
)
def test_mistakes_of_some_rows_come_with_the_way_to_buy_the_others(tmp_path, rows, helps):
    write(tmp_path, f"image,prompt\n{rows}")
    done = overnight(tmp_path, "check", "cats.csv")
    assert done.returncode == 2
    assert (ALONE in done.stderr.splitlines()) == helps


def test_a_mistake_of_the_whole_manifest_comes_without_it(tmp_path):
    write(
        tmp_path,
        "image,prompt,guidance_scal\nhttps://images.example/a.png,,7\nhttps://images.example/a.png,fox,7\n",
    )
    assert ALONE not in overnight(tmp_path, "check", "cats.csv").stderr
