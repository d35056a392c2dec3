"""Find out what became of sends in doubt. Nothing here posts; it adopts, waits, or gives back."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from celery import shared_task

from jobs import accounts, batches, crashpoints, database, errors, lifecycle, marker, worklists
from jobs.crashpoints import Place
from jobs.lanes import Lane
from jobs.lifecycle import Accepted, Fence
from jobs.states import State
from jobs.worklists import Case
from worker import app, matching, process, tally, walk
from worker.replies import Prediction

log = structlog.get_logger(__name__)

_MOST_WINDOWS = 3  # for which a list that fails is asked


@shared_task(name=Lane.RECONCILE)
def reconcile(_ids: list[int]) -> None:
    """Walk the list once for every send of the account that is in doubt.

    The ids are only a hint that some are due: a message may be hours late, and what counts is how long ago each
    send was at the moment when the walk begins.
    """
    here = app.held()
    with here.database.read() as tx:
        started = database.now(tx)
        cases = worklists.cases(tx, here.account.api)
    if not cases:
        return
    if _can_list(here) is False:
        _decide_without_list(here, cases, started)
        return
    since = cases[0].intended_at - timedelta(seconds=here.times.list_margin)
    counter = tally.Counter()
    lease = here.times.lease
    taken = here.loop.call(walk.walk(here.api, since, now=started, within=lease), within=lease + 1)
    if taken.ahead:
        log.warning("clocks-differ", ahead_seconds=taken.ahead.total_seconds(), api=here.account.api)
    _count(here, taken, counter)
    _settle(here, cases, taken, started, _windows(here, cases, taken, started))


def _windows(here: process.Process, cases: Sequence[Case], taken: walk.Walk, started: datetime) -> float:
    """Return for how many times the life of an input a case out of the walk's reach stays open.

    A list that goes on failing while the API answers otherwise ends the wait; an API that is away is waited for.
    """
    if taken.error is None:
        return 1
    old = not _is_fresh(here, cases[0], started, _MOST_WINDOWS)
    return _MOST_WINDOWS if old and _answers_otherwise(here) else math.inf


def _answers_otherwise(here: process.Process) -> bool:
    with here.database.read() as tx:
        witness = worklists.witness(tx, here.account.id)
    try:
        here.loop.call(here.api.get(witness or "overnight"), within=here.times.lease / 2)
    except errors.Missing:
        return True
    except (errors.ApiError, TimeoutError):
        return False
    return True


def _can_list(here: process.Process) -> bool | None:
    with here.database.read() as tx:
        return accounts.can_list(tx, here.account.id)


def _count(here: process.Process, taken: walk.Walk, counter: tally.Counter) -> None:
    """Tell the account what the walk cost and showed."""
    if taken.error:
        counter.failed(taken.error)
    if taken.pages:
        counter.answered()
    here.observe(counter.take())
    if taken.pages:
        with here.database.write() as tx:
            accounts.lists(tx, here.account.id, pages=taken.pages)
    elif isinstance(taken.error, errors.Unsupported):
        _doubt_list(here)


def _doubt_list(here: process.Process) -> None:
    """A 404 on the list means something only if the API knows one of our predictions by its id."""
    with here.database.read() as tx:
        witness = worklists.witness(tx, here.account.id)
    if witness is None:
        return
    try:
        here.loop.call(here.api.get(witness), within=here.times.lease / 2)
    except (errors.ApiError, TimeoutError) as error:
        log.info("list-doubt-unproven", reason=str(error))
        return
    with here.database.write() as tx:
        now = database.now(tx)
        doubt = timedelta(seconds=here.times.list_doubt)
        if accounts.list_missing(tx, now, here.account.id, doubt) is False:
            log.warning("no-list", api=here.account.api)


def _settle(
    here: process.Process, cases: Sequence[Case], taken: walk.Walk, started: datetime, windows: float
) -> None:
    """Write what the walk showed. Adoptions hold whatever the walk's end; an absence needs it to go far enough."""
    times = here.times
    first_look = timedelta(seconds=times.poll_first)
    with here.database.write() as tx:
        now = database.now(tx)
        # In this order: an id that is committed between the two is known.
        unsettled = worklists.unsettled(tx, here.account.api)
        known = worklists.known(tx, list(taken.seen))
        unknown = [p for p in taken.seen.values() if p.id not in known]
        matched = matching.match(cases, unknown, unsettled)
        adopted = [Accepted(case.fence, prediction.id) for case, prediction in matched.found]
        lifecycle.settle(tx, lambda some: lifecycle.adopted(tx, now, some, first_look), adopted)
        for item in adopted:
            log.info("adopted", job_id=item.fence.job, prediction=item.prediction_id)
        margin = timedelta(seconds=times.list_margin)
        seen_from = next((c.intended_at for c in cases if taken.covers(c.intended_at - margin)), None)
        if seen_from is not None and not _shows_ours(here, tx, taken, seen_from):
            seen_from = None
        settled = timedelta(seconds=times.settle)
        ripe = [case for case in matched.missing if case.sent_at + settled <= started]
        shown = [case for case in ripe if seen_from is not None and case.intended_at >= seen_from]
        _conclude(here, tx, now, shown, matched.strange, taken, started)
        rest = [case for case in ripe if case not in shown]
        late = [case for case in rest if not _is_fresh(here, case, started, windows)]
        message = "the API's list does not go back to it, so nobody can tell whether it was bought"
        lifecycle.unprovable(tx, now, [case.fence for case in late], message)
        _wait(here, tx, now, [case for case in rest if case not in late])
        if seen_from is not None:
            _claim(here, tx, now, matched.strange, seen_from)
        crashpoints.reach(Place.BEFORE_WALK_COMMIT)
    crashpoints.reach(Place.AFTER_WALK_COMMIT)


