"""What leaves the database: results as tables and lines, and manifests that load again as they are."""

import contextlib
import csv
import io
import json
import os
import re
import sqlite3

import pytest
import sqlalchemy as sa

from jobs import tables
from jobs.manifest import rows, schema
from jobs.reports import exports, spreadsheet
from jobs.selecting import selection
from jobs.selecting.selection import Selection
from jobs.states import Phase, State
from tests import factory, manifests
from tests.integration.rehearsal import ROOT

ODD = ["=1+1", "-x", "a\r\nb", 'say "hi", he', "🦊 狐", "\x1b[2J", "'=1"]


def table_of(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_names_come_from_the_chosen_jobs_in_the_models_order(database):
    batch, other = factory.make_batch(database), factory.make_batch(database)
    factory.make_job(
        database, batch, labels={'a"b': "1", "é\\": "2"}, input={"seed": 1, "zoom": 2, "prompt": "a"}
    )
    factory.make_job(database, batch, labels={"split": "x"}, input={"num_outputs": 1})
    factory.make_job(database, other, labels={"other": "x"}, input={"scheduler": "K"})
    names = exports.names(database, Selection(), batch.id)
    assert names.inputs == ("prompt", "num_outputs", "seed", "zoom")
    assert names.labels == ('a"b', "split", "é\\")
    assert exports.names(database, Selection(keys=("none",)), batch.id) == exports.Names((), ())


def test_a_record_per_job_has_its_images_and_one_per_image_only_those_on_disk(database):
    batch = factory.make_batch(database)
    done = factory.make_job(database, batch, state=State.SUCCEEDED, key="done")
    with database.read() as tx:
        attempt = tx.execute(sa.select(tables.attempts)).one()
    factory.make_output(database, attempt, index=1)
    factory.make_output(database, attempt, index=2, collected=False)
    factory.make_job(database, batch, key="todo")
    of_jobs = list(exports.records(database, Selection(), per=exports.Per.JOB))
    assert [(one["key"], len(one["images"])) for one in of_jobs] == [("done", 2), ("todo", 0)]
    of_images = list(exports.records(database, Selection(), per=exports.Per.IMAGE))
    assert [(one["key"], one["index"], one["path"]) for one in of_images] == [
        ("done", 0, f"made/{attempt.id}-0.png"),
        ("done", 1, f"made/{attempt.id}-1.png"),
    ]
    assert of_images[0]["prediction_id"] == attempt.prediction_id
    assert of_jobs[0]["input"] == done.input


def test_images_of_an_attempt_that_a_later_one_replaced_are_not_listed(database):
    batch = factory.make_batch(database)
    job = factory.make_job(database, batch, state=State.SUCCEEDED)
    later = factory.make_attempt(database, job, Phase.SUCCEEDED)
    factory.make_output(database, later)
    with database.write() as tx:
        tx.execute(sa.update(tables.jobs).values(attempt_id=later.id))
    found = list(exports.records(database, Selection(), per=exports.Per.IMAGE))
    assert [one["path"] for one in found] == [f"made/{later.id}-0.png"]


def test_the_cost_of_a_job_that_was_bought_twice_is_that_of_its_last_attempt(database):
    batch = factory.make_batch(database)
    job = factory.make_job(database, batch, state=State.SUCCEEDED)
    with database.write() as tx:
        tx.execute(sa.update(tables.attempts).values(phase=Phase.FAILED, cost=0.25))
    later = factory.make_attempt(database, job, Phase.SUCCEEDED, cost=0.5)
    with database.write() as tx:
        tx.execute(sa.update(tables.jobs).values(attempt_id=later.id))
    with database.read() as tx:
        assert tx.execute(sa.text("SELECT cost FROM results")).scalars().all() == [0.5]
    [exported] = exports.records(database, Selection(), per=exports.Per.JOB)
    assert exported["cost"] == 0.5


def test_pages_leave_no_job_out_and_none_twice(database, monkeypatch):
    monkeypatch.setattr(selection, "_PAGE", 3)
    batch = factory.make_batch(database)
    keys = [factory.make_job(database, batch).key for _ in range(8)]
    found = exports.records(database, Selection(), per=exports.Per.JOB)
    assert [one["key"] for one in found] == keys


def test_a_job_that_no_longer_fits_when_its_page_is_read_is_left_out(database):
    batch = factory.make_batch(database)
    factory.make_job(database, batch)
    found = exports.records(database, Selection(states=("pending",)), per=exports.Per.JOB)
    with database.write() as tx:
        tx.execute(sa.update(tables.jobs).values(state=State.QUEUED))
    assert list(found) == []


@pytest.mark.parametrize("folder_of_pictures", ["here", "elsewhere"])
def test_an_exported_manifest_loads_as_the_same_rows(database, tmp_path, folder_of_pictures):
    root = tmp_path / folder_of_pictures
    manifests.picture(root / "tom & jerry.png")
    cells = [
        "tom & jerry.png",
        *(f'"{text.replace(chr(34), chr(34) * 2)}"' for text in (ODD[0], ODD[3])),
        "0.5",
        "3",
    ]
    written = manifests.write(
        root,
        "image,prompt,label.who,prompt_strength,priority,seed,label.split,version\r\n"
        + ",".join([*cells, "7", "train", ""])
        + "\r\n"
        + ",".join([*cells[:3], "1e-05", "", "", "", ""])
        + "\r\n"
        + ",".join([*cells[:3], "0.25", "", "", "", schema.load().version])
        + "\r\n",
    )
    before = manifests.rows_of(written)
    batch = factory.make_batch(database, options={"images_root": str(root)})
    for row in before:
        _load(database, batch, row)
    exported = tmp_path / "again.csv"
    with exported.open("w", encoding="utf-8", newline="") as out:
        names = exports.names(database, Selection(), batch.id)
        header = [exports.manifest_header(names)]
        lines = exports.manifest_rows(database, Selection(), batch.id, names)
        spreadsheet.write(out, [*header, *lines], raw=True)
    after = manifests.rows_of(exported, rows.Adaptation(images=root))
    assert [row.digest for row in after] == [row.digest for row in before]
    assert [row.key for row in after] == [row.key for row in before]
    assert "seed" not in manifests.inputs_of(after[1])


def _load(database, batch, row):
    inputs = manifests.inputs_of(row)
    own_seed = "seed" not in inputs
    return factory.make_job(
        database, batch, key=row.key, row_digest=row.digest, stem=row.stem, image=row.image,
        labels=manifests.labels_of(row), priority=row.priority,
        input=inputs | ({"seed": 99} if own_seed else {}), own_seed=own_seed,
        version=row.version or schema.load().version,
    )  # fmt: skip


def test_a_table_has_labels_and_inputs_as_columns_and_runs_nothing(desk):
    for n, text in enumerate(ODD):
        desk.job(
            key=f"job {n}", labels={"who": text}, input={"prompt": text, "prompt_strength": -0.5, "seed": -n}
        )
    ended = desk.type("export", "cats")
    assert (ended.returncode, ended.stderr) == (0, "")
    raw = table_of(desk.type("export", "cats", "--raw").stdout)
    assert [line["label.who"] for line in raw] == [text.replace("\r\n", "\n") for text in ODD]
    safe = table_of(ended.stdout)
    assert [line["input.prompt"] for line in safe][:2] == ["'=1+1", "'-x"]
    assert [line["input.seed"] for line in safe][:3] == ["0", "-1", "-2"]
    assert safe[0]["input.prompt_strength"] == "-0.5"


def test_lines_are_nested_json(desk):
    desk.job(State.SUCCEEDED, key="tom", labels={"split": "train"})
    lines = desk.type("export", "cats", "--format", "jsonl").stdout.splitlines()
    (record,) = map(json.loads, lines)
    assert (record["batch"], record["key"], record["labels"]) == ("cats", "tom", {"split": "train"})
    assert record["images"][0]["width"] == 64
    (image,) = map(json.loads, desk.type("export", "--per", "image", "--format", "jsonl").stdout.splitlines())
    assert image["sha256"] == record["images"][0]["sha256"]


@pytest.mark.parametrize(
    ("name", "given", "lines"),
    [
        ("all.jsonl", [], True),
        ("all.NDJSON", [], True),
        ("all.csv", [], False),
        ("all", [], False),
        ("all.jsonl", ["--format", "csv"], False),
        ("all.json", ["--format", "jsonl"], True),
    ],
)
def test_a_files_name_says_its_format_unless_an_option_does(desk, name, given, lines):
    desk.job(key="a")
    ended = desk.type("export", "cats", "-o", name, *given)
    assert ended.returncode == 0, ended.stderr
    assert (desk.folder / name).read_text().startswith("{") is lines


def test_filters_choose_what_is_exported(desk):
    desk.job(key="a", error_class="nsfw")
    desk.job(key="b", error_class="expired")
    desk.job(State.SUCCEEDED, key="c")
    assert [line["key"] for line in table_of(desk.type("export", "--class", "nsfw").stdout)] == ["a"]
    assert [line["key"] for line in table_of(desk.type("export", "--limit", "2").stdout)] == ["a", "b"]


def test_a_file_is_written_whole_and_not_replaced_unless_asked(desk):
    desk.job(key="a")
    target = desk.folder / "results.csv"
    ended = desk.type("export", "cats", "-o", "results.csv")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "results.csv: 1 job\n")
    assert target.read_bytes().endswith(b"\r\n")
    target.write_text("an afternoon's work")
    refused = desk.type("export", "cats", "-o", "results.csv")
    assert refused.returncode == 2
    assert "results.csv already exists; add --force" in refused.stderr
    assert target.read_text() == "an afternoon's work"
    assert desk.type("export", "cats", "-o", "results.csv", "--force").returncode == 0
    assert [line["key"] for line in table_of(target.read_bytes().decode())] == ["a"]
    assert not list(desk.folder.glob(".overnight-*"))


