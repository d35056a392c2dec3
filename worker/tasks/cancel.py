"""Ask the API to cancel predictions: at a person's request, past their deadline, or orphans."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
import structlog
from celery import shared_task

from jobs import crashpoints, database, errors, lifecycle, worklists
from jobs.lanes import Lane
from worker import app, context, endings, tally

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """One prediction to cancel."""

    attempt: int
    prediction_id: str
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """The API has answered; ``refusal`` says why it does not cancel, if it does not."""

    attempt: int
    refusal: str | None = None


@shared_task(name=Lane.CANCEL)
def cancel(targets: list[tuple[int, str]], account_id: int) -> None:
    """Ask once for each (attempt, prediction); the next poll sees the result."""
    if (here := app.held(account_id)) is None:
        return
    named = {(attempt, prediction) for attempt, prediction in targets}
    with here.database.read() as tx:
        now = database.now(tx)
        sold = worklists.to_cancel(tx, here.seat(tx).answers_for, [attempt for attempt, _ in named])
    slice_ = _Slice(here, now, tally.Counter())
    items = [Target(*one, sold_at) for one, sold_at in sold.items() if one in named]
    for group in here.loop.outcomes(slice_.end, items, within=here.times.lease / 2):
        here.database.unit(partial(_remember, here=here, group=[asked for asked in group if asked]))
        here.observe(slice_.counter.take())


def _remember(tx: sa.Connection, here: context.Context, group: Sequence[Asked]) -> None:
    now = database.now(tx)
    again_at = now + timedelta(seconds=here.times.prediction_deadline)
    lifecycle.cancel_sent(tx, now, [asked.attempt for asked in group if asked.refusal is None])
    lifecycle.cancel_refused(tx, now, again_at, {one.attempt: one.refusal for one in group if one.refusal})


@dataclass
class _Slice:
    here: context.Context
    now: datetime
    counter: tally.Counter

    async def end(self, target: Target) -> Asked | None:
        """Return what the API answered; None if it must be asked again, which ends once the prediction is given up."""
        try:
            return await self._ask(target)
        except (errors.Throttled, errors.Blocked) as error:
            self.counter.failed(error)
        except errors.ApiError as error:
            self.counter.failed_alone(error)
            if endings.is_given_up(self.here, target.accepted_at, self.now):
                return Asked(target.attempt, str(error))
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):  # the slice's time is up
                log.exception("cancel-broke", prediction=target.prediction_id)
        return None

    async def _ask(self, target: Target) -> Asked:
        """Ask to cancel. After a refusal, the prediction itself shows whether it had already ended.

        A prediction that the API does not know, or no longer knows, raises Missing: that is no refusal to cancel.
        """
        refusal = None
        try:
            await self.here.api.cancel(target.prediction_id)
            crashpoints.reach(crashpoints.Place.AFTER_CANCEL_ANSWER)
        except (errors.Missing, errors.Unsupported, errors.Refused) as error:
            if isinstance(error, errors.Missing) and self._is_fresh(target):
                raise
            self.counter.failed(error)
            if not (await self.here.api.get(target.prediction_id)).final:
                refusal = str(error)
                log.warning("cancel-refused", prediction=target.prediction_id, reason=refusal)
        self.counter.answered()
        return Asked(target.attempt, refusal)

    def _is_fresh(self, target: Target) -> bool:
        """Whether the API may not know it everywhere yet: it was sold, or found, a moment ago."""
        return self.now < target.accepted_at + timedelta(seconds=self.here.times.list_doubt)