def _shows_ours(here: process.Process, tx: sa.Connection, taken: walk.Walk, since: datetime) -> bool:
    """Whether an absence from this walk means anything: what must be in the list is there."""
    tolerated = timedelta(seconds=here.times.list_margin / 2)
    expected = worklists.first_known(tx, here.account.id, since - tolerated)
    if not expected or not taken.seen.keys().isdisjoint(expected):
        return True
    log.warning("list-lacks-ours", expected=expected[0], pages=taken.pages)
    return False


def _is_fresh(here: process.Process, case: Case, started: datetime, windows: float = 1) -> bool:
    """Whether a send is no longer ago than so many windows, each as long as inputs are kept."""
    return (started - case.intended_at).total_seconds() < here.times.proof_window * windows


def _wait(here: process.Process, tx: sa.Connection, now: datetime, cases: Sequence[Case]) -> None:
    soon = now + timedelta(seconds=here.times.absence_gap)
    lifecycle.look_again(tx, State.UNCONFIRMED, {case.fence: soon for case in cases})


def _conclude(
    here: process.Process,
    tx: sa.Connection,
    now: datetime,
    ripe: Sequence[Case],
    strange: Sequence[Prediction],
    taken: walk.Walk,
    started: datetime,
) -> None:
    """Take ripe cases for absent while the list still shows inputs; later only if it shows nothing strange.

    A prediction without an input may be any of ours; and another account's list says nothing of what ours lacks.
    """
    hidden = [prediction for prediction in strange if not prediction.input]
    proven: list[Fence] = []
    lapsed: list[Fence] = []
    waiting: list[Case] = []
    for case in ripe:
        fresh = _is_fresh(here, case, started)
        suspects = hidden if fresh else strange
        if case.account_id == here.account.id and not _could_be(case, suspects, taken.ahead, here):
            proven.append(case.fence)
        elif fresh:
            waiting.append(case)
        else:
            lapsed.append(case.fence)
    gap = timedelta(seconds=here.times.absence_gap)
    selling = accounts.get(tx, here.account.id).breaker.state != "outage"
    lifecycle.absent(tx, now, proven, started, gap, counted=selling)
    message = "its input has been deleted at the API, so nobody can tell any more whether it was bought"
    lifecycle.unprovable(tx, now, lapsed, message)
    _wait(here, tx, now, waiting)


def _could_be(case: Case, strange: Sequence[Prediction], ahead: timedelta, here: process.Process) -> bool:
    """Whether some prediction that nobody knows was made around the time of this send."""
    margin = timedelta(seconds=here.times.list_margin)
    first, last = case.intended_at - margin, case.sent_at + margin
    return any(p.created_at is None or first <= p.created_at + ahead <= last for p in strange)


def _claim(
    here: process.Process,
    tx: sa.Connection,
    now: datetime,
    strange: Sequence[Prediction],
    since: datetime,
) -> None:
    """Give strange predictions to the closed attempts that they stem from: adopted late, or orphans."""
    if not strange:
        return
    digests = {marker.digest(p.input) for p in strange}
    traces = worklists.traces(tx, here.account.id, digests, since)
    first_look = timedelta(seconds=here.times.poll_first)
    for trace, prediction in matching.explain(strange, traces):
        phase = lifecycle.found_late(tx, now, Accepted(trace.fence, prediction.id), first_look)
        log.warning("found-late", job_id=trace.fence.job, prediction=prediction.id, phase=phase)
        batches.record_of_job(
            tx, now, trace.fence.job, batches.EventKind.ORPHANED, f"{prediction.id}: {phase}"
        )


def _decide_without_list(here: process.Process, cases: Sequence[Case], started: datetime) -> None:
    """Without a list nobody can tell: buy once more and say so, or hold. One `hold` is enough, batch's or worker's."""
    settled = timedelta(seconds=here.times.settle)
    ripe = [case for case in cases if case.sent_at + settled <= started]
    resubmit = here.settings.when_unconfirmed == "resubmit"
    again = [case.fence for case in ripe if resubmit and case.may_resubmit]
    held = [case.fence for case in ripe if case.fence not in again]
    message = "the API has no list of predictions, so nobody can tell whether it was bought"
    with here.database.write() as tx:
        now = database.now(tx)
        lifecycle.presumed_absent(tx, now, again)
        lifecycle.unprovable(tx, now, held, message)
