"""What must hold after a simulated night: the checker's own invariants, and those that only a simulator can see."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from jobs.failures import FailureClass
from jobs.states import FINAL, Phase, State
from tests.faults import course, evidence, money, simulated_ledger, simulated_wire
from tests.faults.evidence import FAILED_THERE, Evidence, Terms
from tests.faults.report import Finding, Report
from tests.faults.simulated_ledger import Line
from tests.faults.simulated_plan import Plan

PRICE = 0.01
MOST_ATTEMPTS = 3
_SAME = 1e-3  # seconds


def judge(night: Any, seen_on_the_way: Sequence[str], changed: Sequence[str]) -> Report:
    """Check every invariant on a night that has ended."""
    plan: Plan = night.plan
    lines = {line.id: line for line in night.api.lines.values()}
    ledger = [asdict(line) | {"run": line.run, "t": night.host_time(line.sent_at)} for line in lines.values()]
    terms = Terms(
        keys=night.keys, price=PRICE, most_attempts=MOST_ATTEMPTS, excused=frozenset(_excused(plan))
    )
    seen = evidence.read(night.database, ledger, Path(), terms)
    findings = [
        money.one_job_per_row(seen),
        money.nothing_hangs(seen),
        _all_final(seen),
        _bought_once(seen, lines, plan),
        _every_purchase_known(seen, plan),
        _files(seen, night.disk),
        _expired_are_expired(seen),
        course.fails_of_its_own(seen),
        course.moves_are_legal(seen),
        _cost_is_the_ledgers(seen, lines),
        Finding("S1", "nothing breaks, and phase and state agree at every moment", 1, tuple(seen_on_the_way)),
        Finding("I14", "starting everything once more changes nothing", 1, tuple(changed)),
    ]
    # If the clock was set, rows do not show what came first; without a list, not what became of an unknown id.
    if plan.can_list and not plan.steps:
        findings.append(money.one_at_a_time(seen))
    return Report(
        jobs=len(seen.jobs),
        attempts=len(seen.attempts),
        accepted=len(ledger),
        recovered=sum(lines[id_].fault != "" for id_ in seen.known if id_ in lines),
        findings=tuple(findings),
    )


def _excused(plan: Plan) -> Iterator[str]:
    """Yield the failure classes that the plan explains; `_expired_are_expired` checks the first more closely."""
    yield FailureClass.EXPIRED
    if not plan.can_list or plan.steps:
        yield FailureClass.UNCONFIRMED


def _all_final(seen: Evidence) -> Finding:
    left = tuple(f"{row.key}: {row.state}" for row in seen.jobs if State(row.state) not in FINAL)
    return Finding("S2", "every job has ended within the bound", len(seen.jobs), left)


def _bought_once(seen: Evidence, lines: Mapping[str, Line], plan: Plan) -> Finding:
    """A second purchase must be one that no protocol could have avoided, and a row must record it."""
    against = []
    for job, bought in seen.purchases.items():
        mine = sorted((lines[str(one["id"])] for one in bought), key=lambda line: line.sent_at)
        for place, later in enumerate(mine):
            rivals = [line for line in mine[:place] if not _over(line, later.sent_at)]
            if not rivals:
                continue
            if not _excuses([*rivals, later], plan):
                against.append(f"{seen.name[job]}: {later.id} beside {[line.id for line in rivals]}")
            elif not _recorded(seen, job, [*rivals, later]):
                against.append(f"{seen.name[job]}: {later.id} beside {rivals[0].id}, and nobody was told")
    return Finding("I3", "nothing is bought twice but what nobody could know", len(lines), tuple(against))


def _every_purchase_known(seen: Evidence, plan: Plan) -> Finding:
    """Without a list nobody can learn the id in a lost answer; then the job's rows must say that it may be paid."""
    found = money.every_purchase_known(seen)
    if plan.can_list:
        return found
    told = {row.job_id for row in seen.attempts if row.possibly_paid}
    job_of = {str(line["id"]): job for job, lines in seen.purchases.items() for line in lines}
    return replace(found, against=tuple(id_ for id_ in found.against if job_of.get(id_) not in told))


def _over(line: Line, moment: float) -> bool:
    """Whether a prediction had ended without an image, so that another could rightly be bought."""
    return line.fate in FAILED_THERE and line.ends_at <= moment


def _excuses(lines: Sequence[Line], plan: Plan) -> bool:
    return plan.steps_forward or not plan.can_list or any(line.unprovable for line in lines)


def _recorded(seen: Evidence, job: int, lines: Sequence[Line]) -> bool:
    ids = {line.id for line in lines}
    return not ids.isdisjoint(seen.found_late) or any(
        row.job_id == job and (row.possibly_paid or (row.phase == Phase.ORPHAN and row.prediction_id in ids))
        for row in seen.attempts
    )


def _cost_is_the_ledgers(seen: Evidence, lines: Mapping[str, Line]) -> Finding:
    """Each attempt with a run time is charged, for as long as the ledger says that it ran."""
    ended = [row for row in seen.attempts if row.predict_time is not None]
    against = [
        f"{row.prediction_id}: {row.predict_time} s for {row.cost}"
        for row in ended
        if abs(row.predict_time - lines[row.prediction_id].run) > _SAME or row.cost != PRICE
    ]
    return Finding("I11", "time and cost are those of the ledger", len(ended), tuple(against))


def _files(seen: Evidence, disk: simulated_wire.Disk) -> Finding:
    """Each success has on disk the picture that the API made for it, and there is no other file."""
    rows = defaultdict(list)
    for row in seen.outputs:
        rows[row.attempt_id].append(row)
    bought = {row.id: row.prediction_id for row in seen.attempts}
    against = []
    for job in seen.jobs:
        if job.state != State.SUCCEEDED:
            continue
        if not rows[job.attempt_id]:
            against.append(f"{job.key}: succeeded without a file")
        for row in rows[job.attempt_id]:
            made = simulated_ledger.content(simulated_ledger.address(bought[row.attempt_id]))
            digest = hashlib.sha256(made).hexdigest()
            if not disk.files.get(row.path) == digest == row.sha256:
                against.append(f"{job.key}: {row.path} is not what its row says")
    strange = sorted(set(disk.files) - {row.path for row in seen.outputs})
    return Finding(
        "I5", "every success has its file, and every file its row", len(seen.jobs), (*against, *strange)
    )


def _expired_are_expired(seen: Evidence) -> Finding:
    expired = [row for row in seen.jobs if row.error_class == FailureClass.EXPIRED]
    against = [
        row.key
        for row in expired
        if not any(line["fate"] == "expired" for line in seen.purchases.get(row.id, ()))
    ]
    return Finding("S3", "what is called expired was deleted by the API", len(expired), tuple(against))
