"""The comparison's arithmetic on a drawn ledger: who is lost, stranded, paid twice, expired, and what was possible."""

import pytest

from benchmarks import verdict

WANTED = {"a": "hills", "b": "lakes", "c": "woods", "d": "towns"}


def line(prompt, t=0.0, fate=None, run=2.0):
    return {"input": {"prompt": prompt}, "t": t, "queue": 0.0, "run": run, "fate": fate}


def sold(*runs):
    return [line(f"picture {number}", run=run) for number, run in enumerate(runs)]


def test_of_a_program_that_ended_every_job_without_an_image_is_lost():
    found = verdict.judge(WANTED, [line("hills")], {"a"}, failed={"b"})
    assert (found.lost, found.stranded) == (3, 0)


def test_of_a_program_that_was_killed_what_it_never_reported_is_stranded():
    found = verdict.judge(WANTED, [line("hills")], {"a"}, failed={"b"}, cut=True)
    assert (found.lost, found.stranded) == (1, 2)


def test_every_prediction_beyond_one_a_job_is_paid_twice_unless_the_api_failed_it():
    ledger = [line("hills"), line("hills"), line("hills"), line("lakes", fate="oom"), line("lakes")]
    assert verdict.judge(WANTED, ledger, WANTED).paid_twice == 2


def test_a_job_whose_prediction_is_wiped_has_expired_if_it_has_no_image():
    ledger = [line("hills"), line("lakes"), line("woods", t=9.0), line("towns", fate="nsfw")]
    found = verdict.judge(WANTED, ledger, {"a"}, gone_before=5.0)
    assert (found.lost, found.expired) == (3, 1)


@pytest.mark.parametrize(
    ("grant", "away", "seconds"),
    [
        (verdict.Grant(), (0, 0), 3),
        (verdict.Grant(in_flight=1), (0, 0), 6),
        (verdict.Grant(in_flight=2), (0, 0), 4),  # the third begins when the first has ended
        (verdict.Grant(per_minute=10), (0, 0), 15),  # one at once, then one in six seconds
        (verdict.Grant(per_minute=20), (0, 0), 6),  # two at once, the third three seconds later
        (verdict.Grant(in_flight=2, download=5), (0, 0), 9),
        (verdict.Grant(in_flight=2), (0.5, 10), 13),  # nothing is sold from half a second to ten
    ],
)
def test_the_ideal_waits_for_quota_cap_and_refusals_alone(grant, away, seconds):
    assert verdict.ideal(sold(1, 2, 3), grant, away) == pytest.approx(seconds)


def test_the_ideal_takes_of_each_job_the_first_prediction_that_did_not_fail():
    ledger = [line("hills", run=9, fate="oom"), line("hills", run=3), line("hills", run=50)]
    assert verdict.ideal(ledger, verdict.Grant()) == 3
