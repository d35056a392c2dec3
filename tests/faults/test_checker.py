"""The checker is shown one wrong thing at a time and must find exactly that: what never fails proves nothing."""

import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from jobs import images, marker
from jobs.states import State
from tests.faults import checker, report
from tests.faults.evidence import Evidence, Terms
from tests.faults.history import Move
from tests.integration import rehearsal

BEGAN = 1_700_000_000.0
PICTURE = rehearsal.png()
INPUT = {"prompt": "a lake", "seed": 7}
FIRST = Move(1, State.PENDING, State.QUEUED, None, None)
BEGUN = Move(1, State.QUEUED, State.SUBMITTING, None, 1)


def at(seconds):
    return datetime.fromtimestamp(BEGAN + seconds, UTC)


def line(number=1, **more):
    """Return a line of the ledger; the first was bought ten seconds into the night."""
    return {
        "id": f"p{number}", "t": BEGAN + 10 * number, "account": "a", "identity": "i", "attempt": 0, "fault": None,
        "fate": None, "error": None, "seed": 7, "version": "v", "input": INPUT, "image": "url:x", "key": "k",
        "queue": 0.1, "run": 2.0, "deadline": None,
    } | more  # fmt: skip


@pytest.fixture
def night(tmp_path):
    """Return a function that judges a night of one job, bought once and stored, with some things changed."""
    output, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    output.mkdir()
    elsewhere.mkdir()
    (output / "a-0.png").write_bytes(PICTURE)
    (elsewhere / "night.log").write_text("nothing to see")
    facts = images.inspect(PICTURE)
    job = {"id": 1, "batch_id": 1, "key": "a", "state": "succeeded", "attempt_id": 1, "attempts": 1, "input": INPUT,
           "error_class": None, "error_message": None, "finished_at": at(15)}  # fmt: skip
    attempt = {"id": 1, "job_id": 1, "phase": "succeeded", "prediction_id": "p1", "predict_time": 2.0, "cost": 0.5,
               "intended_at": at(9), "accepted_at": at(10), "finished_at": at(15),
               "input_digest": marker.digest(INPUT)}  # fmt: skip
    stored = {"attempt_id": 1, "index": 0, "path": "a-0.png", "bytes": len(PICTURE), "width": facts.width,
              "height": facts.height, "sha256": hashlib.sha256(PICTURE).hexdigest()}  # fmt: skip
    terms = {"keys": ["a"], "served": lambda *_: PICTURE, "price": 0.5, "most_attempts": 3, "slots": 0,
             "folder": elsewhere, "secret": "canary"}  # fmt: skip

    def judged(*, changes=None, ledger=None, more_attempts=(), events=(), moves=(FIRST, BEGUN), **given):
        changed = {"job": {}, "attempt": {}, "stored": {}, **(changes or {})}
        return checker.judge(
            Evidence(
                jobs=[SimpleNamespace(**job | changed["job"])],
                attempts=[
                    SimpleNamespace(**attempt | changed["attempt"]),
                    *(SimpleNamespace(**attempt | more) for more in more_attempts),
                ],
                outputs=[SimpleNamespace(**stored | changed["stored"])],
                batches=[SimpleNamespace(id=1, pause_reason=None)],
                events=[SimpleNamespace(batch_id=1, **event) for event in events],
                moves=moves,
                ledger=[line()] if ledger is None else ledger,
                output=output,
                terms=Terms(**terms | given),
            )
        )

    judged.output, judged.elsewhere = output, elsewhere
    return judged


def broken(found):
    """Return the names of the invariants that are violated."""
    return [finding.name for finding in found.findings if finding.against]


def test_a_night_without_fault_is_clean_and_every_invariant_has_looked_at_something(night):
    found = night(events=[{"kind": "paused", "at": at(20)}, {"kind": "started", "at": at(21)}])
    assert found.clean, str(found)
    assert all(finding.looked_at for finding in found.findings), str(found)


def test_a_row_without_a_job_is_lost(night):
    assert broken(night(keys=["a", "b"])) == ["I1"]


def test_a_job_that_hangs_is_lost(night):
    assert broken(night(changes={"job": {"state": "queued"}})) == ["I2"]


def test_an_attempt_left_open_is_a_loss(night):
    assert broken(night(changes={"attempt": {"phase": "running", "predict_time": None}})) == ["I2"]


SECOND = {"id": 2, "prediction_id": "p2"}


