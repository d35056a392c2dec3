"""Claims predictions in the list that no attempt records, if they are ours: adopted late, or orphans to cancel.

Only those with a seed of our making are claimed; others may belong to another client of the same account.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from jobs import accounts, database, lifecycle, marker, worklists
from jobs.lifecycle import Accepted, Stray
from worker import context
from worker.api.replies import Prediction
from worker.lookup import matching

log = structlog.get_logger(__name__)


def claim(
    here: context.Context,
    tx: sa.Connection,
    now: datetime,
    strange: Sequence[Prediction],
    digests: Mapping[str, str],
    since: datetime,
    ahead: timedelta,
) -> tuple[list[datetime], list[Prediction]]:
    """Assign strange predictions to the settled attempts they stem from; return those that stem from none.

    ``digests`` are those of their inputs, by prediction id; computed beforehand so that no writer has to wait. Our
    clock is ``ahead`` of the API's. Return first when those were made, by ours, that no attempt remembered.
    """
    if not strange:
        return [], []
    first_look = timedelta(seconds=here.times.poll_first)
    traces = worklists.traces(tx, here.account.id, {digests[p.id] for p in strange}, since)
    explained = matching.explain(sorted(strange, key=matching.preference), traces)
    forgotten: list[datetime] = []
    for trace, prediction in explained:
        made_at, dead = _made_at(prediction, ahead), matching.is_dead(prediction)
        found = Accepted(trace.fence, prediction.id, made_at, dead=dead)
        phase = lifecycle.found_late(tx, now, found, first_look)
        if phase:
            log.warning("found-late", job_id=trace.fence.job, prediction=prediction.id, phase=phase)
        # That attempt has a prediction of its own: no attempt remembers this one.
        if phase and trace.prediction_id is not None:
            forgotten.append(made_at or now)
    told = {prediction.id for _, prediction in explained}
    return forgotten, [p for p in strange if p.id not in told]


def recall(here: context.Context, strange: Sequence[Prediction], ahead: timedelta) -> list[datetime]:
    """Assign the predictions of sends whose intent was lost, in a power cut or with a backup, to whose seed they have.

    That takes reading all jobs, for which no writer is to wait: so first it is read whose they may be. Return when
    those were made, by our clock, that no attempt remembered.
    """
    seeds = sorted({seed for p in strange if (seed := _seed(p)) is not None})
    if not seeds:
        return []
    with here.database.read() as tx:
        among = [one.job for one in worklists.owners(tx, here.account.api, seeds)]
    first_look = timedelta(seconds=here.times.poll_first)

    def write(tx: sa.Connection) -> list[datetime]:
        accounts.get(
            tx, here.account.id
        )  # locked, so that of two walks the second sees what the first has recorded
        now, known = database.now(tx), worklists.known(tx, [p.id for p in strange])
        forgotten: list[datetime] = []
        owners = worklists.owners(tx, here.account.api, seeds, among)
        for one in matching.own([p for p in strange if p.id not in known], owners):
            made_at, dead = _made_at(one.prediction, ahead) or now, matching.is_dead(one.prediction)
            told = (here.account.id, one.prediction.id, made_at)
            stray = Stray(one.job, *told, shared=one.shared, dead=dead)
            phase = lifecycle.recalled(tx, now, stray, first_look)
            log.warning("not-remembered", job_id=one.job, prediction=one.prediction.id, phase=phase)
            forgotten.append(made_at)
        return forgotten

    return here.database.unit(write) if among else []


def _made_at(prediction: Prediction, ahead: timedelta) -> datetime | None:
    return prediction.created_at + ahead if prediction.created_at else None


def _seed(prediction: Prediction) -> int | None:
    """Return a prediction's seed, if it may be of our making; some APIs show whole numbers as 7.0."""
    shown = marker.scalars(prediction.input).get("seed")
    return int(shown) if isinstance(shown, float) and shown.is_integer() and 0 <= shown < 2**31 else None
