import pytest

from sandbox import faults
from sandbox.faults import Plan
from sandbox.options import Options


def struck(plan, name, jobs=2000, attempt=0):
    return {job for job in range(jobs) if plan.strikes(name, str(job), attempt)}


def test_a_share_strikes_about_that_share_of_the_jobs():
    assert 60 <= len(struck(Plan(0, {"refuse": 0.05}), "refuse")) <= 140


def test_a_share_of_one_strikes_all_and_none_strikes_none():
    assert len(struck(Plan(0, {"refuse": 1}), "refuse", 50)) == 50
    assert struck(Plan(0, {}), "refuse", 50) == set()


def test_draws_are_the_same_for_the_same_seed_and_others_for_another_seed_name_or_attempt():
    plan = Plan(1, {"refuse": 0.2, "429": 0.2})
    first = struck(plan, "refuse")
    assert struck(Plan(1, {"refuse": 0.2}), "refuse") == first
    assert struck(Plan(2, {"refuse": 0.2}), "refuse") != first
    assert struck(plan, "429") != first
    assert struck(plan, "refuse", attempt=1) != first


def test_a_larger_share_strikes_all_that_a_smaller_one_does():
    assert struck(Plan(0, {"refuse": 0.1}), "refuse") < struck(Plan(0, {"refuse": 0.3}), "refuse")


def test_the_first_fault_of_a_group_wins():
    assert Plan(0, {"no_id": 1, "exec_and_drop": 1}).first(faults.AFTER, "job", 0) == "exec_and_drop"


def test_what_is_the_inputs_own_fault_strikes_every_attempt_alike():
    plan = Plan(0, {"nsfw": 0.5})
    for job in range(50):
        assert len({plan.fate(str(job), attempt) for attempt in range(5)}) == 1


def test_what_may_pass_does_pass_at_some_later_attempt():
    plan = Plan(0, {"fail_transient": 0.5})
    assert {plan.fate("job", attempt) for attempt in range(20)} == {None, "fail_transient"}


def test_a_counted_fault_holds_from_its_count_on():
    plan = Plan(0, {"402_after": 3})
    assert [plan.reached("402_after", accepted) for accepted in (2, 3, 4)] == [False, True, True]


def test_healing_switches_all_off_and_switching_sets_some():
    plan = Plan(0, {"refuse": 1})
    plan.switch({"429": 0.5})
    assert plan.shares() == {"refuse": 1, "429": 0.5}
    plan.heal()
    assert plan.shares() == {}
    with pytest.raises(ValueError, match="share from 0 to 1"):
        plan.switch({"429": 0.1, "refuse": 2})
    assert plan.shares() == {}


def test_a_fault_is_parsed_from_what_a_person_types():
    assert Options.parse_fault("exec_and_drop=0.05") == ("exec_and_drop", 0.05)
    assert Options.parse_fault("402_after=1000") == ("402_after", 1000)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("exec_and_drpo=0.05", r"fault 'exec_and_drpo' is not known; the faults are .*exec_and_drop"),
        ("exec_and_drop", "not of the form NAME=SHARE"),
        ("exec_and_drop=lots", "not of the form NAME=SHARE"),
        ("exec_and_drop=5", "takes a share from 0 to 1, not 5"),
        ("exec_and_drop=-0.1", "takes a share from 0 to 1, not -0.1"),
        ("exec_and_drop=nan", "not of the form NAME=SHARE"),
        ("402_after=0.5", "takes a whole number"),
        ("402_after=inf", "takes a whole number"),
    ],
)
def test_a_fault_that_makes_no_sense_is_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Options.parse_fault(text)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("port", 70000),
        ("latency", -1),
        ("latency", float("nan")),
        ("creates_per_minute", -5),
        ("lifetime", 0),
        ("output_size", 32),
        ("faults", {"gremlins": 1}),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(tmp_path, option, value):
    with pytest.raises(ValueError, match=r"\.$"):
        Options(state=tmp_path, **{option: value})
