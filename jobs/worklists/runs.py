"""How long each version's predictions ran lately. Read from the attempts, so a restart forgets nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from jobs.tables import attempts, jobs

_LATEST = 3000  # attempts searched, of all versions together; those in flight have no run time yet
_RUNS = 500  # ended runs taken from them
_FOR_ONE = 100  # runs kept for each version


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
# Not a join: PostgreSQL might scan a whole index of `jobs` to merge these few rows with it.
_VERSIONS = sa.select(jobs.c.id, jobs.c.version).where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)))


def lately(tx: sa.Connection, account_id: int) -> Mapping[str, Sequence[float]]:
    """Return, by version, the seconds from acceptance to end of its latest runs, shortest first."""
    ended = tx.execute(_ENDED, {"account": account_id}).all()
    rows = tx.execute(_VERSIONS, {"ids": [run.job_id for run in ended]})
    versions = {row.id: row.version for row in rows}
    found: dict[str, list[float]] = defaultdict(list)
    for run in ended:
        runs = found[versions[run.job_id]]
        if len(runs) < _FOR_ONE:
            runs.append(max(0.0, (run.produced_at - run.accepted_at).total_seconds()))
    return {version: sorted(runs) for version, runs in found.items()}