def test_a_symbolic_link_is_followed_and_stays(desk):
    desk.job(key="a")
    (desk.folder / "real.csv").touch()
    (desk.folder / "link.csv").symlink_to("real.csv")
    assert desk.type("export", "-o", "link.csv", "--force").returncode == 0
    assert (desk.folder / "link.csv").is_symlink()
    assert (desk.folder / "real.csv").read_text().startswith("batch,key")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-o", "away/results.csv"], "there is no folder"),
        (["-o", os.devnull], "is not a regular file"),
        (["--manifest"], "a manifest is for one batch"),
        (["cats", "--manifest", "--per", "image"], "leave out --per and --format"),
        (["cats", "--manifest", "--format", "jsonl"], "leave out --per and --format"),
        (["cats", "--manifest", "-o", "again.jsonl"], "and name a .csv"),
        (["cats", "-o", "all.json"], "all.json: only CSV and JSON lines are written"),
        (["cats", "-o", "all.parquet"], "end its name in .csv or .jsonl, or say --format"),
        (["cats", "--manifest", "-o", "again.tsv"], "again.tsv: only CSV and JSON lines are written"),
        (["dogs"], 'there is no batch "dogs"; there is cats'),
    ],
)
def test_a_mistake_ends_with_2_and_leaves_nothing(desk, words, sentence):
    before = sorted(desk.folder.iterdir())  # with the journal that the test's own connection keeps
    ended = desk.type("export", *words)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert sorted(desk.folder.iterdir()) == before


