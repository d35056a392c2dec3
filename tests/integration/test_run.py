"""`overnight run`: new, again, added to, edited, finished, cancelled, paused; interrupted, killed, and run twice."""

import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs import errors
from jobs.tables import events
from overnight import cli
from tests import rows
from tests.integration import evening, rehearsal
from tests.integration.evening import Evening, ended, interrupt, one_line
from tests.manifests import picture

SLOW = {"creates_per_minute": 120}  # two purchases a second: nothing is over before a test has looked


@pytest.fixture
def night(tmp_path, start_sandbox):
    """Three jobs, and a sandbox that answers at once."""
    return Evening(tmp_path, start_sandbox())


@pytest.fixture
def long_night(tmp_path, start_sandbox):
    """More jobs than any test waits for, at two a second."""
    return Evening(tmp_path, start_sandbox(), jobs=500, **SLOW)


def add_row(night, prompt="a lake in spring", key="added"):
    night.keys = [*night.keys, key]
    with night.manifest.open("a") as manifest:
        manifest.write(f"https://example.com/sketch.png,{prompt},{key}\n")


# What becomes of a manifest


def test_a_night_begins_with_its_plan_and_ends_with_the_images(night):
    process = night.run_again()
    assert process.returncode == 0, process.stderr
    assert "jobs      3 to buy, 3 images" in process.stderr
    assert process.stdout.startswith("night: 3 jobs: 3 succeeded\n")
    assert night.check().clean


def test_quiet_means_no_word_at_all(night):
    process = night.type("run", "night.csv", "-q")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_a_manifest_with_a_mistake_leaves_nothing_behind(night):
    night.manifest.write_text("image,prompt,steps\nhttps://example.com/a.png,a lake,20\n")
    process = night.run_again()
    assert process.returncode == 2
    assert "did you mean num_inference_steps?" in process.stderr
    assert [path.name for path in night.folder.iterdir() if path.is_file()] == ["night.csv"]
    assert night.bought() == 0


@pytest.mark.parametrize("name", ["nigth.csv", "night"])
def test_a_name_that_is_neither_file_nor_batch_makes_no_database(night, name):
    process = night.type("run", name)
    assert process.returncode == 2
    assert one_line(process.stderr, f'"{name}" is not a file here', "there is no database at")
    assert not night.has_database


@pytest.mark.parametrize(
    ("name", "why"), [("x" * 300 + ".csv", "File name too long"), ("loop.csv", "Too many levels")]
)
def test_a_file_that_cannot_even_be_looked_for_is_told_as_check_tells_it(night, name, why):
    (night.folder / "loop.csv").symlink_to("loop.csv")
    told = [night.type(verb, name) for verb in ("run", "check")]
    assert [process.returncode for process in told] == [2, 2]
    assert one_line(told[0].stderr, "cannot be read", why)
    assert told[0].stderr == told[1].stderr


def test_a_folder_that_is_closed_to_us_is_no_bug(tmp_path, monkeypatch):
    really = os.stat

    def refuse(path, **options):
        if "closed" in Path(str(path)).parts:
            raise PermissionError(13, "Permission denied")
        return really(path, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "stat", refuse)  # root may enter every folder
    with pytest.raises(errors.Mistake, match=r"closed/night\.csv: cannot be read: Permission denied"):
        cli.group.main(["run", str(tmp_path / "closed" / "night.csv")], standalone_mode=False)


@pytest.mark.parametrize("option", ["--database=sqlite:///{}", "--output={}"])
def test_a_place_with_too_long_a_name_is_one_line(night, option):
    process = night.type("run", "night.csv", option.format("x" * 300))
    assert process.returncode == 69
    assert "bug" not in process.stderr
    assert process.stderr.splitlines()[-1].startswith("overnight: ")


def test_a_mistyped_batch_names_the_one_that_is_near(night):
    night.type("load", "night.csv")
    process = night.type("run", "nigth")
    assert process.returncode == 2
    assert one_line(process.stderr, '"nigth" is not a file here', "did you mean night?")


