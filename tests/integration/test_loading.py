"""Rows become jobs, once each, however often and by however many they are loaded; on both databases."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from jobs import batches, crashpoints, errors, events, lifecycle, marker, tables
from jobs.by_hand import cancelling
from jobs.crashpoints import Place
from jobs.database import Database, now
from jobs.lifecycle import Accepted, Fence, retry
from jobs.loading import counterparts, difference, loader
from jobs.loading.targets import Target
from jobs.manifest import rows, schema
from jobs.manifest.pictures import Travel
from jobs.reports import dossier, limits
from jobs.selecting import selection
from jobs.selecting.selection import Selection
from jobs.states import BatchState, Phase, State
from overnight.display import portrait
from tests import factory
from tests import rows as written
from tests.integration import plans
from tests.integration.loads import table
from tests.manifests import WEB, picture, reading, write


def target(name="cats", **more):
    return Target(name=name, api=more.pop("api", factory.API), **more)


def load(database, path, to=None, adaptation=None, **options):
    with reading(path, adaptation, **options) as read:
        wanted = to or target()
        return loader.load(database, read, wanted, difference.compare(database, read, wanted))


def jobs_of(database, name="cats"):
    """Return the rows of a batch's jobs by key, in the order of their ids."""
    query = sa.select(tables.jobs).join(tables.batches).where(tables.batches.c.name == name)
    with database.read() as tx:
        return {job.key: job for job in tx.execute(query.order_by(tables.jobs.c.id))}


def settle_as(database, job, state):
    """Bring a job into another state, with all that the state needs."""
    attempt = None
    if phase := factory.PHASE_OF.get(state):
        attempt = factory.make_attempt(database, job, phase)
    final = state in {State.SUCCEEDED, State.FAILED, State.CANCELLED}
    with database.write() as tx:
        tx.execute(
            sa.update(tables.jobs)
            .where(tables.jobs.c.id == job.id)
            .values(
                state=state,
                attempt_id=attempt and attempt.id,
                due_at=None if final else now(tx),
                finished_at=now(tx) if final else None,
                error_class="nsfw" if state is State.FAILED else None,
            )
        )


@contextmanager
def nothing_written(database):
    def everything():
        with database.read() as tx:
            return [tx.execute(sa.select(t)).all() for t in (tables.batches, tables.jobs, tables.events)]

    before = everything()
    yield
    assert everything() == before


def test_a_row_becomes_a_pending_job_with_all_that_it_says(database, tmp_path):
    picture(tmp_path / "tom.png")
    path = write(
        tmp_path,
        "key,image,prompt,num_outputs,priority,label.mood\ncats/tom,tom.png,a fox,2,7,=1+1\n",
    )
    loaded = load(database, path)
    job = jobs_of(database)["cats/tom"]
    assert (job.state, job.stem, job.row, job.image) == (State.PENDING, "cats/tom", 2, "tom.png")
    assert (job.priority, job.labels, job.version) == (7, {"mood": "=1+1"}, schema.load().version)
    assert job.input == {
        "prompt": "a fox", "num_outputs": 2, "seed": marker.seed(loaded.batch.uuid, "cats/tom"),
    }  # fmt: skip
    assert job.own_seed
    assert (job.attempts, job.absences, job.attempt_id, job.finished_at) == (0, 0, None, None)
    assert job.due_at == job.created_at


def test_a_moment_is_stored_as_by_every_other_statement(sqlite_database, tmp_path, monkeypatch):
    """SQLite compares texts, and its driver would leave six zeros out."""
    whole_second = datetime(2026, 11, 23, 3, tzinfo=UTC)
    monkeypatch.setattr(loader, "now", lambda _tx: whole_second)
    load(sqlite_database, write(tmp_path, table("a")))
    query = "SELECT created_at FROM jobs UNION ALL SELECT created_at FROM batches"
    with sqlite_database.read() as tx:
        stored = tx.exec_driver_sql(query).scalars().all()
    assert stored == ["2026-11-23 03:00:00.000000"] * 2


def test_a_batch_is_ready_and_keeps_how_its_manifest_was_read(database, tmp_path):
    adaptation = rows.Adaptation(columns={"prompt": "text"}, labels=("who",), images=tmp_path)
    path = write(tmp_path, f"image,text,who\n{WEB},a fox,me\n")
    batch = load(
        database, path, target("Cats", adaptation=adaptation, when_unconfirmed="hold"), adaptation
    ).batch
    assert (batch.name, batch.folder, batch.state, batch.api) == (
        "Cats",
        "Cats",
        BatchState.READY,
        factory.API,
    )
    assert (batch.manifest_path, len(batch.manifest_sha256)) == (str(path), 64)
    assert rows.STORED.validate_python(batch.options["adaptation"]) == adaptation
    assert batch.options["images_root"] == str(tmp_path)
    assert batch.options["when_unconfirmed"] == "hold"


