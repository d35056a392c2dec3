"""What is said in the morning, and the exit code that goes with it."""

import shutil
from decimal import Decimal

import pytest

from jobs import failures, settings
from jobs.accounts.breaker import Breaker, BreakerState
from jobs.batches import PauseReason
from jobs.reports import limits
from jobs.states import BatchState
from overnight.display import plain, summary
from overnight.exits import Exit
from tests.snapshots import NOW, after, batch, harvest, progress, standing


@pytest.fixture
def configured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return settings.load()


@pytest.fixture
def images(configured):
    """The files of which `harvest` tells, one of them in a folder of its own."""
    folder = configured.output / "cats"
    made = [folder / name for name in ("a-0.png", "a-1.png", "b-0.png", "more/c-0.png")]
    made[-1].parent.mkdir(parents=True)
    for path in made:
        path.touch()
    return made


@pytest.mark.usefixtures("images")
def test_a_night_without_a_failure_needs_four_lines(configured, tmp_path):
    began, ended = (f"{moment.astimezone():%Y-%m-%d %H:%M}" for moment in (NOW, after(3725)))
    assert summary.lines(progress(succeeded=3), harvest(cost=0.0279), configured) == [
        "cats: 3 jobs: 3 succeeded",
        f"images   {tmp_path / 'outputs' / 'cats'} (4 files, 1.2 MB)",
        f"took     1h2m5s from the first purchase to the last end, {began} to {ended}",
        "cost     0.0279, at OVERNIGHT_PRICE as it was when each prediction ended",
    ]


@pytest.mark.parametrize(("gone", "told"), [(0, ""), (1, "; 1 not there"), (4, "; 4 not there")])
def test_images_that_are_no_longer_there_are_counted(configured, images, gone, told):
    for path in images[:gone]:
        path.unlink()
    (images[-1].parent / ".overnight-1.part").touch()
    moment = progress(succeeded=3)
    line = f"images   {images[0].parent} (4 files, 1.2 MB{told})"
    assert summary.lines(moment, harvest(), configured)[1] == line
    advice = "missing  put them back, or buy them again, which costs again: overnight retry cats --missing"
    assert (advice in summary.lines(moment, harvest(), configured)) == bool(gone)
    found = plain.detail(moment, harvest(), limits.current(moment, configured), configured, "")
    assert found["images_not_there"] == gone


def test_of_a_folder_that_is_gone_no_image_is_there(configured, images):
    shutil.rmtree(images[0].parent)
    told = summary.lines(progress(succeeded=3), harvest(), configured)
    assert told[1].endswith("; 4 not there)")
    # `retry --missing` refuses to buy a whole folder.
    assert told[2].startswith(
        "missing  mount their disk, move the folder back, or name it with --output; if "
    )
    assert told[2].endswith(": overnight retry cats --state succeeded")


@pytest.mark.usefixtures("images")
def test_of_a_cancelled_batch_no_image_is_bought_again(configured):
    moment = progress(succeeded=3, batch=batch(state=BatchState.CANCELLED))
    (line,) = (line for line in summary.lines(moment, harvest(images=5), configured) if "missing" in line)
    assert line == "missing  put them back; a cancelled batch buys nothing more"


def test_each_failure_class_has_its_command_with_the_options_that_were_typed(configured):
    moment = progress(succeeded=1, failed=12, failures={"nsfw": 10, "interrupted": 2})
    table = summary.lines(moment, harvest(), configured, "--api sandbox")[2:5]
    assert [line.split()[:2] for line in table] == [["failed", "class"], ["10", "nsfw"], ["2", "interrupted"]]
    column = table[0].index("type next")
    assert [line[column:] for line in table[1:]] == [
        "overnight retry cats --class nsfw --new-seed --api sandbox",
        "overnight retry cats --api sandbox",
    ]


def test_each_class_is_exported_to_a_file_that_is_not_there_yet(configured, tmp_path):
    moment = progress(failed=3, failures={"invalid-input": 2, "nsfw": 1, "input-unreachable": 1})
    (tmp_path / "cats-again.csv").touch()
    (tmp_path / "cats-again-3.csv").touch()
    table = summary.lines(moment, harvest(), configured)
    assert [line.split()[-1] for line in table if " -o " in line] == ["cats-again-2.csv", "cats-again-4.csv"]
    listed = plain.detail(moment, harvest(), limits.current(moment, configured), configured, "")["failures"]
    assert [one["command"] for one in listed] == [line[table[2].index("type next") :] for line in table[3:6]]


@pytest.mark.parametrize("error_class", [*failures.FailureClass, "from-a-newer-version"])
def test_every_failure_class_has_a_line_and_a_command(error_class):
    table = summary.failure_table(progress(failed=1, failures={error_class: 1}), harvest(), "")
    assert error_class in table[2]
    assert "overnight " in table[2]


