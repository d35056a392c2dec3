"""Whole nights under seeded plans of blows, on one machine and on servers: lost 0, paid twice 0, wrong files 0."""

import dataclasses
import json

import pytest
import sqlalchemy as sa

from jobs import tables
from tests.faults import chaos, distributed, plans, stages

_EVERY_TIME = [("sqlite", 1), ("servers", 1)]
_IN_FULL = [("sqlite", 2), ("sqlite", 3), ("sqlite", 4), ("sqlite", 5), ("sqlite", 6), ("servers", 2)]
_NIGHTS = [*_EVERY_TIME, *(pytest.param(*night, marks=pytest.mark.long) for night in _IN_FULL)]
_KILLS = {"sqlite": 15, "servers": 4}


@pytest.mark.usefixtures("postgres_server")  # that fixture imports the library as it must be
@pytest.mark.parametrize(("profile", "seed"), _NIGHTS)
def test_a_night_of_blows_loses_nothing_and_pays_nothing_twice(profile, seed, tmp_path):
    plan = plans.draw(seed, profile)
    assert 0.14 < plan.faulty_sends < 0.31

    lived = chaos.live(plan, tmp_path)

    again = f"python -m tests.faults.chaos --replay {tmp_path / 'run.json'}"
    assert lived.report.clean, f"{again}\n{lived.report}"
    assert lived.report.jobs == plan.jobs
    # How many faults a night meets depends on timing; that it meets some does not.
    assert lived.report.attempts > plan.jobs * 1.05, "the faults were on"
    assert lived.report.recovered >= 3, "some sends were in doubt"
    assert lived.kills >= _KILLS[profile], f"only {lived.blows} of {len(plan.actions)} blows"


def test_a_seed_is_a_plan_and_a_plan_survives_being_written_down(tmp_path):
    plan = plans.draw(7, "servers")
    plan.write(tmp_path / "run.json")

    assert plans.Plan.read(tmp_path / "run.json") == plan == plans.draw(7, "servers")
    assert plan.actions != plans.draw(8, "servers").actions


@pytest.mark.parametrize("stage", [stages.Stage, distributed.Distributed])
@pytest.mark.usefixtures("postgres_server")  # that fixture imports the library as it must be
def test_a_plan_that_is_replayed_asks_the_api_for_the_same(stage, tmp_path):
    assert asked_for(stage, tmp_path / "first") == asked_for(stage, tmp_path / "again")


def asked_for(stage, folder):
    """Return the inputs of a night's jobs, by which the API draws what befalls them."""
    folder.mkdir()
    stage = stage(plans.draw(7, "sqlite", jobs=20), folder)
    try:
        assert stage.night.run("load", str(stage.night.manifest)) == 0, stage.night.words()
        with stage.night.database() as db, db.read() as tx:
            return tx.execute(sa.select(tables.jobs.c.key, tables.jobs.c.input).order_by("key")).all()
    finally:
        stage.close()


def test_a_plan_that_was_written_before_creates_could_be_slow_is_read_as_it_was_meant(tmp_path):
    plan = plans.draw(7, "sqlite")
    plain = dataclasses.asdict(plan)
    del plain["create_seconds"]
    (tmp_path / "run.json").write_text(json.dumps(plain))

    assert plans.Plan.read(tmp_path / "run.json") == dataclasses.replace(plan, create_seconds=0.0)


def test_every_fault_and_every_blow_on_the_api_comes_in_some_night():
    nights = [plans.draw(seed, "sqlite") for seed in range(40)]
    assert any(plan.create_seconds for plan in nights)
    assert not all(plan.create_seconds for plan in nights)
    drawn = {fault.partition(":")[0] for plan in nights for fault in plan.faults}
    assert drawn > {"gone_403", "inline", "early_output", "other_version", "undated", "unknown_end", "stale"}
    blows = {action.what for plan in nights for action in plan.actions}
    assert blows > {"402", "429", "low_credit"}