def test_a_seed_in_the_row_is_not_ours(database, tmp_path):
    load(database, write(tmp_path, f"key,image,prompt,seed\na,{WEB},x,7\nb,{WEB},x,\n"))
    jobs = jobs_of(database)
    assert (jobs["a"].input["seed"], jobs["a"].own_seed) == (7, False)
    assert jobs["b"].own_seed


def test_the_rows_version_counts_before_the_manifests(database, tmp_path):
    mine, usual = "a" * 64, "b" * 64
    path = write(tmp_path, f"key,image,prompt,version\na,{WEB},x,{mine}\nb,{WEB},x,\n")
    load(database, path, adaptation=rows.Adaptation(defaults={"version": usual}))
    assert {key: job.version for key, job in jobs_of(database).items()} == {"a": mine, "b": usual}


def test_odd_characters_arrive_unchanged(database, tmp_path):
    prompts = ["tab\tand \\N and \\.", 'a "quote"\nand a line', "=cmd|' /C calc'!A0", "🦊 {NULL}", "\\x00 ☃"]
    quoted = ['"' + prompt.replace('"', '""') + '"' for prompt in prompts]
    lines = "".join(f"{n},{WEB},{text},{text}\n" for n, text in enumerate(quoted))
    load(database, write(tmp_path, f"key,image,prompt,label.said\n{lines}"))
    jobs = jobs_of(database)
    assert [job.input["prompt"] for job in jobs.values()] == prompts
    assert [job.labels["said"] for job in jobs.values()] == prompts


def test_loading_again_changes_nothing_and_says_so(database, tmp_path):
    path = write(tmp_path, table("a", "b"))
    assert load(database, path).difference.line() == "2 new"
    before = jobs_of(database)
    assert load(database, path).difference.line() == "0 new, 2 there"
    assert jobs_of(database) == before


def test_rows_find_their_jobs_by_key_though_nothing_has_been_counted_yet(database, tmp_path):
    keys = [f"cat-{n}" for n in range(5000)]
    batch = load(database, write(tmp_path, table(*keys))).batch
    with plans.explained(database) as found, database.read() as tx:
        assert counterparts.of(tx, batch.id, keys[2000:3000]).keys() == set(keys[2000:3000])
    assert {(access.index is not None, access.is_scan) for access in found if access.table == "jobs"} == {
        (True, False)
    }


def test_a_manifest_is_the_same_however_its_path_is_written(database, tmp_path, monkeypatch):
    path = write(tmp_path, table("a"))
    (tmp_path / "below").mkdir()
    load(database, path)
    monkeypatch.chdir(tmp_path / "below")
    assert load(database, "../cats.csv").difference.line() == "0 new, 1 there"


def test_rows_are_added_and_those_that_are_gone_are_told_and_left(database, tmp_path):
    load(database, write(tmp_path, table("a", "b", "c")))
    loaded = load(database, write(tmp_path, table("d", "c", "b", "e", "f")))
    assert loaded.difference.line() == "3 new, 2 there, 1 no longer listed"
    assert list(jobs_of(database)) == ["a", "b", "c", "d", "e", "f"]
    with database.read() as tx:
        told = tx.execute(sa.select(tables.events.c.kind, tables.events.c.detail)).all()
    assert told == [("loaded", "3 new"), ("loaded", "3 new, 2 there, 1 no longer listed")]


def test_rows_added_to_an_open_batch_leave_it_open(database, tmp_path):
    batch = load(database, write(tmp_path, table("a"))).batch
    with database.write() as tx:
        batches.open_(tx, now(tx), batch)
    assert load(database, write(tmp_path, table("a", "b"))).batch.state is BatchState.OPEN


def test_an_edited_row_is_refused_and_nothing_is_written(database, tmp_path):
    load(database, write(tmp_path, table("a", "b", "c")))
    path = write(tmp_path, table("a", "new") + f"b,{WEB},edited\nc,{WEB},edited\n")
    with nothing_written(database), pytest.raises(errors.Mistake) as refused:
        load(database, path)
    assert str(refused.value).startswith(f"{path}:4: 2 rows were edited since batch cats was loaded")
    assert "--update" in str(refused.value)