def test_a_second_purchase_that_nobody_noticed_is_the_worst(night):
    assert broken(night(ledger=[line(), line(2)], more_attempts=[SECOND])) == ["I3"]


def test_a_second_purchase_that_was_noticed_counts_as_one_all_the_same(night):
    orphan = SECOND | {"phase": "orphan", "predict_time": None}
    assert broken(night(ledger=[line(), line(2)], more_attempts=[orphan])) == ["D"]


def test_what_failed_there_may_be_bought_again(night):
    again = night(ledger=[line(fate="fail_transient"), line(2)], more_attempts=[SECOND])
    assert again.clean, str(again)


def test_a_second_purchase_while_the_first_was_open_is_found_even_if_the_first_failed(night):
    late = {"attempt": {"finished_at": at(30)}}
    found = night(ledger=[line(fate="fail_transient"), line(2)], more_attempts=[SECOND], changes=late)
    assert broken(found) == ["I7"]


def test_one_that_runs_again_because_it_was_found_late_is_told_and_was_not_open(night):
    told = {"kind": "found late", "detail": "k1: p1", "at": at(25)}
    late = {"attempt": {"finished_at": at(30)}}
    bought = {"ledger": [line(fate="fail_transient"), line(2)], "more_attempts": [SECOND], "changes": late}
    assert night(**bought, events=[told]).clean
    assert broken(night(**bought, events=[told | {"detail": "job 1: p3: running"}])) == ["I7"]


def test_one_that_a_later_attempt_took_for_its_own_was_not_open_meanwhile(night):
    """The first send is accepted so late that it was given up; the third finds it, as the oldest, in its place."""
    taken = {"attempt": {"finished_at": at(50), "intended_at": at(29)}}
    failed = SECOND | {"finished_at": at(25), "intended_at": at(19), "phase": "failed"}
    surplus = {"id": 3, "prediction_id": "p3", "phase": "orphan", "predict_time": None, "intended_at": at(9)}
    bought = [line(), line(2, fate="fail_transient"), line(3)]
    found = night(ledger=bought, more_attempts=[failed, surplus], changes=taken)
    assert broken(found) == ["D"], "the surplus alone"


def test_a_prediction_that_no_row_knows_is_unexpected(night):
    found = night(ledger=[line(), line(2, fate="fail_transient", input={"prompt": "another"})])
    assert broken(found) == ["I4"]


def test_a_file_that_is_not_what_its_row_says_is_wrong(night):
    assert broken(night(changes={"stored": {"sha256": "0" * 64}})) == ["I5"]


def test_a_file_that_is_not_what_the_api_made_is_wrong(night):
    assert broken(night(served=lambda *_: rehearsal.png(64, 64, "red"))) == ["I5"]


def test_a_file_that_is_missing_is_wrong(night):
    (night.output / "a-0.png").unlink()
    assert broken(night()) == ["I5"]


def test_an_output_too_few_is_wrong(night):
    assert broken(night(ledger=[line(input=INPUT | {"num_outputs": 2})])) == ["I5"]


def test_a_file_without_a_row_is_wrong(night):
    (night.output / ".overnight-1.part").write_text("half")
    assert broken(night()) == ["I6"]


def test_a_purchase_while_the_batch_was_paused_is_found(night):
    events = [{"kind": "paused", "at": at(5)}, {"kind": "started", "at": at(20)}]
    more = [line(2, fate="fail_transient", t=BEGAN + 6)]
    found = night(ledger=[line(), *more], more_attempts=[SECOND | {"finished_at": at(7)}], events=events)
    assert broken(found) == ["I8"]


@pytest.mark.parametrize(
    ("error_class", "fate", "attempts", "fine"),
    [
        ("nsfw", "nsfw", 1, True),
        ("interrupted", "fail_transient", 3, True),
        ("interrupted", "fail_transient", 1, False),
        ("unsubmittable", None, 1, False),
        ("model-error", None, 1, False),
    ],
)
def test_a_job_fails_of_its_own_or_not_at_all(error_class, fate, attempts, fine, night):
    failed = {"state": "failed", "error_class": error_class, "attempts": attempts}
    found = night(changes={"job": failed}, ledger=[line(fate=fate)])
    assert broken(found) == ([] if fine else ["I9"])


