"""Where a batch's images go, and where they are looked for: `--output` is typed once, or set, or typed again."""

import json

import pytest
import sqlalchemy as sa

from jobs.tables import batches
from tests.integration import rehearsal
from tests.integration.evening import Evening, ended

SKETCH = "https://example.com/sketch.png"


@pytest.fixture
def night(tmp_path, start_sandbox):
    """Three jobs, and nothing set of an output folder."""
    return unset(Evening(tmp_path, start_sandbox()))


def unset(night):
    del night.environment["OVERNIGHT_OUTPUT"]
    return night


def added(night, key):
    with night.manifest.open("a") as manifest:
        manifest.write(f"{SKETCH},a lake in spring,{key}\n")


def images(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_folder_that_was_typed_once_is_where_every_later_command_looks(night):
    elsewhere = night.folder / "elsewhere" / "night"
    night.type("run", "night.csv", "--output", "elsewhere")
    found = night.type("status", "night")
    assert f"images   {elsewhere} (3 files, 0.0 MB)" in found.stdout
    assert json.loads(night.type("status", "night", "--json").stdout)["folder"] == str(elsewhere)
    assert f"{elsewhere}/k00000-0.png, " in night.type("show", "night/k00000").stdout
    assert night.type("show", "elsewhere/night/k00000-0.png").stdout.startswith("night/k00000\n")
    assert "no longer there" not in night.type("show", "night/k00000").stdout
    (elsewhere / "k00001-0.png").unlink()
    assert "1 job " in night.type("retry", "night", "--missing", "--dry-run").stderr
    assert night.type("jobs", "--missing").stdout.startswith("night/k00001\t")
    added(night, "k00003")
    plan = night.type("check", "night.csv").stdout
    assert f"output    {night.folder}/elsewhere\n" in plan
    assert "warning" not in plan
    night.run_again()
    assert images(elsewhere) == ["k00000-0.png", "k00002-0.png", "k00003-0.png"]
    assert not (night.folder / "outputs").exists()


def test_a_batch_that_is_named_goes_on_in_its_folder(night):
    night.type("run", "night.csv", "--output", "elsewhere")
    night.type("retry", "night", "--key", "k00001", "--new-seed")
    process = night.type("run", "night")
    assert f"images   {night.folder}/elsewhere/night (3 files, " in process.stdout
    assert "k00001.2-0.png" in images(night.folder / "elsewhere" / "night")


def test_a_database_and_its_images_may_move_together(night):
    night.type("run", "night.csv", "--output", "elsewhere")
    there = night.folder / "there"
    there.mkdir()
    for name in ("night.db", "elsewhere"):
        (night.folder / name).rename(there / name)
    found = night.type("status", "night", OVERNIGHT_DATABASE_URL=f"sqlite:///{there}/night.db")
    assert f"images   {there}/elsewhere/night (3 files, 0.0 MB)" in found.stdout


def test_a_folder_that_is_set_is_the_one_and_nobody_is_told_to_buy_what_lies_in_another(night):
    night.type("run", "night.csv", "--output", "elsewhere")
    (night.folder / "set").mkdir()
    told = night.type("status", "night", OVERNIGHT_OUTPUT=f"{night.folder}/set").stdout
    assert f"images   {night.folder}/set/night (3 files, 0.0 MB; 3 not there)" in told
    elsewhere = f"{night.folder}/elsewhere"
    assert f"missing  they were last stored in {elsewhere}; look there with --output {elsewhere}" in told
    assert "retry" not in told
    doctor = night.type("doctor", OVERNIGHT_OUTPUT=f"{night.folder}/set").stdout
    assert (
        f"are not in {night.folder}/set: unless you moved them away, look for them in {elsewhere}" in doctor
    )
    added(night, "k00003")
    plan = night.type("check", "night.csv", OVERNIGHT_OUTPUT=f"{night.folder}/set").stdout
    assert f"it was stored in {elsewhere}, and --output {elsewhere} goes on there" in plan
    assert "retry" not in plan


def test_a_kept_folder_that_is_gone_is_told_by_all_with_a_command_that_works(night):
    night.type("run", "night.csv", "--output", "elsewhere")
    (night.folder / "elsewhere").rename(night.folder / "moved")
    gone = f"3 of the 3 images stored last are not in {night.folder}/elsewhere: unless you moved them away, "
    assert gone in night.type("doctor").stdout
    again = "if deleted, buy again, which costs again: overnight retry night --state succeeded"
    assert again in night.type("status", "night").stdout
    assert again in night.type("check", "night.csv").stdout
    assert "3 jobs " in night.type("retry", "night", "--state", "succeeded", "--dry-run").stderr


def test_a_new_folder_is_made_though_there_are_images_in_another(night):
    night.run_again()
    (night.folder / "later.csv").write_text(f"image,prompt,key\n{SKETCH},a lake at night,late\n")
    process = night.type("run", "later.csv", "--output", "new")
    assert process.returncode == 0, process.stderr
    assert images(night.folder / "new" / "later") == ["late-0.png"]


def test_what_another_batch_has_in_flight_is_stored_where_its_own_images_are(tmp_path, start_sandbox):
    night = unset(Evening(tmp_path, start_sandbox(latency=3), jobs=3))
    with night.running("run", "night.csv", "--output", "elsewhere") as child:
        night.until_bought(3)
        rehearsal.eventually(lambda: night.states() == {"running": 3})
        child.kill()
        ended(child)
    (tmp_path / "later.csv").write_text(f"image,prompt,key\n{SKETCH},a lake at night,late\n")
    assert night.type("run", "later.csv").returncode == 0
    assert night.type("run", "night").returncode == 0
    assert night.bought() == 4
    assert images(tmp_path / "elsewhere" / "night") == [f"k0000{n}-0.png" for n in range(3)]
    assert images(tmp_path / "outputs" / "later") == ["late-0.png"]
    assert images(tmp_path / "outputs" / "night") == []


@pytest.mark.parametrize("kept", ["a\nb", "a\0b", 7, ["a"], None])
def test_a_folder_that_no_run_can_have_kept_is_not_used(night, kept):
    night.run_again()
    with night.database() as db, db.write() as tx:
        options = tx.execute(sa.select(batches.c.options)).scalar_one()
        tx.execute(sa.update(batches).values(options={**options, "output": kept}))
    added(night, "k00003")
    process = night.run_again()
    assert process.returncode == 0, process.stderr
    assert f"images   {night.folder}/outputs/night (4 files, " in process.stdout


def keep_mount(night, mount):
    """Have the batch remember that the disk of its images was mounted here."""
    with night.database() as db, db.write() as tx:
        options = tx.execute(sa.select(batches.c.options)).scalar_one()
        tx.execute(sa.update(batches).values(options={**options, "mount": mount}))


def test_without_the_disk_that_the_images_are_on_nothing_is_bought_unless_they_have_been_moved_here(night):
    night.run_again()
    added(night, "k00003")
    stored = night.folder / "outputs" / "night"
    stored.rename(night.folder / "away")
    keep_mount(night, str(night.folder))
    process = night.run_again()
    assert process.returncode == 69
    assert f"was on a disk mounted at {night.folder}, where none is mounted now" in process.stderr
    assert night.bought() == 3
    (night.folder / "away").rename(stored)
    assert night.run_again().returncode == 0
    assert night.bought() == 4


@pytest.mark.parametrize("mount", ["/nowhere", "outputs", "a\0b", 7])
def test_a_disk_that_no_run_can_have_kept_is_not_missed(night, mount):
    night.type("load", "night.csv")
    (night.folder / "outputs").mkdir()
    keep_mount(night, mount)
    assert night.run_again().returncode == 0