@pytest.mark.parametrize("edited", [{"image": f"{WEB}?v=2"}, {"priority": "9"}, {"label.a": "b"}])
def test_every_part_of_a_row_counts_as_edited(database, tmp_path, edited):
    row = {"key": "a", "image": WEB, "prompt": "x", "priority": "", "label.a": ""}
    for cells in (row, row | edited):
        path = write(tmp_path, f"{','.join(cells)}\n{','.join(cells.values())}\n")
        if cells is row:
            load(database, path)
    with pytest.raises(errors.Mistake, match="--update"):
        load(database, path)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (State.PENDING, State.PENDING),
        (State.FAILED, State.PENDING),
        (State.CANCELLED, State.CANCELLED),
    ],
)
def test_update_changes_a_job_that_is_not_bought(database, tmp_path, state, after):
    load(database, write(tmp_path, table("a")))
    was = jobs_of(database)["a"]
    if state is not State.PENDING:
        settle_as(database, was, state)
    path = write(tmp_path, f"key,image,prompt,priority\na,{WEB}?2,edited,3\n")
    loaded = load(database, path, target(update=True))
    job = jobs_of(database)["a"]
    assert (loaded.difference.line(), loaded.updated, loaded.kept) == ("0 new, 1 changed", 1, 0)
    assert (job.state, job.image, job.priority, job.error_class) == (after, f"{WEB}?2", 3, None)
    assert job.input == {"prompt": "edited", "seed": was.input["seed"]}
    assert load(database, path).difference.line() == "0 new, 1 there"


@pytest.mark.parametrize(
    "state", [State.QUEUED, State.UNCONFIRMED, State.RUNNING, State.COLLECTING, State.SUCCEEDED]
)
def test_update_leaves_what_is_bought_and_names_it(database, tmp_path, state):
    load(database, write(tmp_path, table("a", "b")))
    settle_as(database, jobs_of(database)["a"], state)
    loaded = load(database, write(tmp_path, table("a", "b", prompt="edited")), target(update=True))
    jobs = jobs_of(database)
    assert (loaded.updated, loaded.kept, loaded.kept_key) == (1, 1, "a")
    assert (jobs["a"].state, jobs["a"].input["prompt"]) == (state, "a fox")
    assert jobs["b"].input["prompt"] == "edited"


@pytest.mark.parametrize("state", State)
def test_an_edited_row_stops_the_load_unless_its_job_is_bought(database, tmp_path, state):
    """A manifest that is run every night must go on, though some of its rows were edited after their purchase."""
    load(database, write(tmp_path, table("a")))
    settle_as(database, jobs_of(database)["a"], state)
    before = jobs_of(database)["a"]
    path = write(tmp_path, table("a", prompt="edited") + f"b,{WEB},added\n")
    if state in {State.RUNNING, State.COLLECTING, State.SUCCEEDED}:
        loaded = load(database, path)
        assert loaded.difference.line() == "1 new, 1 left as bought"
        assert (loaded.updated, loaded.kept, loaded.kept_key) == (0, 1, "a")
        assert load(database, path).difference.line() == "0 new, 1 there, 1 left as bought"
        assert list(jobs_of(database)) == ["a", "b"]
    else:
        with nothing_written(database), pytest.raises(errors.Mistake, match="edited since"):
            load(database, path)
    assert jobs_of(database)["a"] == before


def test_what_was_left_is_changed_after_a_retry(database, tmp_path):
    load(database, write(tmp_path, table("a")))
    job = jobs_of(database)["a"]
    settle_as(database, job, State.SUCCEEDED)
    path = write(tmp_path, table("a", prompt="edited"))
    load(database, path, target(update=True))
    with database.write() as tx:
        retry(tx, now(tx), [job.id])
    assert load(database, path, target(update=True)).updated == 1
    assert jobs_of(database)["a"].input["prompt"] == "edited"


def test_update_keeps_a_later_seed_of_our_making_and_takes_the_rows(database, tmp_path):
    load(database, write(tmp_path, table("a", "b")))
    with database.write() as tx:
        later = tables.jobs.c.input
        tx.execute(sa.update(tables.jobs).values({later: {"prompt": "a fox", "seed": 99}}))
    path = write(tmp_path, f"key,image,prompt,seed\na,{WEB},edited,\nb,{WEB},edited,5\n")
    load(database, path, target(update=True))
    jobs = jobs_of(database)
    assert (jobs["a"].input["seed"], jobs["a"].own_seed) == (99, True)
    assert (jobs["b"].input["seed"], jobs["b"].own_seed) == (5, False)