def test_what_only_a_manifest_can_take_is_refused_for_a_batch(night):
    night.type("load", "night.csv")
    process = night.type("run", "night", "--limit", "1")
    assert process.returncode == 2
    assert "--limit only goes with a manifest" in process.stderr
    assert night.bought() == 0


def test_a_folder_beside_us_may_be_called_as_the_batch_is(night):
    night.type("load", "night.csv")
    (night.folder / "night").mkdir()
    assert night.type("run", "night").returncode == 0
    assert night.bought() == 3


def test_rows_that_were_added_are_bought_and_no_other(night):
    night.run_again()
    add_row(night)
    process = night.run_again()
    assert process.returncode == 0
    assert "night: 1 new, 3 there" in process.stderr
    assert night.bought() == 4
    assert night.check().clean


def test_a_database_from_a_backup_is_told_of_before_it_buys_again(night):
    night.type("load", "night.csv")
    [database] = night.folder.glob("*.db")
    backup = night.folder / "backup"
    shutil.copy(database, backup)
    assert "is it a backup" not in night.run_again().stderr
    shutil.copy(backup, database)
    told = "which this database has not bought: is it a backup,"
    assert told in night.type("check", str(night.manifest)).stdout
    assert told in night.type("run", "night").stderr


def test_another_output_than_before_is_told_of_before_anything_is_bought(night):
    night.run_again()
    add_row(night)
    there = night.type("check", str(night.manifest))
    elsewhere = night.type("check", str(night.manifest), "--output", str(night.folder / "elsewhere"))
    assert "where the next ones go" not in there.stdout
    [warning] = [line for line in elsewhere.stdout.splitlines() if line.startswith("warning")]
    assert "image night/" in warning
    assert (
        f"is not in {night.folder}/elsewhere, where the next ones go; it was stored in {night.output}"
        in warning
    )


def test_a_row_that_was_edited_stops_the_run(night):
    night.type("load", "night.csv")
    night.manifest.write_text(night.manifest.read_text().replace("winter k00001", "autumn"))
    process = night.run_again()
    assert process.returncode == 2
    assert "--update" in process.stderr
    assert night.bought() == 0


def test_rows_that_were_edited_after_they_were_bought_are_told_of_and_the_run_goes_on(night):
    night.run_again()
    night.manifest.write_text(night.manifest.read_text().replace("winter k00001", "autumn"))
    add_row(night)
    process = night.run_again()
    assert process.returncode == 0, process.stderr
    assert "night: 1 new, 2 there, 1 left as bought" in process.stderr
    told = (
        "1 row differs from what was bought, which stays as it is; to buy such a job as its row is now, load"
    )
    assert told in process.stderr
    assert night.bought() == 4
    finished = night.run_again()
    assert (finished.returncode, told in finished.stderr, night.bought()) == (0, True, 4)
    assert "batch     night" not in finished.stderr  # nothing is to be agreed to
    [again] = [line for line in finished.stderr.splitlines() if told in line]
    assert night.type(*shlex.split(again.partition("after: overnight ")[2])).returncode == 0
    assert night.run_again().returncode == 2
    assert night.type("run", "night.csv", "--update").returncode == 0
    assert night.bought() == 5


def test_a_manifest_runs_on_after_jobs_were_edited_in_an_export_of_it(night):
    night.sandbox.faults(nsfw=1)
    night.run_again()
    night.sandbox.heal()
    night.type("export", "night", "--state", "failed", "--manifest", "-o", "again.csv")
    again = night.folder / "again.csv"
    again.write_text(again.read_text().replace("winter", "autumn"))
    process = night.type("run", "again.csv", "--batch", "night", "--update")
    assert process.returncode == 0, process.stderr
    add_row(night)
    process = night.run_again()
    assert process.returncode == 0, process.stderr
    assert "night: 1 new, 3 left as bought" in process.stderr
    assert night.states() == {"succeeded": 4}