@pytest.mark.parametrize("words", [["cats", "--manifest"], ["cats"], []])
@pytest.mark.parametrize("name", ["cats.csv", "link.csv"])
def test_no_export_replaces_a_batchs_manifest_even_by_force(desk, words, name):
    mine = desk.folder / "cats.csv"
    mine.write_text("mine")
    (desk.folder / "link.csv").symlink_to(mine)
    ended = desk.type("export", *words, "-o", name, "--force")
    assert ended.returncode == 2
    assert f"{name} is the manifest of batch cats itself; name another file" in ended.stderr
    assert mine.read_text() == "mine"


def test_a_manifest_says_what_to_type_and_names_the_pictures_folder_only_from_elsewhere(desk):
    desk.job(key="a", error_class="invalid-input")
    here = desk.type("export", "cats", "--manifest", "-o", "again.csv")
    assert here.stderr.splitlines()[-1].endswith("overnight run again.csv --batch cats --update")
    (desk.folder / "sub").mkdir()
    elsewhere = desk.type("export", "cats", "--manifest", "-o", "sub/again.csv")
    assert elsewhere.stderr.splitlines()[-1].endswith("--update --images .")
    assert (desk.folder / "again.csv").read_text().splitlines()[0] == "key,image,prompt,seed,version,priority"


def test_the_query_in_the_readme_works(desk):
    done = desk.job("succeeded", key="done", labels={"place": "lake"})
    desk.job("failed", key="lost", labels={"place": "hill"})
    (query,) = re.findall(r"`sqlite3 overnight\.db \"(SELECT .*)\"`", (ROOT / "README.md").read_text("utf-8"))
    with contextlib.closing(sqlite3.connect(desk.folder / "overnight.db")) as database:
        assert database.execute(query).fetchall() == [("done", f"made/{done.attempt_id}-0.png", "lake")]


def test_no_job_is_a_header_alone_and_a_word_about_it(desk):
    ended = desk.type("export", "cats", "--state", "failed")
    assert (ended.returncode, ended.stderr) == (0, "no job matches\n")
    assert len(ended.stdout.splitlines()) == 1


def test_in_a_terminal_nothing_moves_the_cursor_and_in_a_pipe_nothing_is_changed(desk):
    desk.job(key="a", input={"prompt": "\x1b[2J", "seed": 1})
    code, shown = desk.type_in_a_terminal("export", "cats")
    assert code == 0
    assert "\x1b" not in shown
    assert r"\x1b[2J" in shown
    assert "\x1b[2J" in desk.type("export", "cats").stdout