@pytest.mark.parametrize(
    ("row", "keeps"),
    [
        (f"{WEB},edited,30,", True),  # which the API shows
        (f"{WEB},a fox,20,", True),
        (f"{WEB},a fox,30,9", True),  # another priority: the earlier prediction is still what is wanted
        (f"{WEB}?2,a fox,30,", False),  # the image is not compared
        (f"{WEB},a fox,,", False),  # the earlier prediction shows all that is said now, and more
        (f"{WEB}?2,edited,30,", True),
    ],
)
def test_an_edited_row_that_was_sent_before_keeps_its_seed_if_the_api_shows_the_difference(
    database, tmp_path, row, keeps
):
    header = "key,image,prompt,num_inference_steps,priority\n"
    load(database, write(tmp_path, f"{header}a,{WEB},a fox,30,\n"))
    job = jobs_of(database)["a"]
    earlier = factory.make_attempt(
        database,
        job,
        Phase.ABSENT,
        prediction_id=None,
        input=job.input,
        input_digest=marker.digest(job.input),
    )
    load(database, write(tmp_path, f"{header}a,{row}\n"), target(update=True))
    edited = jobs_of(database)["a"]
    assert (edited.input["seed"] == job.input["seed"]) is keeps
    with database.write() as tx:
        lifecycle.accepted(tx, now(tx), [Accepted(Fence(job.id, earlier.id), "late")], timedelta(seconds=1))
    adopted = written.attempt(database, earlier.id).phase == Phase.RUNNING
    assert adopted is (edited.priority == 9), "only what is wanted still"


def test_a_limit_loads_the_first_rows_and_the_next_time_the_rest(database, tmp_path):
    path = write(tmp_path, table("a", "b", "c"))
    assert load(database, path, limit=2).difference.line() == "2 new"
    assert load(database, path, limit=1).difference.line() == "0 new, 1 there"
    assert load(database, path).difference.line() == "1 new, 2 there"


@pytest.mark.parametrize("named", [True, False])
def test_a_name_that_another_manifest_has_is_refused(database, tmp_path, named):
    load(database, write(tmp_path, table("a")))
    other = write(tmp_path, table("b"), "other.csv")
    with nothing_written(database), pytest.raises(errors.Mistake) as refused:
        load(database, other, target(named=named, update=not named))
    assert f"batch cats was loaded from {tmp_path / 'cats.csv'}" in str(refused.value)
    assert "--batch NAME" in str(refused.value)


def test_jobs_may_be_changed_from_another_file_that_names_their_batch(database, tmp_path):
    path = write(tmp_path, table("a", "b"))
    load(database, path)
    settle_as(database, jobs_of(database)["a"], State.FAILED)
    again = write(tmp_path, table("a", prompt="edited"), "again.csv")
    loaded = load(database, again, target(update=True))
    assert (loaded.updated, loaded.batch.manifest_path) == (1, str(path))
    assert jobs_of(database)["a"].state == State.PENDING


def test_the_line_of_a_row_is_that_in_the_batchs_own_manifest(database, tmp_path):
    load(database, write(tmp_path, table("a", "b", "c")))
    edited = write(tmp_path, table("c", "new", prompt="edited"), "again.csv")
    load(database, edited, target(update=True))
    assert [job.row for job in jobs_of(database).values()] == [2, 3, 4, None]
    assert jobs_of(database)["c"].input["prompt"] == "edited"
    load(database, write(tmp_path, table("new", "c", prompt="again")), target(update=True))
    assert [job.row for job in jobs_of(database).values()] == [2, 3, 3, 2]


def test_a_batch_stays_with_its_api(database, tmp_path):
    path = write(tmp_path, table("a"))
    load(database, path)
    with nothing_written(database), pytest.raises(errors.Mistake, match="--batch NAME"):
        load(database, path, target(api="https://other.example/v1", update=True))


def test_a_cancelled_batch_takes_no_rows(database, tmp_path):
    path = write(tmp_path, table("a"))
    batch = load(database, path).batch
    with database.write() as tx:
        batches.cancel(tx, now(tx), batch.id)
    with nothing_written(database), pytest.raises(errors.Mistake, match="is cancelled"):
        load(database, path)


def test_other_pictures_of_the_same_names_need_an_update(database, tmp_path):
    for folder in ("one", "two"):
        picture(tmp_path / folder / "tom.png")
    path = write(tmp_path, "image,prompt\ntom.png,a fox\n")
    load(database, path, adaptation=rows.Adaptation(images=tmp_path / "one"))
    two = rows.Adaptation(images=tmp_path / "two")
    with nothing_written(database), pytest.raises(errors.Mistake, match="takes its pictures from"):
        load(database, path, adaptation=two)
    batch = load(database, path, target(update=True), two).batch
    assert batch.options["images_root"] == str(tmp_path / "two")


def test_another_file_cannot_move_a_batchs_pictures(database, tmp_path):
    picture(tmp_path / "one" / "tom.png")
    load(database, write(tmp_path, "image,prompt\none/tom.png,a fox\n"))
    again = write(tmp_path, "image,prompt\ntom.png,a fox\n", "again.csv")
    with nothing_written(database), pytest.raises(errors.Mistake, match="takes its pictures from"):
        load(database, again, target(update=True), rows.Adaptation(images=tmp_path / "one"))


