"""How long did the predictions of each version run of late? The attempts know, so that a restart forgets nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from jobs.tables import attempts, jobs

_LATEST = 3000  # attempts that are looked through, of all versions together: those in flight tell nothing yet
_RUNS = 500  # of those
_FOR_ONE = 100  # that speak for a version


_LATELY = (
    sa.select(attempts.c.job_id, attempts.c.accepted_at, attempts.c.produced_at)
    .where(attempts.c.account_id == sa.bindparam("account"))
    .order_by(attempts.c.intended_at.desc())
    .limit(_LATEST)
    .subquery()
)
_ENDED = (
    sa.select(_LATELY)
    .where(_LATELY.c.produced_at.is_not(None), _LATELY.c.accepted_at.is_not(None))
    .order_by(_LATELY.c.produced_at.desc())
    .limit(_RUNS)
)
# Not a join: PostgreSQL may walk the whole of an index of the jobs to merge these few with it.
_VERSIONS = sa.select(jobs.c.id, jobs.c.version).where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)))


def lately(tx: sa.Connection, account_id: int) -> Mapping[str, Sequence[float]]:
    """Return for each version the seconds from acceptance to end of its latest runs, the shortest first."""
    ended = tx.execute(_ENDED, {"account": account_id}).all()
    rows = tx.execute(_VERSIONS, {"ids": [run.job_id for run in ended]})
    versions = {row.id: row.version for row in rows}
    found: dict[str, list[float]] = defaultdict(list)
    for run in ended:
        runs = found[versions[run.job_id]]
        if len(runs) < _FOR_ONE:
            runs.append(max(0.0, (run.produced_at - run.accepted_at).total_seconds()))
    return {version: sorted(runs) for version, runs in found.items()}
