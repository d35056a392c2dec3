"""What is known of one job, however it is called."""

import json
import os

import pytest
import sqlalchemy as sa

from jobs import errors, lifecycle, tables
from jobs.reports import dossier, limits
from jobs.selecting import lookup
from jobs.states import BatchState, Phase, State
from overnight.display import portrait
from tests import factory, rows


def found(database, what, output):
    with database.read() as tx:
        return dossier.read(tx, lookup.job(tx, what, [output], ""))


def path_of(database, job):
    with database.read() as tx:
        query = sa.select(tables.outputs.c.path).where(tables.outputs.c.job_id == job.id)
        return tx.execute(query).scalar_one()


@pytest.mark.parametrize("key", ["tom", "a/b/c", "with * and [1]", "%", "狐 🦊", "tom-0.png"])
def test_a_job_is_found_by_batch_and_key_whatever_the_key_holds(database, tmp_path, key):
    batch = factory.make_batch(database, name="cats")
    factory.make_job(database, batch)
    job = factory.make_job(database, batch, key=key)
    assert found(database, f"cats/{key}", tmp_path).job.id == job.id


def test_a_job_is_found_by_its_prediction_even_by_one_of_long_ago(database, tmp_path):
    job = factory.make_job(database, factory.make_batch(database), state=State.RUNNING)
    early = factory.make_attempt(database, job, Phase.FAILED)
    assert found(database, early.prediction_id, tmp_path).job.id == job.id


def test_a_job_is_found_by_its_picture_from_any_folder(database, tmp_path, monkeypatch):
    job = factory.make_job(database, factory.make_batch(database), state=State.SUCCEEDED)
    output = tmp_path / "real"
    (output / "made").mkdir(parents=True)
    linked = tmp_path / "linked"
    linked.symlink_to(output)
    path = path_of(database, job)
    monkeypatch.chdir(output / "made")
    for typed in (path, str(output / path), str(linked / path), os.path.basename(path), f"../made/../{path}"):  # noqa: PTH119  a text as typed
        for setting in (output, linked):
            assert found(database, typed, setting).job.id == job.id, typed


def test_a_path_outside_the_output_folder_is_no_picture_of_ours(database, tmp_path):
    factory.make_job(database, factory.make_batch(database), state=State.SUCCEEDED)
    with pytest.raises(errors.Mistake, match="is no picture of ours"):
        found(database, "/etc/passwd", tmp_path)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("cats/tom-012345678", "did you mean cats/tom-0123456789?"),
        ("cats/tm-0123456789", "did you mean cats/tom-0123456789?"),
        ("cats/to", "did you mean cats/tom-0123456789?"),
        ("cats/zzzzzzzz", 'has no job "zzzzzzzz"'),
        ("cast/tom", 'no batch is "cast"; did you mean cats?'),
        ("tom", "a job is written BATCH/KEY"),
        ("cats", '"cats" is a batch: `overnight status cats` says how far it is'),
    ],
)
def test_what_is_not_there_is_a_mistake_that_names_the_nearest(database, tmp_path, what, sentence):
    batch = factory.make_batch(database, name="cats")
    for number in range(120):
        factory.make_job(database, batch, key=f"bird-{number}")
    factory.make_job(database, batch, key="tom-0123456789")
    with pytest.raises(errors.Mistake) as caught:
        found(database, what, tmp_path)
    assert sentence in str(caught.value)


def test_an_empty_database_says_so(database):
    with database.read() as tx, pytest.raises(errors.Mistake, match='no batch "cats"; there is none yet'):
        lookup.batch(tx, "cats")


def test_of_many_batches_some_are_named_and_the_others_counted(database):
    for number in range(7):
        factory.make_batch(database, name=f"cats-{number}")
    others = "there is cats-2, cats-3, cats-4, cats-5, cats-6 and 2 more"
    with database.read() as tx, pytest.raises(errors.Mistake, match=others):
        lookup.batch(tx, "tonight")