BROKEN = f"key,image,prompt,num_outputs\na,{WEB},a fox,many\nb,{WEB},a fox,2\n"


def test_a_manifest_with_mistakes_is_not_loaded(database, tmp_path):
    with nothing_written(database), pytest.raises(errors.Mistakes, match="num_outputs"):
        load(database, write(tmp_path, BROKEN))


def test_a_bad_row_can_be_a_failed_job_with_its_line_and_column(database, tmp_path):
    path = write(tmp_path, BROKEN)
    found = load(database, path, keep_going=True).difference
    job = jobs_of(database)["a"]
    assert (found.new, found.broken, found.jobs, found.images) == (2, 1, 1, 2)
    assert (job.state, job.error_class, job.due_at) == (State.FAILED, "invalid-input", None)
    assert job.error_message == "cats.csv:2: num_outputs: many is not a whole number"
    assert load(database, path, keep_going=True).difference.line() == "0 new, 2 there"


def test_a_row_is_told_by_the_file_that_has_it(database, tmp_path):
    listed = write(tmp_path, BROKEN, "rows.csv")
    path = write(tmp_path, "jobs: rows.csv\n", "cats.yaml")
    batch = load(database, path, keep_going=True).batch
    assert jobs_of(database)["a"].error_message.startswith("rows.csv:2: num_outputs: many")
    with database.read() as tx:
        page = dossier.read(tx, jobs_of(database)["a"].id)
    told = portrait.lines(page, limits.Limit(limits.Kind.READY, ""), tmp_path)
    assert [line.split()[1:] for line in told if line.startswith("  manifest")] == [
        [f"{path},", "line", "2", "of", str(listed)]
    ]
    write(tmp_path, BROKEN.replace("a hill", "edited").replace("fox,2", "fox,3"), "rows.csv")
    with pytest.raises(errors.Mistake, match=rf"^{listed}:3: this row was edited"):
        load(database, path, keep_going=True)
    assert batch.options["beside"] == str(listed)


@pytest.mark.parametrize("corrected", ["3", ""])
def test_a_bad_row_that_was_corrected_is_wanted_after_all(database, tmp_path, corrected):
    load(database, write(tmp_path, BROKEN), keep_going=True)
    path = write(tmp_path, BROKEN.replace("many", corrected))
    with pytest.raises(errors.Mistake, match="--update"):
        load(database, path)
    assert load(database, path, target(update=True)).updated == 1
    assert jobs_of(database)["a"].state == State.PENDING


TWICE = f"key,image,prompt\na,{WEB},a fox\na,{WEB},a wolf\n"


def test_an_update_drops_a_job_whose_row_was_refused_and_is_gone(database, tmp_path):
    load(database, write(tmp_path, TWICE), keep_going=True)
    assert jobs_of(database)["a-2"].state == State.FAILED
    path = write(tmp_path, TWICE.replace(f"a,{WEB},a wolf", f"b,{WEB},a wolf"))
    assert load(database, path).difference.line() == "1 new, 1 there, 1 no longer listed"
    assert set(jobs_of(database)) == {"a", "a-2", "b"}, "without an update nothing goes"
    assert (
        load(database, path, target(update=True)).difference.line()
        == "0 new, 2 there, 1 dropped, refused before"
    )
    assert set(jobs_of(database)) == {"a", "b"}


def test_an_update_drops_no_other_job_whose_row_is_gone(database, tmp_path):
    load(database, write(tmp_path, table("a", "b")))
    settle_as(database, jobs_of(database)["b"], State.FAILED)
    found = load(database, write(tmp_path, table("a")), target(update=True)).difference
    assert found.line() == "0 new, 1 there, 1 no longer listed"
    assert set(jobs_of(database)) == {"a", "b"}


def test_an_update_from_another_manifest_or_from_a_part_of_it_drops_nothing(database, tmp_path):
    path = write(tmp_path, f"key,image,prompt\nb,{WEB},a hill\na,{WEB},a fox\na,{WEB},a wolf\n")
    load(database, path, keep_going=True)
    elsewhere = tmp_path / "again.csv"
    elsewhere.write_text(f"key,image,prompt\na,{WEB},a lynx\n")
    load(database, elsewhere, target(update=True, named=True))
    load(database, path, target(update=True), keep_going=True, limit=1)
    assert set(jobs_of(database)) == {"a", "b", "a-2"}


def test_an_edit_that_breaks_a_row_is_refused_even_with_keep_going(database, tmp_path):
    load(database, write(tmp_path, BROKEN.replace("many", "1")))
    path = write(tmp_path, BROKEN)
    with (
        nothing_written(database),
        pytest.raises(errors.Mistake, match=r"^cats\.csv:2: num_outputs: .* sound rows only$"),
    ):
        load(database, path, target(update=True), keep_going=True)