def test_rows_that_were_refused_stand_apart_with_the_command_that_takes_them_corrected():
    moment = progress(failed=3, failures={"invalid-input": 3})
    take = "overnight run /home/me/cats.csv --batch cats --update"
    for refused, others in ((1, ["     2"]), (3, [])):
        (*told, last, _) = summary.failure_table(moment, harvest(refused=refused), "")[2:]
        assert [line[:6] for line in told] == others
        assert last.startswith(
            f"     {refused}  invalid-input  its row has a mistake; correct it in the manifest"
        )
        assert last.endswith(take)


def test_of_a_cancelled_batch_failures_are_told_and_no_command_that_would_be_refused():
    moment = progress(failed=1, failures={"nsfw": 1}, batch=batch(state=BatchState.CANCELLED))
    assert summary.failure_table(moment, harvest(), "")[1:3] == [
        "failed  class  meaning",
        "     1  nsfw   the safety check dropped every image",
    ]


@pytest.mark.usefixtures("images")
def test_what_was_found_late_is_counted_with_where_to_read_it(configured):
    told = summary.lines(progress(succeeded=3), harvest(found_late=12), configured)
    assert told[1] == "found late: 12 predictions, each taken by its job; the table events lists them"


@pytest.mark.usefixtures("images")
def test_predictions_without_a_price_are_told_at_the_price_of_now(configured):
    priced = configured.model_copy(update={"price": Decimal("0.0093")})
    told = summary.lines(progress(succeeded=3), harvest(), priced)
    assert told[-1] == "cost     about 0.0279 (3 predictions without a price at 0.0093)"
    told = summary.lines(progress(succeeded=3), harvest(cost=0.5, unpriced=1), priced)
    assert told[-1] == "cost     about 0.5093 (0.5000, and 1 prediction without a price at 0.0093)"
    assert not any("cost" in line for line in summary.lines(progress(), harvest(), configured))


def test_a_sum_that_leaves_predictions_out_says_so(configured):
    told = summary.lines(progress(succeeded=3), harvest(cost=0.5, unpriced=1), configured)
    assert told[-1] == "cost     at least 0.5000; set OVERNIGHT_PRICE to add 1 prediction without a price"


def test_what_sends_without_an_answer_may_add_to_the_cost_is_said(configured):
    priced = configured.model_copy(update={"price": Decimal("0.25")})
    for reaped, there, line in (
        (
            harvest(cost=0.75, unanswered=2),
            priced,
            "at OVERNIGHT_PRICE as it was when each prediction ended; ",
        ),
        (
            harvest(cost=0.5, unpriced=1, unanswered=2),
            priced,
            "about 0.7500 (0.5000, and 1 prediction without",
        ),
        (harvest(cost=None, unpriced=0, unanswered=2), priced, "nothing known; "),
    ):
        told = summary.lines(progress(succeeded=3), reaped, there)[-1]
        assert line in told
        assert told.endswith("; not in it: 2 sends without an answer, up to 0.5000 more")
    told = summary.lines(progress(succeeded=3), harvest(cost=0.75, unanswered=1), configured)[-1]
    assert told.endswith("ended; not in it: 1 send without an answer")


def test_json_tells_the_same_cost_as_the_summary(configured):
    priced, moment = configured.model_copy(update={"price": Decimal("0.25")}), progress(succeeded=3)
    limit = limits.current(moment, configured)
    for reaped, there, cost, without in (
        (harvest(cost=0.5, unpriced=1), priced, 0.75, 1),
        (harvest(cost=0.5, unpriced=1), configured, 0.5, 1),
        (harvest(cost=0.5), priced, 0.5, 0),
        (harvest(), configured, None, 3),
    ):
        told = plain.detail(moment, reaped, limit, there, "")
        assert (told["cost"], told["predictions_without_price"]) == (cost, without)


@pytest.mark.usefixtures("images")
def test_images_that_the_safety_check_took_are_said_with_where_to_look(configured):
    told = summary.lines(progress(succeeded=3), harvest(dropped=2), configured, "--api sandbox")
    assert told[2] == (
        "dropped  2 images by the safety check, of jobs with others: "
        "see column images of overnight export cats --api sandbox"
    )


def test_what_may_have_been_paid_twice_is_said(configured):
    told = summary.lines(progress(succeeded=3), harvest(orphans=1, possibly_paid=2), configured)
    assert told[1].startswith("possibly paid twice: 2 ")
    assert told[2].startswith("orphans: 1 ")


