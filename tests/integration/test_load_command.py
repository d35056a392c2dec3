"""`overnight load` as a person types it, kill -9 included."""

import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import time
from datetime import datetime

import pytest
import sqlalchemy as sa

from jobs import marker, tables
from jobs.database import Database
from tests import programs
from tests.integration.loads import listing, overnight, table
from tests.manifests import WEB, picture, write


def rows_of(url):
    query = sa.select(
        tables.jobs,
        tables.batches.c.uuid,
        tables.batches.c.name,
        tables.batches.c.state.label("batch"),
        tables.batches.c.options,
    )
    database = Database(url)
    with database.read() as tx:
        found = tx.execute(query.join(tables.batches).order_by(tables.jobs.c.id)).all()
    database.close()
    return found


def in_folder(folder):
    return f"sqlite:///{folder / 'overnight.db'}"


def test_a_manifest_becomes_a_batch_in_a_new_database_without_a_token(tmp_path):
    write(tmp_path, table("a", "b"))
    done = overnight(tmp_path, "load", "cats.csv")
    assert (done.returncode, done.stdout) == (0, "cats: 2 new\n")
    assert done.stderr == "Type next: overnight run cats\n"
    assert [(row.key, row.state, row.name, row.batch) for row in rows_of(in_folder(tmp_path))] == [
        ("a", "pending", "cats", "ready"), ("b", "pending", "cats", "ready"),
    ]  # fmt: skip


def test_the_command_printed_carries_the_options_it_needs(tmp_path):
    write(tmp_path, table("a"))
    done = overnight(tmp_path, "load", "cats.csv", "--api", "sandbox", "--database", "sqlite:///my cats.db")
    printed = done.stderr.removeprefix("Type next: ")
    assert shlex.split(printed) == [
        "overnight", "run", "cats", "--api", "sandbox", "--database", "sqlite:///my cats.db",
    ]  # fmt: skip


def test_postgresql_gets_its_tables_and_the_rows(tmp_path, empty_postgres_url):
    write(tmp_path, table("a", "b"))
    done = overnight(tmp_path, "load", "cats.csv", OVERNIGHT_DATABASE_URL=empty_postgres_url)
    assert (done.returncode, done.stdout) == (0, "cats: 2 new\n")
    assert [row.key for row in rows_of(empty_postgres_url)] == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cats.csv"]