def with_picture(folder, prompt="a fox"):
    """Return a manifest of a job whose picture can vanish, and of one whose picture cannot."""
    path = write(folder, f"key,image,prompt\na,tom.png,{prompt}\nb,{WEB},a hill\n")
    return path, folder / "tom.png"


WANTED = (State.PENDING, State.QUEUED)


@pytest.mark.parametrize("state", sorted(set(State) - set(WANTED)))
@pytest.mark.parametrize("keep_going", [False, True])
def test_a_job_that_is_bought_or_has_ended_needs_its_picture_no_longer(database, tmp_path, state, keep_going):
    path, tom = with_picture(tmp_path)
    picture(tom)
    load(database, path)
    settle_as(database, jobs_of(database)["a"], state)
    tom.unlink()
    with nothing_written(database):
        with reading(path, keep_going=keep_going) as read:
            found = difference.compare(database, read, target())
            assert read.warnings.lines() == []
        assert found.line() == "0 new, 2 there"
    with path.open("a") as manifest:
        manifest.write(f"c,{WEB},a lake\n")
    assert load(database, path, keep_going=keep_going).difference.line() == "1 new, 2 there"


@pytest.mark.parametrize("state", WANTED)
def test_a_job_that_is_still_to_be_bought_needs_its_picture(database, tmp_path, state):
    path, tom = with_picture(tmp_path)
    picture(tom)
    load(database, path)
    settle_as(database, jobs_of(database)["a"], state)
    tom.unlink()
    with (
        nothing_written(database),
        pytest.raises(errors.Mistakes, match=r":2: image: tom\.png cannot be found"),
    ):
        load(database, path)
    with reading(path, keep_going=True) as read:
        assert difference.compare(database, read, target()).line() == "0 new, 2 there"
        (warning,) = read.warnings.lines()
    assert "tom.png cannot be found" in warning


@pytest.mark.parametrize(
    ("state", "needed"), [(State.PENDING, True), (State.FAILED, True), (State.SUCCEEDED, False)]
)
def test_an_edited_row_needs_its_picture_if_the_edit_may_be_bought(database, tmp_path, state, needed):
    picture(with_picture(tmp_path)[1])
    load(database, with_picture(tmp_path)[0])
    settle_as(database, jobs_of(database)["a"], state)
    path, tom = with_picture(tmp_path, "a wolf")
    tom.unlink()
    if needed:
        with nothing_written(database), pytest.raises(errors.Mistakes, match="cannot be found"):
            load(database, path, target(update=True))
        with pytest.raises(errors.Mistake, match="edited since"):
            load(database, path, keep_going=True)
    else:
        assert load(database, path, target(update=True)).kept_key == "a"
    assert load(database, path, target(update=True), keep_going=True).updated == needed


def test_another_picture_is_an_edit_whether_or_not_it_is_there(database, tmp_path):
    path, tom = with_picture(tmp_path)
    picture(tom)
    load(database, path)
    settle_as(database, jobs_of(database)["a"], State.SUCCEEDED)
    path.write_text(path.read_text().replace("tom.png", "tim.png"))
    assert load(database, path).kept_key == "a"


def test_a_new_row_without_its_picture_fails_as_unreadable_and_a_retry_takes_it_when_it_is_back(
    database, tmp_path
):
    path, tom = with_picture(tmp_path)
    with nothing_written(database), pytest.raises(errors.Mistakes, match="cannot be found"):
        load(database, path)
    found = load(database, path, keep_going=True).difference
    job = jobs_of(database)["a"]
    assert (found.new, found.broken, found.unusable, found.jobs, found.images) == (2, 1, 1, 1, 1)
    assert (job.state, job.error_class, job.attempts) == (State.FAILED, "input-unreadable", 0)
    assert job.error_message.startswith("cats.csv:2: image: tom.png cannot be found")
    assert load(database, path).difference.line() == "0 new, 2 there"
    picture(tom)
    assert load(database, path).difference.line() == "0 new, 2 there"
    with database.write() as tx:
        assert retry(tx, now(tx), [job.id]) == 1


@pytest.mark.parametrize("image", ["/etc/passwd", "ftp://a.example/x.png", "data:image/png;base64,AAAA"])
def test_a_path_that_must_not_be_sent_is_a_mistake_of_the_row(database, tmp_path, image):
    path = write(tmp_path, f'key,image,prompt\na,"{image}",a fox\n')
    load(database, path, keep_going=True)
    job = jobs_of(database)["a"]
    assert (job.state, job.error_class) == (State.FAILED, "invalid-input")
    with database.write() as tx:
        assert retry(tx, now(tx), [job.id]) == 0