@pytest.mark.parametrize(
    ("orphans", "left", "refused", "done"),
    [
        (2, 0, 0, "the API was asked to cancel 2"),
        (3, 1, 0, "the API was asked to cancel 2 and 1 still to be canceled, by the next run"),
        (1, 1, 0, "1 still to be canceled, by the next run"),
        (2, 0, 2, "2 cannot be canceled there"),
    ],
)
def test_of_orphans_only_what_was_done_is_said(orphans, left, refused, done, configured):
    reaped = harvest(orphans=orphans, orphans_left=left, orphans_refused=refused)
    told = summary.lines(progress(succeeded=3), reaped, configured)
    assert told[1].endswith(f" besides those of the jobs; {done}; what had run is charged")


def test_a_batch_that_never_bought_says_no_time(configured):
    told = summary.lines(progress(cancelled=3), harvest(began_at=None, ended_at=None), configured)
    assert not any(line.startswith("took") for line in told)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({}, "not finished; to go on, type: overnight run cats --api sandbox"),
        (
            {"state": BatchState.PAUSED, "pause_reason": PauseReason.PERSON, "pause_detail": "by hand"},
            "paused, person: by hand; to go on, type: overnight resume cats --api sandbox",
        ),
        (
            {"state": BatchState.PAUSED, "pause_reason": PauseReason.FUSE, "pause_detail": "a\nb"},
            "paused, fuse: a b; to go on, type: overnight run cats --api sandbox",
        ),
        ({"state": BatchState.CANCELLED}, "cancelled; what is in flight has not ended yet"),
    ],
)
def test_an_unfinished_batch_says_why_and_what_makes_it_go_on(columns, line, configured):
    moment = progress(pending=1, batch=batch(**columns))
    assert summary.lines(moment, harvest(), configured, "--api sandbox")[1] == line


def test_an_unfinished_batch_says_which_of_its_accounts_is_refused(configured):
    refused = standing(label="spare", breaker=Breaker(BreakerState.BLOCKED, "token: The API answered 401."))
    moment = progress(running=2, accounts=(standing(label="main"), refused))
    assert summary.lines(moment, harvest(), configured)[1] == (
        "not finished, blocked: account spare: token: The API answered 401; mend OVERNIGHT_API_TOKEN_SPARE; "
        "to go on, type: overnight run cats"
    )


def test_a_finished_batch_says_which_account_stays_refused(configured):
    refused = standing(label="spare", breaker=Breaker(BreakerState.BLOCKED, "token: The API answered 401."))
    moment = progress(succeeded=2, accounts=(standing(label="main"), refused))
    assert summary.lines(moment, harvest(), configured)[1] == (
        "blocked: account spare: token: The API answered 401; mend OVERNIGHT_API_TOKEN_SPARE"
    )


def test_a_cancelled_batch_that_has_ended_says_so(configured):
    moment = progress(succeeded=1, cancelled=2, batch=batch(state=BatchState.CANCELLED))
    assert summary.lines(moment, harvest(), configured)[:2] == [
        "cats: 3 jobs: 1 succeeded, 2 cancelled",
        "cancelled by hand",
    ]


@pytest.mark.parametrize(
    ("moment", "spoken"),
    [
        (progress(succeeded=2, cancelled=1), False),
        (progress(succeeded=2, failed=1), True),
        (progress(succeeded=2, pending=1, batch=batch(state=BatchState.PAUSED)), True),
    ],
)
def test_quiet_prints_the_summary_only_if_it_needs_a_person(configured, capsys, moment, spoken):
    summary.tell(moment, harvest(), configured, quiet=True)
    assert bool(capsys.readouterr().out) is spoken


def test_nothing_from_the_database_can_steer_the_terminal(configured, capsys):
    hostile = progress(failed=1, failures={"\x1b[2J\n": 1}, batch=batch(name="\x1b]0;x\x07", folder="\x07"))
    summary.tell(hostile, harvest(), configured)
    out, err = capsys.readouterr()
    assert all(c.isprintable() or c == "\n" for c in out)
    assert (err, len(out.splitlines())) == ("", 8)


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (progress(succeeded=3), Exit.NONE_FAILED),
        (progress(succeeded=3, cancelled=2), Exit.NONE_FAILED),
        (progress(succeeded=3, failed=1), Exit.SOME_FAILED),
        (progress(failed=25, batch=batch(state=BatchState.PAUSED)), Exit.SOME_FAILED),
        (progress(failed=1, pending=1), Exit.HALTED),
        (progress(succeeded=3, cancelled=2, batch=batch(state=BatchState.CANCELLED)), Exit.HALTED),
        (progress(collecting=1), Exit.HALTED),
        (progress(batch=batch(state=BatchState.LOADING)), Exit.HALTED),
    ],
)
def test_the_exit_code_says_how_the_batch_stands(moment, code):
    assert summary.exit_code(moment) is code
