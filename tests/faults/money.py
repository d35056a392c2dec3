"""Check that every job is bought once and every purchase is known: I1 to I4, I7, I8 and I11, from rows and ledger."""

import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from jobs.events import EventKind
from jobs.failures import FailureClass
from jobs.states import FINAL, OPEN_PHASES, Phase, State
from sandbox import predictions
from tests.faults import evidence
from tests.faults.evidence import Evidence, Line
from tests.faults.report import Finding

_SAME_SECONDS = 1e-3


def one_job_per_row(seen: Evidence) -> Finding:
    keys = [row.key for row in seen.jobs]
    missing = sorted(set(seen.terms.keys) - set(keys)) if seen.terms.keys else []
    strange = sorted(set(keys) - set(seen.terms.keys)) if seen.terms.keys else []
    against = [f"{key}: no job" for key in missing] + [f"{key}: in no manifest" for key in strange]
    return Finding("I1", "every row of the manifest has one job", len(seen.terms.keys), tuple(against))


def nothing_hangs(seen: Evidence) -> Finding:
    """A job that is not final must belong to a batch that says why."""
    held = {row.id for row in seen.batches if row.pause_reason}
    hanging = [
        f"{row.key}: {row.state}"
        for row in seen.jobs
        if State(row.state) not in FINAL and not (row.batch_id in held and row.state == State.PENDING)
    ]
    left_open = [f"attempt {row.id}: {row.phase}" for row in seen.attempts if Phase(row.phase) in OPEN_PHASES]
    return Finding("I2", "every job has come to its end", len(seen.jobs), tuple(hanging + left_open))


def bought_once(seen: Evidence) -> Sequence[Finding]:
    """Each job has one prediction that did not fail at the API; a surplus is at least known as an orphan."""
    orphans = [row.job_id for row in seen.attempts if row.phase == Phase.ORPHAN]
    noticed, silent = [], []
    for job, lines in seen.purchases.items():
        surplus = sum(line["fate"] not in evidence.FAILED_THERE for line in lines) - 1
        if surplus > 0:
            words = f"{seen.name[job]}: bought {surplus + 1} times"
            (noticed if orphans.count(job) >= surplus else silent).append(words)
    return (
        Finding("I3", "nothing is bought twice without a word", len(seen.ledger), tuple(silent)),
        Finding("D", "nothing is bought twice", len(seen.ledger), tuple(noticed)),
    )


def every_purchase_known(seen: Evidence) -> Finding:
    """But for one whose input the API has deleted before anybody looked: its job says that nobody can tell."""
    in_doubt = [row.id for row in seen.jobs if row.error_class == FailureClass.UNCONFIRMED]
    every = FailureClass.UNCONFIRMED in seen.terms.excused
    told = {
        line["id"]
        for job in in_doubt
        for line in seen.purchases.get(job, ())
        if every or seen.terms.removed(line)
    }
    strange = [str(line["id"]) for line in seen.ledger if line["id"] not in seen.known.keys() | told]
    return Finding("I4", "every prediction at the API is in a row", len(seen.ledger), tuple(strange))


def one_at_a_time(seen: Evidence) -> Finding:
    """Before a job is bought again, its row must say that the first attempt has ended.

    It did of one that was found late; where that is adopted, it runs again.
    """
    against = []
    for job, lines in seen.purchases.items():
        regular = [line for line in lines if line["id"] not in seen.found_late]
        for first, second in itertools.pairwise(regular):
            ended = seen.known[first["id"]].finished_at if first["id"] in seen.known else None
            if ended is None or ended.timestamp() > second["t"]:
                against.append(f"{seen.name[job]}: {second['id']} while {first['id']} was open")
    return Finding("I7", "nothing is bought while an attempt is open", len(seen.ledger), tuple(against))


def stops_hold(seen: Evidence) -> Finding:
    """While a batch or the account is stopped, only sends that were under way leave, and probes."""
    claim = "nothing is bought while that is stopped, beyond what left"
    if seen.terms.slots is None:
        return Finding("I8", claim, 0)
    batch_of = {row.id: row.batch_id for row in seen.jobs}
    bought = [(batch_of[job], line["t"]) for job, lines in seen.purchases.items() for line in lines]
    against, stops = [], list(_stops(seen.events))
    for kind, batch, begin, end in stops:
        count = sum(begin < t < end for of, t in bought if batch in {None, of})
        allowed = seen.terms.slots + seen.terms.probes_in(end - begin)
        if count > allowed:
            against.append(f"{count} were bought in {end - begin:.1f} s of {kind}; {allowed} are allowed")
    return Finding("I8", claim, len(stops), tuple(against))


def _stops(events: Sequence[Any]) -> Iterator[tuple[str, int | None, float, float]]:
    """Yield (kind, batch or None for all, begin, end) of every pause and outage."""
    begins = {EventKind.PAUSED, EventKind.OUTAGE}
    ends = {EventKind.STARTED, EventKind.RECOVERED}
    for place, event in enumerate(events):
        if event.kind in begins:
            later = (e for e in events[place:] if e.kind in ends and e.batch_id == event.batch_id)
            yield event.kind, event.batch_id, _seconds(event.at), _seconds(next(later, None))


def _seconds(event: Any) -> float:
    if event is None:
        return math.inf
    moment: datetime = event if isinstance(event, datetime) else event.at
    return moment.timestamp()


def cost_is_the_ledgers(seen: Evidence) -> Finding:
    """Each attempt that succeeded or failed is charged, for as long as the ledger says that it ran."""
    against, looked_at = [], 0
    for line in seen.ledger:
        row = seen.known.get(line["id"])
        if row is None or row.phase not in {Phase.SUCCEEDED, Phase.FAILED} or row.predict_time is None:
            continue
        looked_at += 1
        if abs(row.predict_time - (ran := _ran(line))) > _SAME_SECONDS:
            against.append(f"{line['id']}: ran {ran:.3f} s, {row.predict_time:.3f} s are written down")
        if row.cost != seen.terms.price:
            against.append(f"{line['id']}: cost {row.cost}, not {seen.terms.price}")
    return Finding("I11", "time and cost are those of the ledger", looked_at, tuple(against))


def _ran(line: Line) -> float:
    """Return how many seconds a prediction that nobody cancelled ran in all."""
    end = predictions.stage(predictions.Prediction(**line), math.inf)
    return (end.completed_at or math.nan) - (end.started_at or math.nan)