def test_rows_that_were_edited_into_new_ones_are_bought_beside_the_old_and_the_plan_says_so(night):
    """Without a key an edited row is a new one, and the old one stays wanted."""
    night.manifest.write_text(
        "image,prompt\nhttps://example.com/a.png,a lkae\nhttps://example.com/a.png,a hlil\n"
    )
    night.type("load", "night.csv")
    night.manifest.write_text(
        "image,prompt\nhttps://example.com/a.png,a lake\nhttps://example.com/a.png,a hill\n"
    )
    process = night.run_again(OVERNIGHT_PRICE="0.5")
    assert process.returncode == 0
    assert "batch     night: 2 new, 2 no longer listed" in process.stderr
    assert "jobs      4 to buy, 4 images" in process.stderr
    assert "besides   2 of these jobs are no longer listed, but are bought all the same" in process.stderr
    assert "cost      about 2.0 at 0.5 a job" in process.stderr
    assert night.bought() == 4


def test_a_limit_below_what_is_loaded_has_a_plan_of_all_that_is_bought(night):
    night.type("load", "night.csv")
    process = night.type("run", "night.csv", "--limit", "1")
    assert "jobs      3 to buy, 3 images" in process.stderr
    assert night.bought() == 3


def test_a_run_that_goes_on_says_in_one_line_what_is_left_to_buy(long_night):
    killed_in_flight(long_night)
    with long_night.running("run", "night", OVERNIGHT_PRICE="0.5") as child:
        line = rehearsal.eventually(child.stderr.readline)
        interrupt(child)
        ended(child)
    left = int(line.removeprefix("night: ").partition(" ")[0])
    assert 0 < left < 500
    assert line.startswith(f"night: {left} jobs left to buy, {left} images, about ")
    assert line.endswith(f"; cost about {left * 0.5:.1f} at 0.5 a job\n")


def test_an_adapted_manifest_that_was_exported_and_edited_runs_by_the_command_that_is_printed(night):
    night.manifest.write_text("image,text,mood\nhttps://example.com/a.png,a lake,calm\n")
    adapted = ("--column", "prompt=text", "--label", "mood", "--default", "num_outputs=2")
    assert night.type("load", "night.csv", *adapted).returncode == 0
    exported = night.type("export", "night", "--manifest", "-o", "again.csv")
    again = night.folder / "again.csv"
    again.write_text(again.read_text().replace("a lake", "a hill"))
    typed = exported.stderr[exported.stderr.index("overnight run") :].split()
    process = night.type(*typed[1:])
    assert process.returncode == 0, process.stderr
    assert "night: 0 new, 1 changed" in process.stderr
    (bought,) = night.sandbox.ledger()
    assert bought["input"]["prompt"] == "a hill"
    assert night.type("check", "night.csv", "--update").returncode == 0


def test_a_row_that_was_refused_is_never_bought_without_its_refused_cell(night):
    """Its job lacks the cell, so neither a retry nor an export of it may be bought; the printed command is."""
    rows = "key,image,prompt\na,https://example.com/a.png,a lake\nb,https://example.com/b.png,{}\n"
    night.manifest.write_text(rows.format("a fox, in the snow"))
    summed = night.type("run", "night.csv", "--keep-going")
    assert summed.returncode == 1
    retried = night.type("retry", "night", "--state", "failed")
    exported = night.type("export", "night", "--class", "invalid-input", "--manifest", "-o", "again.csv")
    for told in (retried.stderr, exported.stderr):
        assert "left out: 1 job with a mistake in the row" in told
    assert len((night.folder / "again.csv").read_text().splitlines()) == 1
    assert "Type next" not in exported.stderr
    assert night.type("run", "night").returncode == 1
    assert night.bought() == 1
    night.manifest.write_text(rows.format('"a fox, in the snow"'))
    printed = retried.stderr.partition("then type: overnight ")[2].splitlines()[0]
    for told in (summed.stdout, night.type("retry", "night").stderr, night.type("show", "night/b").stdout):
        assert printed in told
        assert "export" not in told
    assert night.type(*shlex.split(printed)).returncode == 0
    assert [entry["input"]["prompt"] for entry in night.sandbox.ledger()][-1] == "a fox, in the snow"