def test_every_mistake_is_told_at_once_and_nothing_is_written(tmp_path):
    write(tmp_path, f"image,prompt,strenght\n{WEB},a,1\nmissing.png,b,2\n")
    before = listing(tmp_path)
    done = overnight(tmp_path, "load", "cats.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2
    assert "cats.csv:1: strenght: did you mean prompt_strength?" in done.stderr
    assert "cats.csv:3: image: missing.png cannot be found" in done.stderr
    assert listing(tmp_path) == before


def test_a_reload_prints_the_diff(tmp_path):
    write(tmp_path, table("a", "b"))
    overnight(tmp_path, "load", "cats.csv")
    write(tmp_path, table("b", "c", "d"))
    assert overnight(tmp_path, "load", "cats.csv").stdout == "cats: 2 new, 1 there, 1 no longer listed\n"


def test_edited_rows_end_with_2_until_update_is_said(tmp_path):
    write(tmp_path, table("a", "b"))
    overnight(tmp_path, "load", "cats.csv")
    write(tmp_path, table("a", "b", prompt="edited"))
    refused = overnight(tmp_path, "load", "cats.csv")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "cats.csv:2: 2 rows were edited" in refused.stderr
    done = overnight(tmp_path, "load", "cats.csv", "--update")
    assert (done.returncode, done.stdout) == (0, "cats: 0 new, 2 changed\n")
    assert "2 rows changed as edited" in done.stderr
    assert {row.input["prompt"] for row in rows_of(in_folder(tmp_path))} == {"edited"}


def test_what_was_bought_is_left_with_a_command_that_works_as_printed(tmp_path):
    write(tmp_path, table("a[1]"))
    overnight(tmp_path, "load", "cats.csv")
    database = Database(in_folder(tmp_path))
    with database.write() as tx:
        tx.execute(sa.update(tables.jobs).values(state="succeeded", due_at=None, finished_at=sa.func.now()))
    database.close()
    write(tmp_path, table("a[1]", prompt="edited"))
    told = overnight(tmp_path, "load", "cats.csv", "--update").stderr
    printed = told.partition("with --update after: overnight ")[2].splitlines()[0]
    assert overnight(tmp_path, *shlex.split(printed)).returncode == 0
    assert "1 row changed as edited" in overnight(tmp_path, "load", "cats.csv", "--update").stderr


def test_json_has_the_counts(tmp_path):
    write(tmp_path, table("a", "b"))
    done = overnight(tmp_path, "load", "cats.csv", "--limit", "1", "--json")
    assert json.loads(done.stdout) == {
        "batch": "cats", "state": "ready", "new": 1, "there": 0, "changed": 0, "no_longer_listed": 0,
        "failed": 0, "updated": 0, "left_as_bought": 0, "dropped": 0,
    }  # fmt: skip


def test_a_file_with_names_of_its_own_is_adapted_once(tmp_path):
    picture(tmp_path / "photos" / "tom.png")
    write(tmp_path, 'photo,text,"who, when"\ntom.png,a fox,me\n')
    adapted = [
        "--column", "image=photo", "--column", "prompt=text", "--label", '"who, when"', "--images", "photos",
        "--default", "num_outputs=2", "--default", "negative_prompt=a=b",
    ]  # fmt: skip
    assert overnight(tmp_path, "load", "cats.csv", *adapted).returncode == 0
    (row,) = rows_of(in_folder(tmp_path))
    assert (row.image, row.labels) == ("tom.png", {"who, when": "me"})
    assert (row.input["num_outputs"], row.input["negative_prompt"]) == (2, "a=b")
    again = overnight(tmp_path, "load", "cats.csv")
    assert (again.returncode, again.stdout) == (0, "cats: 0 new, 1 there\n")


def test_what_carries_a_column_along_works_as_it_is_printed(tmp_path):
    write(tmp_path, f'image,prompt,"zzz, ""px"""\n{WEB},a fox,9\n')
    printed = overnight(tmp_path, "load", "cats.csv").stderr.partition("to carry the column along: ")[2]
    assert overnight(tmp_path, "load", "cats.csv", *shlex.split(printed)).returncode == 0
    (row,) = rows_of(in_folder(tmp_path))
    assert row.labels == {'zzz, "px"': "9"}


def test_a_folder_that_was_renamed_goes_on_with_its_batch_and_its_pictures(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    picture(before / "photos" / "tom.png")
    write(before, "image,prompt\nphotos/tom.png,a fox\n")
    assert overnight(before, "load", "cats.csv").returncode == 0
    before.rename(after)
    told = overnight(after, "load", "cats.csv")
    assert (told.returncode, "add --update" in told.stderr) == (2, True)
    done = overnight(after, "load", "cats.csv", "--update")
    assert (done.returncode, done.stdout) == (0, "cats: 0 new, 1 there\n")
    assert overnight(after, "load", "cats.csv").returncode == 0
    (row,) = rows_of(in_folder(after))
    assert row.options["images_root"] == str(after)


def test_what_a_yaml_file_says_is_not_kept_against_its_next_edition(tmp_path):
    content = f"batch: tom\ndefaults: {{num_outputs: N}}\njobs:\n  - {{key: a, image: '{WEB}', prompt: x}}\n"
    write(tmp_path, content.replace("N", "2"), "cats.yaml")
    assert overnight(tmp_path, "load", "cats.yaml").stdout == "tom: 1 new\n"
    write(tmp_path, content.replace("N", "3"), "cats.yaml")
    assert overnight(tmp_path, "load", "cats.yaml", "--update").stdout == "tom: 0 new, 1 changed\n"
    (row,) = rows_of(in_folder(tmp_path))
    assert row.input["num_outputs"] == 3


def test_options_are_kept_for_a_batch_that_its_yaml_file_names(tmp_path):
    content = f"batch: tom\njobs:\n  - {{key: a, image: '{WEB}', text: x}}\n"
    write(tmp_path, content, "cats.yaml")
    assert overnight(tmp_path, "load", "cats.yaml", "--column", "prompt=text").returncode == 0
    assert overnight(tmp_path, "load", "cats.yaml").stdout == "tom: 0 new, 1 there\n"


def test_the_name_may_hold_the_date(tmp_path):
    write(tmp_path, table("a"))
    before = datetime.now().astimezone().date()
    done = overnight(tmp_path, "load", "cats.csv", "--batch", "cats-{date}")
    days = {before, datetime.now().astimezone().date()}
    assert done.stdout in {f"cats-{day}: 1 new\n" for day in days}


DATED = ("load", "cats.csv", "--batch", "cats-{date}")


def begun_yesterday(folder, *files):
    """Load a dated batch, and make it yesterday's: its name is all that tells the day."""
    assert overnight(folder, *DATED[:1], *(files or DATED[1:2]), *DATED[2:]).returncode == 0
    database = Database(in_folder(folder))
    with database.write() as tx:
        tx.execute(sa.update(tables.batches).values(name="cats-2026-01-31"))
    database.close()


def test_a_dated_batch_that_is_not_finished_is_gone_on_with_after_midnight(tmp_path):
    write(tmp_path, table("a", "b"))
    begun_yesterday(tmp_path)
    for words in (DATED, ("check", *DATED[1:])):
        done = overnight(tmp_path, *words)
        assert done.returncode == 0
        assert "cats-2026-01-31: 0 new, 2 there" in done.stdout
        assert done.stderr.startswith("going on with cats-2026-01-31, which this same manifest began")
    assert {row.name for row in rows_of(in_folder(tmp_path))} == {"cats-2026-01-31"}


def test_so_it_is_when_a_yaml_file_gives_the_name_and_another_one_the_rows(tmp_path):
    write(tmp_path, table("a"), "rows.csv")
    write(tmp_path, "batch: cats-{date}\njobs: rows.csv\n", "cats.yaml")
    begun_yesterday(tmp_path, "cats.yaml")
    assert overnight(tmp_path, "load", "cats.yaml").stdout == "cats-2026-01-31: 0 new, 1 there\n"
    write(tmp_path, table("a", "b"), "rows.csv")
    assert overnight(tmp_path, "load", "cats.yaml").stdout.endswith(": 2 new\n")


@pytest.mark.parametrize(
    "otherwise",
    [
        {"state": "succeeded", "due_at": None, "finished_at": sa.func.now()},
        {"manifest_sha256": "0" * 64},
        {"manifest_path": __file__},
        {"api": "https://other.example/v1"},
        {"name": "dogs-2026-01-31"},
        {"state": "cancelled"},
    ],
    ids=["finished", "edited", "another path", "another API", "another name", "cancelled"],
)
def test_any_other_dated_batch_is_left_alone(tmp_path, otherwise):
    write(tmp_path, table("a"))
    begun_yesterday(tmp_path)
    database = Database(in_folder(tmp_path))
    with database.write() as tx:
        tx.execute(sa.update(tables.jobs if "due_at" in otherwise else tables.batches).values(otherwise))
    database.close()
    done = overnight(tmp_path, *DATED)
    assert (done.returncode, done.stdout.partition(": ")[2]) == (0, "1 new\n")


def test_what_was_typed_of_lost_answers_need_not_be_typed_again(tmp_path):
    write(tmp_path, table("a"))

    def kept(*words, **settings):
        assert overnight(tmp_path, "load", "cats.csv", *words, **settings).returncode == 0
        database = Database(in_folder(tmp_path))
        with database.read() as tx:
            options = tx.execute(sa.select(tables.batches.c.options)).scalar_one()
        database.close()
        return options["when_unconfirmed"]

    assert kept("--when-unconfirmed", "hold") == "hold"
    assert kept() == "hold"
    assert kept(OVERNIGHT_WHEN_UNCONFIRMED="resubmit") == "hold"
    assert kept("--when-unconfirmed", "resubmit") == "resubmit"


def test_a_file_name_that_a_shell_would_take_apart_becomes_a_plain_one(tmp_path):
    write(tmp_path, table("a"), "my cats (2).csv")
    assert overnight(tmp_path, "load", "my cats (2).csv").stdout == "my-cats-2: 1 new\n"


def test_standard_input_needs_a_name_and_is_loaded_under_it(tmp_path):
    nameless = overnight(tmp_path, "load", "-", stdin=table("a"))
    assert (nameless.returncode, nameless.stderr) == (
        2, "overnight: standard input has no name; add --batch NAME\n",
    )  # fmt: skip
    for line in ("cats: 1 new\n", "cats: 0 new, 1 there\n"):
        assert overnight(tmp_path, "load", "-", "--batch", "cats", stdin=table("a")).stdout == line


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--batch", "a b"], '--batch: "a b" is no name for a batch'),
        (["--batch", ""], '--batch: "" is no name for a batch'),
        (["--account", ""], "--account: '' is no name of one account"),
        (["--column", "prompt"], '"prompt" is not of the form NAME=VALUE'),
        (["--default", "seed=1", "--default", "seed=2"], "seed is given twice"),
        (["--limit", "0"], "--limit"),
        (["--images", "nowhere"], "nowhere: is no folder: name the one where the pictures are\n"),
        (["--column", "foo=bar"], "overnight: --column foo=bar: is no input of the model"),
        (
            ["--default", "promt=x"],
            "overnight: --default promt=x: cannot have a default: did you mean prompt?",
        ),
        (["--default", "seed=a b"], 'overnight: --default "seed=a b": "a b" is not a whole number'),
        (["--when-unconfirmed", "guess"], "--when-unconfirmed"),
    ],
)
def test_an_option_that_says_nothing_sensible_ends_with_2(tmp_path, words, sentence):
    write(tmp_path, table("a"))
    done = overnight(tmp_path, "load", "cats.csv", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cats.csv"]


def test_a_manifest_that_is_not_there_ends_with_2(tmp_path):
    done = overnight(tmp_path, "load", "cats.csv")
    assert done.returncode == 2
    assert f"no such file in {tmp_path}" in done.stderr


def test_a_bad_row_is_loaded_as_failed_when_asked(tmp_path):
    write(tmp_path, f"key,image,prompt,seed\na,{WEB},x,no\nb,{WEB},x,1\n")
    assert overnight(tmp_path, "load", "cats.csv").returncode == 2
    done = overnight(tmp_path, "load", "cats.csv", "--keep-going")
    assert (done.returncode, done.stdout) == (0, "cats: 2 new\n")
    assert "warning: cats.csv:2: seed: no is not a whole number" in done.stderr
    assert "1 row with a mistake: failed, class invalid-input" in done.stderr


def test_a_row_without_its_picture_is_loaded_as_failed_with_its_own_class(tmp_path):
    write(tmp_path, f"key,image,prompt\na,tom.png,x\nb,{WEB},x\n")
    done = overnight(tmp_path, "load", "cats.csv", "--keep-going")
    assert (done.returncode, done.stdout) == (0, "cats: 2 new\n")
    assert "warning: cats.csv:2: image: tom.png cannot be found" in done.stderr
    assert "1 row without a usable picture: failed, class input-unreadable" in done.stderr
    assert "with a mistake" not in done.stderr


def test_a_server_that_is_away_ends_with_69_in_one_line(tmp_path):
    write(tmp_path, table("a"))
    away = f"postgresql://me@/cats?host={tmp_path}"
    done = overnight(tmp_path, "load", "cats.csv", OVERNIGHT_DATABASE_URL=away)
    assert done.returncode == 69
    assert done.stderr.count("\n") == 1


def test_kill_9_at_any_moment_and_again_loads_every_row_once(tmp_path, empty_url):
    keys = [f"key-{n}" for n in range(15_000)]
    write(tmp_path, table(*keys))
    moments = [0, *sorted(random.Random(1).sample(range(1, len(keys)), 3))]
    broken_off = 0
    for moment in moments:
        with started(tmp_path, empty_url) as child:
            while child.poll() is None and loaded_so_far(empty_url) < moment:
                time.sleep(0.01)
            child.kill()
            broken_off += child.wait() == -signal.SIGKILL
    assert broken_off
    with started(tmp_path, empty_url) as child:
        assert child.wait(60) == 0
    rows = rows_of(empty_url)
    assert [row.key for row in rows] == keys
    assert {(row.name, row.batch, row.state) for row in rows} == {("cats", "ready", "pending")}
    assert all(row.input["seed"] == marker.seed(row.uuid, row.key) for row in rows)


@contextlib.contextmanager
def started(folder, url):
    words = ("overnight", "load", "cats.csv")
    child = programs.Program(
        *words, cwd=folder, env=os.environ | {"OVERNIGHT_DATABASE_URL": url}, stdout=subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def loaded_so_far(url):
    """Return how many jobs there are; -1 while there is no table to hold them."""
    database = Database(url)
    try:
        if database.path and not database.path.exists():
            return -1
        with database.read() as tx:
            return tx.execute(sa.select(sa.func.count()).select_from(tables.jobs)).scalar_one()
    except Exception:  # noqa: BLE001  whatever a database says that is just being made
        return -1
    finally:
        database.close()
