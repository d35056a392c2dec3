"""A whole night under a plan of blows, in two phases: everything may break; all is healed, and it must converge.

    python -m tests.faults.chaos --seed 7
    python -m tests.faults.chaos --profile servers --seeds 20 --beside 4
    python -m tests.faults.chaos --replay run.json

The plan is written down before the night begins, so that whatever happens in it can be made to happen again.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from jobs import errors
from tests.faults import distributed, nights, plans, report, stages
from tests.faults.plans import Plan
from tests.faults.report import Finding, Report

_STAGES = {"sqlite": stages.Stage, "servers": distributed.Distributed}
_NOTHING_MOVES = 15.0  # seconds after which the next blow comes all the same
CONVERGES_WITHIN = 400.0  # seconds from the moment when nothing is broken any more; a hang lasts longer
_FINE = {0, 1}  # exit codes of a run that came to its end; some jobs may have failed of their own


@dataclass(frozen=True)
class Lived:
    """What came of a night."""

    report: Report
    blows: int  # that the night was still long enough for
    kills: int


def live(plan: Plan, folder: Path) -> Lived:
    """Live a night through both phases and once more; whatever may be found out about it is in the report."""
    plan.write(folder / "run.json")
    stage = _STAGES[plan.profile](plan, folder)
    try:
        stage.start()
        struck = _break(stage, plan)
        stage.heal()
        nights.eventually(lambda: _converged(stage), CONVERGES_WITHIN)
        _swept(stage)
        checked = stage.night.check(**stage.terms())
        idle = _changes_nothing(stage)
        findings = (*checked.findings, stage.nothing_is_left(), idle)
    finally:
        stage.close()
    kills = sum(action.what in {"kill", "kill-child"} for action in plan.actions[:struck])
    return Lived(replace(checked, findings=findings), struck, kills)


def _break(stage, plan):
    """Strike blow after blow for as long as there is something to do; return how many."""
    for number, action in enumerate(plan.actions):
        before = stage.progress()
        _while_patient(lambda before=before: _moves(stage, before))
        if stage.finished:
            return number
        time.sleep(action.after)
        stage.strike(action)
    return len(plan.actions)


def _moves(stage, before):
    stage.replace()
    return stage.progress() != before


def _while_patient(look):
    deadline = time.monotonic() + _NOTHING_MOVES
    while time.monotonic() < deadline:
        try:
            if look():
                return
        except errors.Unavailable:  # a server that has just been struck
            pass
        time.sleep(0.02)


def _converged(stage):
    stage.replace()
    return stage.finished


def _swept(stage):
    """What downloads that were cut off left behind goes when a worker, or a run, is started."""
    if stage.run.wait(timeout=60) not in _FINE:
        raise AssertionError(f"run ended with {stage.run.returncode}:\n{stage.night.words()}")


def _changes_nothing(stage):
    """Start everything once more: nothing is bought, and no row changes."""
    before, bought = stage.rows(), stage.night.bought()
    code = stage.once_more()
    against = [] if code in _FINE else [f"it ended with {code}: {stage.night.words()[-300:]}"]
    if stage.night.bought() != bought:
        against.append(f"{stage.night.bought() - bought} more were bought")
    against += [
        f"{name} differ"
        for name, old, new in zip(("jobs", "attempts", "outputs"), before, stage.rows(), strict=True)
        if old != new
    ]
    return Finding("I14", "everything once more changes nothing", sum(map(len, before)), tuple(against))


def _tell(plan: Plan) -> Report | None:
    """Live one night aloud; return None if it did not come to its end. The folder of a clean one goes."""
    folder = Path(tempfile.mkdtemp(prefix=f"overnight-chaos-{plan.profile}-{plan.seed}-"))
    head = f"{plan.profile} seed {plan.seed}: {plan.jobs} jobs, {plan.faulty_sends:.0%} faulty sends"
    began = time.monotonic()
    try:
        lived = live(plan, folder)
    except Exception:  # noqa: BLE001  the next seed may tell more
        _say(f"{head}: broke; plan {folder / 'run.json'}\n{traceback.format_exc()}")
        return None
    took = time.monotonic() - began
    verdict = "clean" if lived.report.clean else f"NOT CLEAN; plan {folder / 'run.json'}"
    _say(f"{head}, {lived.blows} blows, {lived.kills} of them kills, {took:.0f} s: {verdict}")
    if lived.report.clean:
        shutil.rmtree(folder)
    else:
        _say(str(lived.report))
    return lived.report


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def _plans(given: argparse.Namespace) -> Sequence[Plan]:
    if given.replay:
        return [Plan.read(given.replay)]
    seeds = [given.seed] if given.seed is not None else random.sample(range(10**6), given.seeds)
    profiles = [given.profile] if given.profile else plans.PROFILES
    return [plans.draw(seed, profile, given.jobs) for seed in seeds for profile in profiles]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description="Nights under a seeded plan of blows.")
    parser.add_argument("--seed", type=int, help="one seed; without it, some are drawn")
    parser.add_argument("--seeds", type=int, default=1, help="how many to draw, for each profile")
    parser.add_argument(
        "--beside", type=int, default=1, metavar="N", help="nights at the same time; most wait"
    )
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--profile", choices=plans.PROFILES, help="default: both")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a run.json")
    return parser


def main() -> int:
    """Live the nights that are asked for, and add them up; return 1 if any of them was not clean."""
    # The database's library keeps a lock there, and warns where it is not set.
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="overnight-"))
    given = _parser().parse_args()
    asked = _plans(given)
    with ProcessPoolExecutor(given.beside) as pool:
        reports = list(pool.map(_tell, asked))
    lived = [one for one in reports if one is not None]
    if lived:
        _say(f"\n{len(lived)} of {len(asked)} nights came to their end\n{report.total(lived)}")
    return int(len(lived) < len(asked) or not all(one.clean for one in lived))


if __name__ == "__main__":
    sys.exit(main())