def test_images_that_were_deleted_are_bought_again_with_the_command_that_is_printed(night):
    assert night.run_again().returncode == 0
    next((night.output / "night").iterdir()).unlink()
    summed = night.run_again()
    assert "(3 files, 0.0 MB; 1 not there)" in summed.stdout
    printed = summed.stdout.partition("which costs again: overnight ")[2].splitlines()[0]
    assert "night: 1 job " in night.type(*shlex.split(printed)).stderr
    summed = night.run_again()
    assert (summed.returncode, night.bought()) == (0, 4)
    assert "not there" not in summed.stdout + summed.stderr
    assert "no job to run again among those" in night.type(*shlex.split(printed)).stderr


def test_pictures_that_vanished_hinder_only_what_is_still_to_be_bought(night):
    for name in ("done.png", "gone.png", "here.png"):
        picture(night.folder / name)
    night.manifest.write_text("key,image,prompt\ndone,done.png,a\ngone,gone.png,b\nhere,here.png,c\n")
    assert night.type("run", "night.csv", "--limit", "1").returncode == 0
    assert night.type("load", "night.csv").returncode == 0
    for name in ("done.png", "gone.png"):
        (night.folder / name).unlink()
    stopped = night.run_again()
    assert stopped.returncode == 2
    told, how = stopped.stderr.splitlines()
    assert "night.csv:3: image: gone.png cannot be found" in told
    assert "--keep-going" in how
    assert night.bought() == 1
    went_on = night.type("run", "night.csv", "--keep-going")
    assert went_on.returncode == 1
    assert "night.csv:3: image: gone.png cannot be found" in went_on.stderr
    assert "put it back or mend it first  overnight retry night --class input-unreadable" in went_on.stdout
    assert (night.bought(), night.states()) == (2, {"succeeded": 2, "failed": 1})
    assert night.run_again().returncode == 1
    picture(night.folder / "gone.png")
    assert night.type("retry", "night", "--class", "input-unreadable").returncode == 0
    assert night.run_again().returncode == 0
    assert (night.bought(), night.states()) == (3, {"succeeded": 3})


def test_a_folder_of_pictures_that_vanished_hinders_only_what_is_still_to_be_bought(night):
    pictures = night.folder / "pictures"
    for name in ("done.png", "gone.png"):
        picture(pictures / name)
    night.manifest.write_text("key,image,prompt\ndone,done.png,a\ngone,gone.png,b\n")
    assert night.type("run", "night.csv", "--images", "pictures", "--limit", "1").returncode == 0
    shutil.rmtree(pictures)
    for more in ([], ["--keep-going"]):
        stopped = night.type("run", "night.csv", *more)
        assert stopped.returncode == 2
        assert one_line(stopped.stderr, "pictures: is no folder: name the one where the pictures are")
    picture(pictures / "gone.png")
    assert night.run_again().returncode == 0
    shutil.rmtree(pictures)
    assert night.run_again().returncode == 0
    assert (night.bought(), night.states()) == (2, {"succeeded": 2})


def test_a_folder_of_pictures_that_goes_in_the_night_stops_the_buying_and_fails_no_job(
    tmp_path, start_sandbox
):
    night = Evening(tmp_path, start_sandbox(), jobs=40, creates_per_minute=300)
    pictures, away = tmp_path / "pictures", tmp_path / "away"
    picture(pictures / "fox.png")
    rows = [f"{key},fox.png,a fox" for key in night.keys]
    night.manifest.write_text("\n".join(["key,image,prompt", *rows, ""]))
    with night.running("run", "night.csv", "--images", "pictures") as child:
        night.until_bought(2)
        pictures.rename(away)
        code, out, words = ended(child)
    assert code == 75, words
    assert f"paused, storage: the folder of pictures '{pictures}' is not there" in out
    assert "to go on, type: overnight run night" in out
    assert set(night.states()) == {"succeeded", "pending"}
    assert night.type("run", "night").returncode == 75
    away.rename(pictures)
    assert night.type("run", "night").returncode == 0
    assert (night.bought(), night.states()) == (40, {"succeeded": 40})