def test_keys_that_differ_only_in_case_get_files_of_their_own(database, tmp_path):
    load(database, write(tmp_path, table("Tom", "jerry")))
    load(database, write(tmp_path, table("Tom", "jerry", "tom", "spike")))
    stems = {key: job.stem for key, job in jobs_of(database).items()}
    assert stems["Tom"] == "Tom"
    assert stems["spike"] == "spike"
    assert stems["tom"].startswith("tom-")
    assert len(stems["tom"]) == len("tom-") + 6


def test_letters_that_only_a_database_takes_for_one_get_files_of_their_own(database, tmp_path):
    odd = ["İ", "i", "I", "ı", "ǅ", "ǆ", "ß", "ẞ", "σ", "ς", "K", "k"]  # noqa: RUF001  such letters are the point
    load(database, write(tmp_path, table(*odd)))
    assert list(jobs_of(database)) == odd


def test_batches_that_differ_only_in_case_get_folders_of_their_own(database, tmp_path):
    one = load(database, write(tmp_path, table("a"), "one.csv"), target("cats")).batch
    two = load(database, write(tmp_path, table("a"), "two.csv"), target("Cats")).batch
    assert (one.folder, two.folder) == ("cats", "Cats-2")


def test_a_load_that_was_broken_off_goes_on_to_the_same_end(database, tmp_path, monkeypatch):
    keys = [f"key-{n}" for n in range(12_000)]
    path = write(tmp_path, table(*keys))
    monkeypatch.setattr(loader, "_finish", lambda *_: pytest.fail("not so far"))
    monkeypatch.setattr(loader._Writing, "write", _breaking_after(6_000))
    with pytest.raises(KeyboardInterrupt):
        load(database, path)
    monkeypatch.undo()
    part = jobs_of(database)
    with database.read() as tx:
        batch = batches.find(tx, "cats")
    assert 0 < len(part) < len(keys)
    assert batch.state is BatchState.LOADING
    loaded = load(database, path)
    whole = jobs_of(database)
    assert list(whole) == keys
    assert {key: whole[key] for key in part} == part
    assert (loaded.batch.uuid, loaded.batch.state) == (batch.uuid, BatchState.READY)
    assert loaded.difference.line() == f"{12_000 - len(part):,} new, {len(part):,} there"


def _breaking_after(count):
    write_chunk, written = loader._Writing.write, 0

    def write(self, chunk):
        nonlocal written
        if written >= count:
            raise KeyboardInterrupt
        written += len(chunk)
        write_chunk(self, chunk)

    return write


def test_two_loads_at_once_make_one_batch_without_duplicates(database_url, tmp_path):
    keys = [f"key-{n}" for n in range(6_000)]
    path = write(tmp_path, table(*keys))
    begin, ended = threading.Barrier(2), []

    def one():
        database = Database(database_url)
        with reading(path) as read:
            found = difference.compare(database, read, target())
            begin.wait()
            ended.append(loader.load(database, read, target(), found))
        database.close()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database = Database(database_url)
    assert len(ended) == 2
    assert len({loaded.batch.id for loaded in ended}) == 1
    assert sorted(jobs_of(database)) == sorted(keys)
    database.close()


def test_a_batch_that_is_cancelled_while_it_is_loaded_takes_no_more_rows(database_url, tmp_path, monkeypatch):
    """Else they would be pending for ever: nobody buys for a cancelled batch, nor cancels it again."""
    monkeypatch.setattr(loader, "_MOST_SECONDS", 0)
    path = write(tmp_path, table(*(f"key-{n}" for n in range(3_000))))
    database, other = Database(database_url), Database(database_url)

    def cancel(place):
        if place is not Place.AFTER_CHUNK_COMMIT:
            return
        chosen = cancelling.wanted(Selection())
        with other.read() as tx:
            found = batches.find(tx, "cats")
        cancelling.cancel_batch(other, found)
        with other.read() as tx:
            ids = selection.ids(tx, chosen, found.id)
        cancelling.cancel_jobs(other, found, chosen, ids)

    monkeypatch.setattr(crashpoints, "reach", cancel)
    with pytest.raises(errors.Mistake, match="is cancelled"):
        load(database, path)
    with database.read() as tx:
        found = tx.execute(
            sa.select(tables.jobs.c.state, sa.func.count()).group_by(tables.jobs.c.state)
        ).all()
    assert found == [(State.CANCELLED, 1_000)]
    database.close()
    other.close()


def test_others_see_the_batch_grow_and_may_write_meanwhile(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "_MOST_SECONDS", 0)  # a piece per transaction, however fast the machine
    path = write(tmp_path, table(*(f"key-{n}" for n in range(10_000))))
    seen, other = [], Database(database_url)
    write_some = loader._Writing._write_some

    def looked_at(self, tx, wanted):
        with other.read() as reader:
            seen.append(reader.execute(sa.select(sa.func.count()).select_from(tables.jobs)).scalar_one())
        return write_some(self, tx, wanted)

    monkeypatch.setattr(loader._Writing, "_write_some", looked_at)
    database = Database(database_url)
    load(database, path)
    assert seen == [n * 1_000 for n in range(10)]
    database.close()
    other.close()


