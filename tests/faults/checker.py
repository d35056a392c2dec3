"""One checker over database, ledger and files: what must hold after any night, whatever happened in it.

Twelve of the fourteen invariants can be read from what a night leaves behind. The other two are checked where the
processes are: I13, nothing of them is left, and I14, the same commands once more change nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.database import Database
from jobs.states import State
from tests.faults import course, disk, evidence, money
from tests.faults.evidence import Evidence, Terms
from tests.faults.report import Report


def check(
    db: Database, ledger: Sequence[Mapping[str, Any]], output: Path, terms: Terms | None = None
) -> Report:
    """Compare what the database says with what the API billed and what lies on disk."""
    return judge(evidence.read(db, ledger, output, terms or Terms()))


def judge(seen: Evidence) -> Report:
    """Check every invariant on what a night left behind."""
    return Report(
        jobs=len(seen.jobs),
        attempts=len(seen.attempts),
        accepted=len(seen.ledger),
        recovered=_recovered(seen),
        findings=(
            money.one_job_per_row(seen),
            money.nothing_hangs(seen),
            *money.bought_once(seen),
            money.every_purchase_known(seen),
            disk.files_are_the_apis(seen),
            disk.no_other_files(seen),
            money.one_at_a_time(seen),
            money.stops_hold(seen),
            course.fails_of_its_own(seen),
            course.moves_are_legal(seen),
            money.cost_is_the_ledgers(seen),
            disk.no_secret_anywhere(seen),
        ),
    )


def _recovered(seen: Evidence) -> int:
    """Count the jobs with a purchase whose answer was lost or spoilt, but that is known all the same."""
    moves = {move.job for move in seen.moves if (move.source, move.target) == _ADOPTED}
    spoilt = {row.job_id for id_, row in seen.known.items() if seen.lines.get(id_, {}).get("fault")}
    return len(moves | spoilt)


_ADOPTED = (State.UNCONFIRMED, State.RUNNING)
