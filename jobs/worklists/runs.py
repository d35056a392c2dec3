"""How long did the predictions of each version run of late? The attempts know, so that a restart forgets nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from jobs.tables import attempts, jobs

_LATEST = 3000  # attempts that are looked through, of all versions together: those in flight tell nothing yet
_RUNS = 500  # of those
_FOR_ONE = 100  # that speak for a version


def lately(tx: sa.Connection, account_id: int) -> Mapping[str, Sequence[float]]:
    """Return for each version the seconds from acceptance to end of its latest runs, the shortest first."""
    latest = (
        sa.select(attempts.c.job_id, attempts.c.accepted_at, attempts.c.produced_at)
        .where(attempts.c.account_id == account_id)
        .order_by(attempts.c.intended_at.desc())
        .limit(_LATEST)
        .subquery()
    )
    ended = tx.execute(
        sa.select(latest)
        .where(latest.c.produced_at.is_not(None), latest.c.accepted_at.is_not(None))
        .order_by(latest.c.produced_at.desc())
        .limit(_RUNS)
    ).all()
    # Not a join: PostgreSQL may walk the whole of an index of the jobs to merge these few with it.
    wanted = sa.select(jobs.c.id, jobs.c.version).where(jobs.c.id.in_([run.job_id for run in ended]))
    versions = {row.id: row.version for row in tx.execute(wanted)}
    found: dict[str, list[float]] = defaultdict(list)
    for run in ended:
        runs = found[versions[run.job_id]]
        if len(runs) < _FOR_ONE:
            runs.append(max(0.0, (run.produced_at - run.accepted_at).total_seconds()))
    return {version: sorted(runs) for version, runs in found.items()}