def test_what_is_typed_of_lost_answers_is_kept_with_a_batch_that_is_gone_on_with(night):
    night.type("load", "night.csv")
    process = night.type("run", "night", "--when-unconfirmed", "hold")
    assert process.returncode == 0
    assert "night: --when-unconfirmed hold from now on" in process.stderr
    assert night.batch().options["when_unconfirmed"] == "hold"


@pytest.mark.parametrize("words", [(), ("-q",)])
def test_the_summary_can_be_one_json_object(night, words):
    process = night.type("run", "night.csv", "--json", *words)
    data = evening.as_json(process)
    assert (process.returncode, data["batch"], data["finished"]) == (0, "night", True)
    assert (data["counts"]["succeeded"], data["images"], data["limit"]["kind"]) == (3, 3, "finished")
    assert bool(process.stderr) is not bool(words)


def test_the_first_steps_in_the_readme_work_as_typed(night):
    readme = (rehearsal.ROOT / "README.md").read_text("utf-8")
    night.manifest.rename(night.folder / "tonight.csv")
    typed = [line.removeprefix("$ ").partition("#")[0].split() for line in readme.splitlines()[:25]]
    steps = [words[1:] for words in typed if words[:1] == ["overnight"] and words[1] != "example"]
    assert [step[0] for step in steps] == ["check", "run", "status", "retry", "run"]
    for step in steps:
        process = night.type(*step)
        assert process.returncode == 0, process.stderr


# What is finished, cancelled or paused


def test_a_night_in_which_everything_fails_stops_before_all_of_it_is_bought(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(faults={"nsfw": 1}), jobs=200, creates_per_minute=600)
    process = night.run_again()
    assert process.returncode == 75, process.stderr
    assert "paused, stop-loss: " in process.stdout
    assert 20 < night.bought() < 200


def test_a_finished_batch_is_summed_up_without_api_and_token(night):
    first = night.run_again()
    night.sandbox.stop()
    again = night.run_again(OVERNIGHT_API_TOKEN=None)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert again.stderr == "night: 0 new, 3 there\n"


def test_failed_jobs_stay_failed_and_the_summary_names_a_command_that_works(night):
    night.sandbox.faults(nsfw=1)
    assert night.run_again().returncode == 1
    night.sandbox.heal()
    again = night.run_again()
    assert (again.returncode, night.bought()) == (1, 3)
    typed = again.stdout[again.stdout.index("overnight retry") :].splitlines()[0]
    assert typed == "overnight retry night --class nsfw --new-seed"
    assert night.type(*typed.split()[1:]).returncode == 0
    assert night.run_again().returncode == 0
    assert night.states() == {"succeeded": 3}


def test_who_runs_a_batch_again_begins_it_anew(night):
    assert night.run_again().returncode == 0
    assert night.type("retry", "night", "--key", night.keys[0]).returncode == 0
    assert night.run_again().returncode == 0
    with night.database() as db, db.read() as tx:
        kinds = list(tx.execute(sa.select(events.c.kind)).scalars())
    assert kinds.count("started") == 2


def test_a_cancelled_batch_is_refused(night):
    night.type("load", "night.csv")
    night.type("cancel", "night", "--yes")
    for what in ("night", "night.csv"):
        process = night.type("run", what)
        assert process.returncode == 2
        assert one_line(process.stderr, "batch night is cancelled", "--batch NAME")
    assert night.bought() == 0


