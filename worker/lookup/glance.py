"""One look at the API's list instead of many single polls: a hundred predictions to a page.

An entry counts like the answer to a poll of that prediction. What is not on the pages read is polled one by
one: the list may lag, be cut short, or be another account's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeGuard

from jobs import errors, worklists
from jobs.lifecycle import Fence, Produced
from jobs.worklists import Running
from worker import context, endings
from worker.api.replies import Prediction
from worker.endings import Outcome, Waiting
from worker.lookup import walk

# Every entry may repeat its picture: beyond this, it is cheaper to ask for the few that are due.
_PAGE_CAP = 4_000_000  # bytes
_SLACK = 2  # other clients' predictions are on the pages too
_BEFORE = timedelta(seconds=5)  # by which the API's time of a purchase may precede our acceptance
_STALE = timedelta(seconds=10)  # for this long a list may show an ended prediction as running
_PROVEN_EVERY = 10  # seconds between two checks whether the list is right


@dataclass(frozen=True, slots=True)
class Glance:
    """What a look has shown. ``unseen`` and ``proof`` remain to be asked for one by one."""

    outcomes: Sequence[Outcome]
    unseen: Sequence[Running]
    proof: Running | None  # shown as running by the list; the API must agree
    shown: Collection[Prediction]  # whatever was on the pages
    pages: int
    error: errors.ApiError | None


def look(here: context.Context, rows: Sequence[Running], now: datetime, pages: int) -> Glance:
    """Read about so many pages, back to the oldest of the rows, and return what they show.

    Everything else of ours that has ended is reported too, due or not, since its page is read anyway. The oldest that
    still runs stands for all that these pages show: its next look is due as soon as some of them may have ended.
    """
    within = here.times.lease / 2
    since = min(row.accepted_at for row in rows) - _BEFORE
    wanted = [row.prediction_id for row in rows]
    taken = walk.Walk(
        since, now, within, most_pages=_SLACK * pages, page_cap=_PAGE_CAP, waits=(), wanted=wanted
    )
    here.loop.call(walk.go_on(taken, here.api), within=within + 1)
    oldest, running = _still_running(taken)
    told = {id_: shown for id_, shown in taken.seen.items() if endings.is_explained(shown)}
    outcomes = [
        endings.ended(here, row, told[row.prediction_id], now)
        for row in [*rows, *_besides(here, taken, rows, oldest)]
        if row.prediction_id in told
    ]
    outcomes = [
        replace(outcome, among=running) if _is_of(outcome, oldest) else outcome for outcome in outcomes
    ]
    unseen = [row for row in rows if row.prediction_id not in told]
    return Glance(
        outcomes, unseen, _to_prove(here, outcomes, now), taken.seen.values(), taken.pages, taken.error
    )


def _still_running(taken: walk.Walk) -> tuple[str | None, int]:
    """Return the oldest running prediction, and how many run for each page that was read."""
    running = [p.id for p in taken.seen.values() if not p.final]
    return (running[-1], len(running) // taken.pages) if running else (None, 0)


def _besides(
    here: context.Context, taken: walk.Walk, rows: Sequence[Running], oldest: str | None
) -> Sequence[Running]:
    """Return what was not asked for: all that have ended, and the oldest that runs."""
    asked = {row.prediction_id for row in rows}
    besides = [p.id for p in taken.seen.values() if (p.final or p.id == oldest) and p.id not in asked]
    if not besides:
        return []
    with here.database.read() as tx:
        return worklists.running_as(tx, here.seat(tx).answers_for, besides)


def _is_of(outcome: Outcome, prediction_id: str | None) -> TypeGuard[Waiting]:
    return isinstance(outcome, Waiting) and outcome.running.prediction_id == prediction_id


def _to_prove(here: context.Context, outcomes: Sequence[Outcome], now: datetime) -> Running | None:
    """Now and then choose the one running longest: a list from a stale cache would show it running for ever."""
    if int(now.timestamp()) % _PROVEN_EVERY:
        return None
    waiting = [o.running for o in outcomes if isinstance(o, Waiting)]
    oldest = min(waiting, key=lambda row: row.accepted_at, default=None)
    late = now - timedelta(seconds=here.times.poll_most)
    return oldest if oldest and oldest.accepted_at < late else None


def disproves(outcome: Outcome, proof: Fence | None, now: datetime) -> bool:
    """Whether the prediction polled as proof had ended long before the list showed it running."""
    return isinstance(outcome, Produced) and outcome.fence == proof and outcome.produced_at < now - _STALE
