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
    rows = tx.execute(
        sa.select(jobs.c.version, latest.c.accepted_at, latest.c.produced_at)
        .join(latest, latest.c.job_id == jobs.c.id)
        .where(latest.c.produced_at.is_not(None), latest.c.accepted_at.is_not(None))
        .order_by(latest.c.produced_at.desc())
        .limit(_RUNS)
    )
    found: dict[str, list[float]] = defaultdict(list)
    for version, accepted_at, produced_at in rows:
        if len(found[version]) < _FOR_ONE:
            found[version].append(max(0.0, (produced_at - accepted_at).total_seconds()))
    return {version: sorted(runs) for version, runs in found.items()}
