"""A whole night under a plan of blows, in two phases: first everything may break; then all is healed and must converge.

    python -m tests.faults.chaos --seed 7
    python -m tests.faults.chaos --profile servers --seeds 20 --beside 4
    python -m tests.faults.chaos --replay run.json

The plan is written down before the night begins, so that a failed night can be replayed.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from jobs import errors
from tests.faults import distributed, nights, plans, report, stages
from tests.faults.plans import Plan
from tests.faults.report import Finding, Report

_STAGES = {"sqlite": stages.Stage, "servers": distributed.Distributed}
_NOTHING_MOVES = 15.0  # seconds without progress after which the next blow comes anyway
_LOOKS = 0.1  # seconds between two looks; each opens the database anew, which costs more than the night if too often
CONVERGES_WITHIN = 400.0  # seconds after everything was healed; a hang lasts longer
_FINE = {0, 1}  # exit codes of a finished run; some jobs may have failed by their own fault

_stopped = threading.Event()


@dataclass(frozen=True)
class Lived:
    """The result of a night."""

    report: Report
    blows: int  # that were struck before the night was over
    kills: int


def live(plan: Plan, folder: Path) -> Lived:
    """Run a night through both phases, then everything once more; the report has all findings."""
    plan.write(folder / "run.json")
    stage = _STAGES[plan.profile](plan, folder)
    try:
        stage.start()
        struck = _break(stage, plan)
        stage.heal()
        nights.eventually(lambda: _converged(stage), CONVERGES_WITHIN, every=_LOOKS)
        _swept(stage)
        checked = stage.night.check(**stage.terms())
        idle = _changes_nothing(stage)
        findings = (*checked.findings, stage.nothing_is_left(), idle)
    finally:
        stage.close()
    kills = sum(action.what in {"kill", "kill-child"} for action in plan.actions[:struck])
    return Lived(replace(checked, findings=findings), struck, kills)


def _break(stage, plan):
    """Strike blow after blow while there is work left, and at least until half of it is bought; return how many."""
    for number, action in enumerate(plan.actions):
        _goes_on(stage)
        if stage.finished:
            return number
        time.sleep(action.after)
        stage.strike(action)
    for _ in range(plan.jobs):
        if stage.night.bought() >= plan.jobs / 2:
            break
        _goes_on(stage)
    return len(plan.actions)


def _goes_on(stage):
    """Wait until the night has made progress, or for so long that nothing may move."""
    before = stage.progress()
    _while_patient(lambda: _moves(stage, before))


def _moves(stage, before):
    stage.replace()
    return stage.progress() != before


def _while_patient(look):
    deadline = time.monotonic() + _NOTHING_MOVES
    while time.monotonic() < deadline:
        try:
            if look():
                return
        except errors.Unavailable:  # a server was just struck
            pass
        time.sleep(_LOOKS)


def _converged(stage):
    stage.replace()
    return stage.finished


def _swept(stage):
    """Wait for the run to end. What interrupted downloads left behind is swept when a worker, or a run, starts."""
    code = stage.run.wait(timeout=60)
    if code == -signal.SIGKILL:  # the last blow hit it when its jobs had ended
        code = stage.once_more()
    if code not in _FINE:
        raise AssertionError(f"run ended with {code}:\n{stage.night.words()}")


def _changes_nothing(stage):
    """Start everything once more: nothing must be bought, and no row may change."""
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
    """Run one night and print its result; return None if it broke off. A clean night's folder is removed."""
    if _stopped.is_set():
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"overnight-chaos-{plan.profile}-{plan.seed}-"))
    head = f"{plan.profile} seed {plan.seed}: {plan.jobs} jobs, {plan.faulty_sends:.0%} faulty sends"
    began = time.monotonic()
    try:
        lived = live(plan, folder)
    except Exception:  # noqa: BLE001  go on with the next seed
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


def _all(asked: Sequence[Plan], beside: int) -> Sequence[Report]:
    """Run nights, some at a time; return the reports of those that came to their end, at Ctrl-C too."""
    with ProcessPoolExecutor(beside, initializer=_begin_none_after_ctrl_c) as pool:
        begun = [pool.submit(_tell, plan) for plan in asked]
        try:
            wait(begun)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
    ended = (night for night in begun if not night.cancelled() and not night.exception())
    return [report for night in ended if (report := night.result())]


def _begin_none_after_ctrl_c() -> None:
    """Prepare a process of the pool: it ends its night at Ctrl-C, and would take the next one that is queued."""

    def stop(*_: object) -> None:
        _stopped.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)


def main() -> int:
    """Run the nights that are asked for, and add them up; return 1 if any of them was not clean."""
    given = _parser().parse_args()
    asked = _plans(given)
    lived = _all(asked, given.beside)
    if lived:
        _say(f"\n{len(lived)} of {len(asked)} nights came to their end\n{report.total(lived)}")
    return int(len(lived) < len(asked) or not all(one.clean for one in lived))


if __name__ == "__main__":
    sys.exit(main())