@pytest.mark.parametrize(("sends", "sold", "fine"), [(5, False, True), (4, False, False), (5, True, False)])
def test_a_job_is_unsubmittable_once_five_sends_have_come_to_nothing(sends, sold, fine, night):
    absent = {"phase": "absent", "prediction_id": None, "predict_time": None, "cost": None}
    found = night(
        changes={"job": {"state": "failed", "error_class": "unsubmittable"}, "attempt": absent},
        more_attempts=[absent | {"id": number} for number in range(2, sends + 1)],
        ledger=[line()] if sold else [],
    )
    assert ("I9" in broken(found)) is not fine


def test_one_whose_input_is_deleted_before_anybody_looks_is_told_by_its_job(night):
    unknown = {"attempt": {"phase": "unconfirmed", "prediction_id": None}}
    failed = {"job": {"state": "failed", "error_class": "unconfirmed"}}
    assert {"I4", "I9"} <= set(broken(night(changes=unknown | failed)))
    assert not {"I4", "I9"} & set(broken(night(changes=unknown | failed, excused={"unconfirmed"})))
    assert "I4" in broken(night(changes=unknown, excused={"unconfirmed"})), "its job does not say so"


def removed(line):
    """Every prediction with this fault was deleted by the API as soon as it ended."""
    return line["fault"] == "removed"


UNCONFIRMED = {
    "job": {"state": "failed", "error_class": "unconfirmed"},
    "attempt": {"phase": "unconfirmed", "prediction_id": None},
}


@pytest.mark.parametrize(("fault", "against"), [("removed", set()), (None, {"I4", "I9"})])
def test_only_what_the_api_has_deleted_is_one_that_nobody_can_tell(fault, against, night):
    found = night(changes=UNCONFIRMED, ledger=[line(fault=fault)], removed=removed, in_doubt=2)
    assert {"I4", "I9"} & set(broken(found)) == against


@pytest.mark.parametrize(("bought_at", "fine"), [(10, True), (12, False)])
def test_one_that_the_api_has_deleted_leaves_only_sends_beside_it_in_doubt(bought_at, fine, night):
    lost = line(2, fault="removed", input={"prompt": "another"}, t=BEGAN + bought_at)
    assert (
        "I9" not in broken(night(changes=UNCONFIRMED, ledger=[lost], removed=removed, in_doubt=2))
    ) is fine


@pytest.mark.parametrize(("known_at", "fine"), [(14, False), (16, True)])
def test_one_deleted_leaves_nobody_in_doubt_once_a_row_knows_it(known_at, fine, night):
    """The job in doubt has failed after fifteen seconds."""
    known, row = line(2, fault="removed", t=BEGAN + 10), SECOND | {"accepted_at": at(known_at)}
    found = night(changes=UNCONFIRMED, ledger=[known], more_attempts=[row], removed=removed, in_doubt=2)
    assert ("I9" not in broken(found)) is fine


@pytest.mark.parametrize(("fault", "fine"), [("removed", True), (None, False)])
def test_only_what_the_api_has_deleted_has_expired(fault, fine, night):
    expired = {"job": {"state": "failed", "error_class": "expired"}}
    found = night(changes=expired, ledger=[line(fault=fault)], removed=removed)
    assert ("I9" not in broken(found)) is fine


@pytest.mark.parametrize(
    "move",
    [
        Move(1, State.SUCCEEDED, State.RUNNING, 1, 1),
        Move(1, State.QUEUED, State.SUBMITTING, 4, 3),
        Move(1, State.RUNNING, State.COLLECTING, 2, 1),
    ],
)
def test_a_move_that_no_arrow_leads_to_or_that_a_stale_writer_made_is_found(move, night):
    assert broken(night(moves=[FIRST, BEGUN, move])) == ["I10"]


@pytest.mark.parametrize("wrong", [{"cost": 0.25}, {"predict_time": 3.0}])
def test_a_cost_that_is_not_the_ledgers_is_found(wrong, night):
    assert broken(night(changes={"attempt": wrong})) == ["I11"]


@pytest.mark.parametrize("words", ["Bearer canary", "Y2FuYXJ5"])
def test_a_token_in_a_file_is_found_however_it_is_written(words, night):
    (night.elsewhere / "night.log").write_text(words)
    assert broken(night()) == ["I12"]


def test_reports_add_up(night):
    both = report.total([night(), night(keys=["a", "b"])])
    assert (both.jobs, both.accepted, len(both.lost)) == (2, 2, 1)
    assert str(both).startswith(
        "jobs 2, attempts 2, accepted 2, lost 1, unexpected 0, duplicated 0, recovered 0\n"
    )