def test_the_history_is_whole_and_in_order(database, tmp_path):
    batch = factory.make_batch(database, name="cats")
    job = factory.make_job(database, batch, state=State.SUCCEEDED, key="tom")
    factory.make_attempt(database, job, Phase.ABSENT, possibly_paid=True)
    read = found(database, "cats/tom", tmp_path)
    assert [(one.number, one.phase) for one in read.attempts] == [(1, Phase.SUCCEEDED), (2, Phase.ABSENT)]
    assert read.current is read.attempts[0]
    assert read.attempts[1].possibly_paid


def test_a_send_in_doubt_says_whether_the_job_was_bought_again(database, tmp_path):
    job = factory.make_job(
        database, factory.make_batch(database, name="cats"), state=State.PENDING, key="tom"
    )
    factory.make_attempt(database, job, Phase.ABSENT, possibly_paid=True)

    def told() -> str:
        read = found(database, "cats/tom", tmp_path)
        return "\n".join(portrait.lines(read, limits.Limit(limits.Kind.FINISHED, "finished"), tmp_path))

    assert "nobody can tell whether it was bought; to be bought again" in told()
    factory.make_attempt(database, job, Phase.FAILED)
    assert "bought again without proof" in told()


def test_only_what_was_bought_again_is_said_to_be(database, tmp_path):
    """Held, and left to a person: it is in doubt, and nothing was bought again."""
    job = factory.make_job(database, factory.make_batch(database, name="cats"), state=State.FAILED, key="tom")
    factory.make_attempt(database, job, Phase.FAILED, possibly_paid=True)
    read = found(database, "cats/tom", tmp_path)
    told = portrait.lines(read, limits.Limit(limits.Kind.FINISHED, "finished"), tmp_path)
    assert any("nobody can tell whether it was bought" in line for line in told)
    assert not any("without proof" in line for line in told)


def test_the_history_has_every_file(database, tmp_path):
    job = factory.make_job(
        database, factory.make_batch(database, name="cats"), state=State.SUCCEEDED, key="tom"
    )
    read = found(database, "cats/tom", tmp_path)
    assert read.attempts[0].account.startswith("api.example-")
    assert [file.path for file in read.files] == [path_of(database, job)]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.PENDING, "its turn; "),
        (State.QUEUED, "a worker to send it; handed out again at "),
        (State.SUBMITTING, "the answer to its purchase; in doubt from "),
        (State.UNCONFIRMED, "nobody knows yet whether it was bought"),
        (State.RUNNING, "the prediction; next look at "),
        (State.COLLECTING, "its images, to be fetched at "),
    ],
)
def test_what_is_under_way_says_what_it_waits_for_and_until_when(desk, state, words):
    desk.job(state, key="tom")
    page = desk.type("show", "cats/tom")
    assert (page.returncode, page.stderr) == (0, "")
    lines = {line.split(maxsplit=1)[0]: line for line in page.stdout.splitlines()}
    assert words in lines["waits"]
    assert lines["waits"].endswith("; nobody works on it: overnight run cats")
    assert (" since 20" in lines["state"]) is (state is not State.QUEUED)


def test_a_prediction_that_succeeded_without_an_image_is_waited_for_in_words(desk):
    job = desk.job(State.RUNNING, key="tom")
    with desk.database.write() as tx:
        lifecycle.not_shown(tx, [rows.fence(job)])
    told = desk.type("show", "cats/tom").stdout
    assert "waits for its image: the prediction succeeded, but shows none yet" in " ".join(told.split())


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_what_is_final_waits_for_nothing(desk, state):
    desk.job(state, key="tom")
    assert "waits for" not in desk.type("show", "cats/tom").stdout
    assert json.loads(desk.type("show", "cats/tom", "--json").stdout)["waits_for"] is None


