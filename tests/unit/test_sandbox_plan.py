import time

import pytest

from sandbox import faults
from sandbox.plan import Plan

NOW = 1000.0


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
    plan.switch({"429": 0.5}, NOW)
    assert plan.shares() == {"refuse": 1, "429": 0.5}
    plan.heal()
    assert plan.shares() == {}
    with pytest.raises(ValueError, match="share from 0 to 1"):
        plan.switch({"429": 0.1, "refuse": 2}, NOW)
    assert plan.shares() == {}


def test_a_fault_strikes_in_the_kind_that_was_asked_for_or_in_one_that_is_drawn():
    asked, drawn = Plan(0, {"redirect:loop": 1}), Plan(0, {"redirect": 1})
    assert {asked.kind("redirect", job) for job in range(20)} == {"loop"}
    assert {drawn.kind("redirect", job) for job in range(100)} == set(faults.KINDS["redirect"])
    assert asked.strikes("redirect", 1)
    assert Plan(0, {}).kind("redirect", 1) is None
    assert Plan(0, {"refuse": 1}).kind("refuse", 1) is None


def test_one_seed_is_one_plan_whatever_the_order():
    subjects = [(f"job{job}", attempt) for job in range(40) for attempt in range(3)]

    def planned(seed, asked):
        plan = Plan(seed, dict.fromkeys(faults.MEANINGS, 0.3))
        return {
            (name, *subject): (plan.strikes(name, *subject), plan.kind(name, *subject))
            for subject in asked
            for name in faults.MEANINGS
        }

    assert planned(7, subjects) == planned(7, subjects[::-1])
    assert planned(7, subjects) != planned(8, subjects)


def test_after_its_time_every_fault_is_off_and_can_be_switched_on_again(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    plan = Plan(0, {"refuse": 1, "outage": 0}, heal_at=NOW + 60)
    assert plan.strikes("refuse", "job")
    monkeypatch.setattr(time, "time", lambda: NOW + 60)
    assert not plan.strikes("refuse", "job")
    assert plan.count("outage") is None
    plan.switch({"refuse": 1}, NOW + 61)
    assert plan.strikes("refuse", "job")


def test_an_outage_has_a_count_and_one_kind_for_the_whole_plan():
    assert Plan(0, {"outage:hang": 5}).count("outage") == (5, "hang")
    assert {Plan(seed, {"outage": 5}).count("outage")[1] for seed in range(40)} == set(faults.KINDS["outage"])