def test_what_a_cancelled_batch_has_in_flight_is_seen_to_before_it_is_refused(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(latency=5))
    killed_in_flight(night)
    night.type("cancel", "night", "--yes")
    process = night.type("run", "night")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith("overnight: batch night is cancelled")
    assert set(night.states()) <= {"cancelled", "succeeded"}
    assert night.bought() == 3


def test_a_batch_that_is_cancelled_meanwhile_ends_with_its_summary(long_night):
    with long_night.running() as child:
        long_night.until_bought(3)
        long_night.type("cancel", "night", "--yes")
        code, out, words = ended(child)
    assert code == 75, words
    assert "\ncancelled by hand\n" in out
    assert "overnight: " not in words
    assert set(long_night.states()) <= {"cancelled", "succeeded"}


def test_a_batch_that_a_person_paused_waits_for_its_resume(night):
    night.type("load", "night.csv")
    night.type("pause", "night")
    process = night.run_again()
    # No plan and no question of what is not bought, whatever the number of jobs.
    assert (process.returncode, process.stderr) == (
        75,
        "overnight: batch night was paused by hand; type: overnight resume night\n",
    )
    night.type("resume", "night")
    assert night.run_again().returncode == 0


def test_what_a_paused_batch_has_in_flight_is_fetched_and_nothing_bought(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(latency=1), jobs=500, **SLOW)
    killed_in_flight(night)
    night.type("pause", "night")
    bought = night.bought()
    process = night.type("run", "night")
    assert process.returncode == 75
    assert "paused, person: by hand; to go on, type: overnight resume night" in process.stdout
    assert night.bought() == bought
    assert set(night.states()) == {"pending", "succeeded"}


def killed_in_flight(night):
    """Let a run buy three jobs or more, and end it as a power cut would."""
    with night.running() as child:
        night.until_bought(3)
        child.kill()


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_asked_once_it_buys_no_more_and_fetches_what_it_bought(long_night, number):
    with long_night.running() as child:
        long_night.until_bought(3)
        interrupt(child, number)
        code, out, words = ended(child)
    assert code == 130, words
    assert "stopping: nothing more is bought" in words
    assert "not finished; to go on, type: overnight run night" in out
    assert set(long_night.states()) == {"pending", "succeeded"}
    assert long_night.states()["succeeded"] == long_night.bought() < 500


def test_while_the_api_is_away_a_run_that_stops_says_that_it_waits_for_it(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(latency=60), jobs=3)
    with night.running() as child:
        night.until_bought(3)
        rehearsal.eventually(lambda: night.states() == {"running": 3})  # no answer is on its way any more
        night.sandbox.stop(signal.SIGKILL)
        interrupt(child)
        rehearsal.eventually(
            lambda: "stopping, 3 jobs still to fetch; API away since" in child.stderr.readline()
        )


def test_after_an_interruption_the_same_command_goes_on(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(), jobs=30, creates_per_minute=300)
    with night.running() as child:
        night.until_bought(3)
        interrupt(child)
        assert ended(child)[0] == 130
    assert night.run_again().returncode == 0
    assert night.check().clean
    assert night.bought() == 30


def test_asked_twice_it_leaves_at_once_and_loses_nothing(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(latency=60), jobs=3)
    with night.running() as child:
        night.until_bought(3)
        interrupt(child)
        rehearsal.eventually(lambda: "stopping" in child.stderr.readline())
        interrupt(child)
        assert ended(child, 20)[0] == 130
    assert night.bought() == sum(night.states().values()) == 3


def test_interrupted_before_anything_is_bought_it_just_ends(long_night):
    rows = "".join(f"https://example.com/a.png,a lake {n},m{n}\n" for n in range(100_000))
    with long_night.manifest.open("a") as manifest:
        manifest.write(rows)
    with long_night.running("run", "night.csv", "--yes") as child:
        rehearsal.eventually((long_night.folder / "night.db").exists)
        interrupt(child, signal.SIGTERM)
        code, _, words = ended(child)
    # While it loads or, on a slow machine, just after: there it stops as a night does.
    assert code == 130
    assert words.splitlines()[-1] == "overnight: interrupted" or "0 jobs still to fetch" in words
    assert long_night.bought() == 0