def test_a_failure_says_why_and_prints_a_command_that_works(desk):
    desk.job(key="tom [1]*", error_class="nsfw", error_message="NSFW content")
    page = desk.type("show", "cats/tom [1]*").stdout
    assert "nsfw: the safety check dropped every image" in page
    assert "NSFW content" in page
    typed = page.splitlines()[-1].split(maxsplit=1)[1]
    assert typed == "overnight retry cats --key 'tom [[]1][*]' --new-seed"
    assert desk.type_line(typed).returncode == 0
    assert desk.states() == {"tom [1]*": "pending"}
    assert "sent with seed" in desk.type("show", "cats/tom [1]*").stdout


def test_a_failure_that_needs_another_input_prints_a_command_that_writes_its_manifest(desk):
    desk.job(key="tom", error_class="input-unreachable")
    typed = desk.type("show", "cats/tom").stdout.splitlines()[-1].split(maxsplit=1)[1]
    assert desk.type_line(typed).returncode == 0
    assert "tom," in (desk.folder / "cats-again.csv").read_text()
    once_more = desk.type("show", "cats/tom").stdout.splitlines()[-1].split(maxsplit=1)[1]
    assert once_more.endswith("-o cats-again-2.csv")
    assert desk.type_line(once_more).returncode == 0


def test_a_job_of_a_paused_batch_says_so_and_how_to_go_on(desk):
    desk.job(State.PENDING, key="tom")
    desk.type("pause", "cats")
    assert "its turn: paused by hand: overnight resume cats" in desk.type("show", "cats/tom").stdout


def test_a_job_that_is_to_be_cancelled_says_since_when(desk):
    desk.job(State.RUNNING, key="tom")
    desk.type("cancel", "cats", "--key", "tom")
    assert "cancellation requested at 20" in desk.type("show", "cats/tom").stdout


def test_nothing_from_a_manifest_or_the_api_moves_the_cursor(desk):
    desk.job(
        key="tom",
        input={"prompt": "\x1b[2J\nstate  succeeded", "seed": 1},
        error_message="\x1b]0;x\x07\u202e",
    )
    page = desk.type("show", "cats/tom").stdout
    assert all(line.isprintable() for line in page.splitlines())
    assert r"\x1b[2J\nstate  succeeded" in page


def test_json_has_everything(desk):
    desk.job(State.SUCCEEDED, key="tom", labels={"split": "train"})
    told = json.loads(desk.type("show", "cats/tom", "--json").stdout)
    assert (told["batch"], told["key"], told["state"]) == ("cats", "tom", "succeeded")
    assert told["labels"] == {"split": "train"}
    assert told["history"][0]["phase"] == "succeeded"
    assert told["files"][0]["file"] == str(desk.folder / "outputs" / told["files"][0]["path"])
    assert told["next"] == []


def test_a_file_that_was_moved_away_is_told(desk):
    desk.job(State.SUCCEEDED, key="tom")
    page = desk.type("show", "cats/tom").stdout
    assert ", no longer there" in page
    path = (
        desk.folder
        / "outputs"
        / json.loads(desk.type("show", "cats/tom", "--json").stdout)["files"][0]["path"]
    )
    path.parent.mkdir(parents=True)
    path.touch()
    assert ", no longer there" not in desk.type("show", str(path)).stdout


def test_an_unknown_name_ends_with_2(desk):
    desk.job(key="tom")
    ended = desk.type("show", "cats/tim")
    assert ended.returncode == 2
    assert ended.stderr == 'overnight: batch cats has no job "tim"; did you mean cats/tom?\n'


def test_a_failed_job_of_a_cancelled_batch_has_nothing_to_type(desk):
    desk.job(key="tom")
    desk.job("pending")
    desk.type("cancel", "cats", "--yes")
    assert json.loads(desk.type("show", "cats/tom", "--json").stdout)["next"] == []
    with desk.database.read() as tx:
        assert lookup.batch(tx, "cats").state is BatchState.CANCELLED
