"""The list of jobs, in a terminal and in a pipe."""

import json
import os
import subprocess
import sys

import pytest

from jobs.reports.listing import Line
from jobs.states import State
from overnight.display import listing
from tests import factory


def test_a_pipe_gets_tabs_no_header_and_whole_errors(desk):
    desk.job(State.SUCCEEDED, key="a")
    desk.job(key="b/c", error_class="nsfw", error_message="x" * 300)
    ended = desk.type("jobs")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"cats/a\tsucceeded\t\t1\t\ncats/b/c\tfailed\tnsfw\t1\t{'x' * 300}\n"


def test_all_batches_or_one_and_the_first_so_many(desk):
    other = factory.make_batch(desk.database, name="dogs")
    desk.job(key="a")
    factory.make_job(desk.database, other, key="b")
    desk.job(key="c")
    assert [line.split("\t")[0] for line in desk.type("jobs").stdout.splitlines()] == [
        "cats/a",
        "dogs/b",
        "cats/c",
    ]
    assert desk.type("jobs", "dogs").stdout.startswith("dogs/b\t")
    assert desk.type("jobs", "cats", "--limit", "1").stdout.count("\n") == 1


def test_json_is_a_line_per_job(desk):
    desk.job(key="é\x1b", error_class="nsfw", error_message="why")
    ended = desk.type("jobs", "--json")
    (line,) = map(json.loads, ended.stdout.splitlines())
    assert line["key"] == "é\x1b"
    assert (line["state"], line["error_class"], line["error_message"]) == ("failed", "nsfw", "why")
    assert line["finished_at"].endswith("+00:00")
    assert ended.stdout.isascii()


def test_an_error_cannot_forge_a_line_or_a_column(desk):
    desk.job(key="a", error_message="x\ncats/b\tsucceeded\x1b[2J")
    (line,) = desk.type("jobs").stdout.splitlines()
    assert line.split("\t")[-1] == r"x\ncats/b\tsucceeded\x1b[2J"


def test_no_job_is_no_data_and_one_sentence(desk):
    ended = desk.type("jobs", "--state", "running")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "no job matches\n")


@pytest.mark.parametrize("verb", ["jobs", "retry", "cancel"])
def test_a_key_that_is_typed_as_its_job_is_printed_chooses_nothing_and_is_told(desk, verb):
    desk.job(key="dogs/a [1]", error_class="expired")
    ended = desk.type(verb, "cats", "--key", "cats/dogs/a [1]")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.splitlines()[0].endswith("; leave out the batch, as in --key 'dogs/a [[]1]'")
    assert "leave out" not in desk.type(verb, "cats", "--key", "cats/*").stderr


@pytest.mark.parametrize("verb", ["jobs", "export"])
def test_what_is_listed_can_be_chosen_by_a_label(desk, verb):
    for key, place in (("a", "lake"), ("b", "hill")):
        desk.job(key=key, labels={"place": place})
    whole, some = desk.type(verb, "cats").stdout, desk.type(verb, "cats", "--label", "place=lake").stdout
    of_a, of_b = whole.splitlines()[-2:]
    assert some == whole.replace(f"{of_b}\n", "")
    assert of_a in some


@pytest.mark.parametrize(("verb", "chosen"), [("retry", "pending"), ("cancel", "cancelled")])
def test_what_is_changed_can_be_chosen_by_a_label(desk, verb, chosen):
    before = "failed" if verb == "retry" else "pending"
    for key, place in (("a", "lake"), ("b", "hill")):
        desk.job(before, key=key, labels={"place": place})
    assert desk.type(verb, "cats", "--label", "place=lake").returncode == 0
    assert desk.states() == {"a": chosen, "b": before}


def test_a_reader_that_leaves_early_is_no_failure(desk):
    for _ in range(20):
        desk.job(error_message="x" * 20_000)
    command = f"{sys.executable} -m overnight jobs | head -c 1"
    piped = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=desk.folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, "c", "")


def test_a_terminal_gets_a_header_and_columns(desk):
    desk.job(key="a", error_message="x" * 300)
    code, text = desk.type_in_a_terminal("jobs")
    shown = text.splitlines()
    assert code == 0
    assert shown[0].split() == ["JOB", "STATE", "CLASS", "ATTEMPTS", "ERROR"]
    assert shown[1].endswith("…")
    assert len(shown[1]) == 80
    assert shown[0].index("STATE") == shown[1].index("failed")


def _line(key, message=""):
    return Line("cats", key, "failed", 1, "nsfw", message, None, None)


def test_columns_mind_letters_of_double_width_and_never_cut_a_key():
    pages = [[_line("狐狐"), _line("k" * 100, "why")]]
    header, wide, long = listing.aligned(pages, 60)
    assert header.index("STATE") == len("cats/") + 100 + 2
    assert wide.startswith("cats/狐狐 ")
    assert "k" * 100 in long