@pytest.mark.parametrize("login", [True, False], ids=["and says so", "without a word"])
def test_a_terminal_that_hangs_up_does_not_end_the_night(tmp_path, start_sandbox, login):
    night = Evening(tmp_path, start_sandbox(), jobs=20, creates_per_minute=300)
    with night.in_a_terminal("run", "night.csv", login=login) as (child, terminal):
        terminal.shows("20 to buy")
        night.until_bought(1)
        terminal.close()
        assert child.wait(timeout=90) == 0
    assert night.states() == {"succeeded": 20}


def test_words_that_go_to_a_file_go_on_after_a_hangup(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(), jobs=20, creates_per_minute=300)
    with night.running() as child:
        night.until_bought(1)
        child.send_signal(signal.SIGHUP)
        code, out, words = ended(child)
    assert code == 0
    assert "20 of 20 ended" in words.splitlines()[-1]
    assert out.startswith("night: 20 jobs: 20 succeeded")


def test_a_bar_is_drawn_in_a_terminal(night):
    with night.in_a_terminal("run", "night.csv") as (child, terminal):
        shown = terminal.shows("night: 3 jobs: 3 succeeded")
        assert child.wait(timeout=60) == 0
    assert "now: finished" in shown


@pytest.mark.parametrize("what", ["night.csv", "night"])
def test_jobs_that_load_brought_are_asked_for_once(tmp_path, start_sandbox, what):
    night = Evening(tmp_path, start_sandbox(), jobs=1001, **SLOW)
    night.type("load", "night.csv")
    with night.in_a_terminal("run", what) as (child, terminal):
        terminal.shows("Buy 1,001 predictions? [y/N]")
        assert night.batch().state == "ready"
        terminal.types("y\n")
        night.until_bought(1)
        child.kill()
    with night.in_a_terminal("run", what) as (child, terminal):
        assert "Buy" not in terminal.shows("jobs left to buy")
        night.until_bought(night.bought() + 1)


# Killed, and run twice


def test_a_database_that_is_moved_away_stops_its_run_and_when_it_is_back_nothing_is_lost(
    tmp_path, start_sandbox
):
    night = Evening(tmp_path, start_sandbox(latency=0.3), jobs=30, creates_per_minute=600)
    database = night.folder / "night.db"
    with night.running() as child:
        night.until_bought(5)
        database.rename(night.folder / "aside")
        code, _, words = ended(child)
    assert code == 69
    assert "was moved, deleted or replaced while it was in use" in words
    (night.folder / "aside").rename(database)
    assert night.run_again().returncode == 0
    assert night.bought() == 30
    assert night.check().clean


def test_killed_and_run_again_it_goes_on_and_pays_nothing_twice(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(latency=0.3), jobs=30, creates_per_minute=600)
    killed_in_flight(night)
    process = night.run_again()
    assert process.returncode == 0, process.stderr
    assert night.check().clean
    assert night.bought() == 30


def test_a_second_run_of_the_batch_watches_and_ends_with_it(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(), jobs=60, **SLOW)
    with night.running() as first:
        night.until_bought(1)
        with night.running() as second:
            told = f"another overnight, process {first.pid}, is working on"
            rehearsal.eventually(lambda: told in second.stderr.readline())
            assert night.type("quota", "--creates-per-minute", "6000").returncode == 0
            assert ended(first)[0] == 0
            code, out, _ = ended(second)
    assert code == 0
    assert out.startswith("night: 60 jobs: 60 succeeded")
    assert night.check().clean


