"""Ask the API to end predictions: those a person cancelled, those past their deadline, and orphans."""

from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
import structlog
from celery import shared_task

from jobs import crashpoints, database, errors, lifecycle, worklists
from jobs.lanes import Lane
from worker import app, process, tally

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """One prediction to end."""

    attempt: int
    prediction_id: str


@shared_task(name=Lane.CANCEL)
def cancel(targets: list[tuple[int, str]], account_id: int | None = None) -> None:
    """Ask once for each (attempt, prediction); the poll sees what became of it."""
    if (here := app.held(account_id)) is None:
        return
    slice_ = _Slice(here, tally.Counter())
    with here.database.read() as tx:
        ours = worklists.ours(tx, here.answers_for(tx), [attempt for attempt, _ in targets])
    items = [Target(attempt, prediction_id) for attempt, prediction_id in targets if attempt in ours]
    for group in here.loop.outcomes(slice_.end, items, within=here.times.lease / 2):
        asked = [attempt for attempt in group if attempt is not None]
        here.database.unit(partial(_remember, asked=asked))
        here.observe(slice_.counter.take())


def _remember(tx: sa.Connection, asked: list[int]) -> None:
    lifecycle.cancel_sent(tx, database.now(tx), asked)


@dataclass
class _Slice:
    here: process.Process
    counter: tally.Counter

    async def end(self, target: Target) -> int | None:
        """Return the attempt if the API has answered for it, None if it must be asked again."""
        try:
            await self.here.api.cancel(target.prediction_id)
            crashpoints.reach(crashpoints.Place.AFTER_CANCEL_ANSWER)
        except (errors.Missing, errors.Unsupported) as error:
            log.warning("cancel-impossible", prediction=target.prediction_id, reason=str(error))
            self.counter.failed(error)
            return target.attempt
        except errors.ApiError as error:
            self.counter.failed(error)
            return None
        except BaseException:
            log.exception("cancel-broke", prediction=target.prediction_id)
            return None
        self.counter.answered()
        return target.attempt
