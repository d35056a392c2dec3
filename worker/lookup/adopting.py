"""Adopts the predictions of sends in doubt that turn out to have arrived, whatever the list was read for."""

from collections.abc import Iterable
from datetime import timedelta

import sqlalchemy as sa
import structlog

from jobs import database, lifecycle, worklists
from jobs.accounts import attendance
from jobs.lifecycle import Accepted
from worker import context
from worker.api.replies import Prediction
from worker.lookup import matching
from worker.lookup.matching import Matched

log = structlog.get_logger(__name__)


def adopt(here: context.Context, tx: sa.Connection, matched: Matched) -> None:
    """Record the predictions that were found."""
    first_look = timedelta(seconds=here.times.poll_first)
    found = [Accepted(case.fence, prediction.id) for case, prediction in matched.found]
    adopted = lifecycle.settle(tx, database.now(tx), lifecycle.adopted, found, first_look)
    for item in found:
        if item.fence in adopted:
            log.info("adopted", job_id=item.fence.job, prediction=item.prediction_id)


def adopt_in_passing(here: context.Context, shown: Iterable[Prediction]) -> None:
    """Adopt what was shown although it was not looked for, which repairs a lost answer in seconds, not minutes.

    Nothing else is concluded before the sends have settled: a dead prediction may have a twin that is yet to
    be shown, and an earlier send's prediction may be shown late too.
    """
    with here.database.read() as tx:
        if not _in_doubt(tx, here.seat(tx)):
            return
    alive = {one.id: one for one in shown if not matching.is_dead(one)}

    def write(tx: sa.Connection) -> None:
        seat = here.seat(tx)
        cases = _in_doubt(tx, seat)
        # In this order, so that an id committed between the two is known.
        unsettled = worklists.unsettled(tx, here.account.api)
        unknown = [alive[one] for one in alive.keys() - worklists.known(tx, list(alive))]
        images = seat.account.list_shows_images is True
        adopt(here, tx, matching.match(cases, unknown, unsettled, images=images))

    here.database.unit(write)


def _in_doubt(tx: sa.Connection, seat: attendance.Seat) -> list[worklists.Case]:
    return [case for case in worklists.cases(tx, seat.answers_for) if not case.sent_before]