def test_a_second_run_takes_over_when_the_first_is_killed(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(), jobs=60, creates_per_minute=300)
    with night.running() as first:
        night.until_bought(1)
        with night.running() as second:
            rehearsal.eventually(lambda: "watching" in second.stderr.readline())
            first.kill()
            first.wait()  # a dead process that nobody has waited for is one still, and may keep its files
            code, out, words = ended(second)
    assert code == 0, words
    assert "it has ended: going on here" in words
    assert out.startswith("night: 60 jobs: 60 succeeded")
    assert night.check().clean


def test_a_second_run_does_not_take_over_what_a_newer_program_has_upgraded(long_night):
    with long_night.running() as first:
        long_night.until_bought(1)
        with long_night.running() as second:
            rehearsal.eventually(lambda: "watching" in second.stderr.readline())
            with long_night.database() as db:
                rows.stamp(db, "9999")
            first.kill()
            first.wait()
            code, _, words = ended(second)
    assert code == 69
    assert "was made by a newer overnight" in words


def test_leaving_a_watch_leaves_the_work_to_the_other(long_night):
    with long_night.running() as first:
        long_night.until_bought(1)
        with long_night.running() as second:
            rehearsal.eventually(lambda: "watching" in second.stderr.readline())
            interrupt(second)
            code, _, words = ended(second)
        assert code == 130
        assert f"no longer watching; process {first.pid} goes on" in words
        assert first.poll() is None


def test_a_run_of_another_batch_waits_for_its_turn(tmp_path, start_sandbox):
    night = Evening(tmp_path, start_sandbox(), jobs=40, creates_per_minute=300)
    (tmp_path / "later.csv").write_text("image,prompt\nhttps://example.com/sketch.png,a lake at night\n")
    with night.running() as first:
        night.until_bought(1)
        with night.running("run", "later.csv") as second:
            code, _, words = ended(second)
        assert first.wait(timeout=60) == 0
    assert code == 0, words
    assert f"its turn comes after batch night, on which process {first.pid} is working" in words
    assert night.states() == {"succeeded": 41}


# The sandbox that comes and goes with the run


@pytest.fixture
def rehearsed(tmp_path):
    """A night whose sandbox is the run's own child."""
    night = Evening(tmp_path, jobs=6)
    night.environment |= {
        "OVERNIGHT_DATABASE_URL": f"sqlite:///{tmp_path}/overnight-sandbox.db",
        "OVERNIGHT_API_TOKEN": "",
    }
    return night


REHEARSE = ("run", "night.csv", "--api", "sandbox")


def test_a_sandbox_of_its_own_is_gone_when_the_run_is_over(rehearsed):
    process = rehearsed.type(*REHEARSE)
    assert process.returncode == 0, process.stderr
    assert rehearsed.states() == {"succeeded": 6}
    assert not sandboxes(rehearsed)


def test_its_own_sandbox_outlives_a_ctrl_c_until_all_is_fetched(rehearsed):
    with rehearsed.running(*REHEARSE) as child:
        until_accepted(rehearsed)
        interrupt(child)
        code, _, words = ended(child)
    assert code == 130, words
    assert set(rehearsed.states()) <= {"pending", "succeeded"}
    assert rehearsed.states()["succeeded"] >= 1


def test_killed_the_run_takes_its_own_sandbox_along_and_the_next_one_starts_another(rehearsed):
    with rehearsed.running(*REHEARSE) as child:
        until_accepted(rehearsed)
        child.kill()
        process = rehearsed.type(*REHEARSE)
    assert process.returncode == 0, process.stderr
    ledger = (rehearsed.folder / "sandbox-state" / "ledger.jsonl").read_text().splitlines()
    assert len(ledger) == 6
    rehearsal.eventually(lambda: not sandboxes(rehearsed))


def until_accepted(night):
    ledger = night.folder / "sandbox-state" / "ledger.jsonl"
    rehearsal.eventually(lambda: ledger.exists() and ledger.read_text().count("\n") >= 1, 60)


def sandboxes(night):
    """Return the processes that serve this folder's sandbox."""
    state = f"--state={night.folder / 'sandbox-state'}".encode()
    return [path for path in evening.processes() if state in path]