def test_yaml_cannot_bring_in_what_no_database_takes(database, tmp_path):
    content = f'batch: cats\njobs:\n  - {{image: "{WEB}", prompt: "a\\0b"}}\n'
    with nothing_written(database), pytest.raises(errors.Mistake):
        load(database, write(tmp_path, content, "cats.yaml"))


def test_a_comparison_without_a_database_takes_every_row_for_new(tmp_path):
    with reading(write(tmp_path, table("a", "b"))) as read:
        found = difference.compare(None, read, target())
    assert (found.new, found.jobs, found.images, found.gone) == (2, 2, 2, 0)


def test_a_comparison_counts_what_is_left_to_buy(database, tmp_path):
    path = write(
        tmp_path, f"key,image,prompt,num_outputs\n{''.join(f'{k},{WEB},x,3{chr(10)}' for k in 'abcd')}"
    )
    load(database, path)
    jobs = jobs_of(database)
    settle_as(database, jobs["a"], State.SUCCEEDED)
    settle_as(database, jobs["b"], State.FAILED)
    with reading(path) as read:
        found = difference.compare(database, read, target())
    assert (found.there, found.jobs, found.images, found.pictures) == (4, 2, 6, {Travel.URL: 2})


def after_loading(database):
    """Return how many jobs are wanted and not bought, and how many images they make."""
    wanted = [job for job in jobs_of(database).values() if job.state in {State.PENDING, State.QUEUED}]
    return len(wanted), sum(job.input.get("num_outputs", 1) for job in wanted)


@pytest.mark.parametrize(("limit", "bought", "listed"), [(None, (8, 20), 6), (4, (7, 18), 3)])
def test_what_the_plan_says_will_be_bought_is_what_is_wanted_after_the_load(
    database, tmp_path, limit, bought, listed
):
    """A job of every state: its row as it was, edited, and no longer listed; and a row that is new."""

    def table_of(prompt, num_outputs, kinds):
        keys = [f"{state}-{kind}" for kind in kinds for state in State]
        return "".join(f"{key},{WEB},{prompt},{num_outputs}\n" for key in keys)

    header = "key,image,prompt,num_outputs\n"
    load(database, write(tmp_path, header + table_of("x", 3, ["same", "edited", "gone"])))
    for key, job in jobs_of(database).items():
        if (state := State(key.partition("-")[0])) is not State.PENDING:
            settle_as(database, job, state)
    rest = table_of("y", 2, ["edited"]) + table_of("x", 3, ["same"])
    loaded = load(
        database, write(tmp_path, f"{header}new,{WEB},y,\n{rest}"), target(update=True), limit=limit
    )
    found = loaded.difference
    assert (found.jobs, found.images) == after_loading(database) == bought
    assert found.pictures == {Travel.URL: listed}


def test_begun_it_is_agreed_to_and_what_is_loaded_later_is_not(database, tmp_path):
    batch = load(database, write(tmp_path, table("a", "b"))).batch
    path = write(tmp_path, table("a", "b", "c"))
    with reading(path) as read:
        assert difference.compare(database, read, target()).unagreed == 3
    with database.write() as tx:
        events.record(tx, now(tx), batch.id, events.EventKind.STARTED, "")
    with reading(path) as read:
        found = difference.compare(database, read, target())
    assert (found.jobs, found.unagreed) == (3, 1)
    load(database, path)
    with reading(path) as read:
        found = difference.compare(database, read, target())
    assert (found.new, found.jobs, found.unagreed) == (0, 3, 1)


def test_what_was_chosen_of_lost_answers_stays_until_it_is_chosen_anew(database, tmp_path):
    batch = load(database, write(tmp_path, table("a")), target(when_unconfirmed="hold")).batch
    assert not loader.choose(database, batch.id, "hold")
    assert loader.choose(database, batch.id, "resubmit")
    again = write(tmp_path, table("a", "b"), "again.csv")
    after = load(database, again, target(update=True, when_unconfirmed="hold")).batch
    assert after.options == batch.options
    assert (after.manifest_path, after.state) == (batch.manifest_path, BatchState.READY)


def test_a_batch_that_is_not_loaded_whole_stays_so_whatever_is_chosen(database):
    batch = factory.make_batch(database, state=BatchState.LOADING)
    assert not loader.choose(database, batch.id, "hold")
    with database.read() as tx:
        assert batches.get(tx, batch.id).state is BatchState.LOADING
