"""Resolves sends in doubt, and finds predictions that no attempt records. Nothing here posts.

`absences` decides what a walk proves, `evidence` what it shows about the list itself, `claiming` whose the rest is.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from celery import shared_task

from jobs import accounts, crashpoints, database, errors, marker, worklists
from jobs.accounts import quota
from jobs.accounts.tally import Tally
from jobs.crashpoints import Place
from jobs.lanes import Lane
from jobs.worklists import Case
from worker import app, clock, context, tally
from worker.api.replies import Prediction
from worker.lookup import absences, adopting, claiming, evidence, matching, walk

log = structlog.get_logger(__name__)

_MOST_WINDOWS = 3  # proof windows for which a failing list is retried
_PAGES_AT_ONCE = 10  # pages read before known predictions on them are dropped from memory


@shared_task(name=Lane.RECONCILE)
def reconcile(ids: list[int], account_id: int) -> None:
    """Walk the list once for every send of the account that is in doubt.

    The ids are only a hint that some are due: a message may be hours late, and what counts is the age of each
    send when the walk begins. Without ids it is a sweep: the walk goes back to the last sweep, to find
    predictions that nobody waits for.
    """
    here = app.held(account_id)
    if here is not None:
        look(here, sweeping=not ids)


def look(here: context.Context, *, sweeping: bool) -> None:
    """Walk the list, as far as it can help, and record the results."""
    with here.database.read() as tx:
        started = database.now(tx)
        seat = here.seat(tx)
        cases, account = worklists.cases(tx, seat.answers_for), seat.account
        swept_from = worklists.swept_from(tx, account, started, here.times)
    if account.can_list is False:
        absences.decide_blindly(here, cases, started, accounts.blind_spot(account) or "")
        return
    margin = timedelta(seconds=here.times.list_margin)
    beginnings = [case.intended_at - margin for case in cases[:1]] + [swept_from] * sweeping
    if any(absences.is_ahead(here, case, started) for case in cases[-1:]):
        beginnings.append(started - timedelta(seconds=here.times.proof_window))
    if not beginnings:
        return
    taken = _walked(here, min(beginnings), started, account)
    _settle(here, cases, taken, started, _windows(here, cases, taken, started))
    if sweeping and not taken.error:
        here.database.unit(lambda tx: _swept(here, tx, taken, swept_from, started))


def compared(here: context.Context) -> bool:
    """Whether what was bought at the API is known, as far as its lists show it, so that an account may buy more.

    The database may be a backup that was put back. So once in a process, before it buys, the list is read back to the
    last purchase that the database knows: usually a page. What turns up is its jobs', which would buy it again. That
    of another account too, for any may have bought a job; unless that one is stopped, and may never go on.
    """
    return _compared(here, own=True) and all(_compared(one, own=False) for one in app.held_beside(here))


def _compared(here: context.Context, *, own: bool) -> bool:
    comparison = here.comparison
    if comparison.made or not (own or _is_sound(here)):
        return True
    # Of two slices at once the second is put off: a thread that waited would keep others' purchases waiting too.
    if clock.ticks() >= comparison.again_at and comparison.turn.acquire(blocking=False):
        try:
            comparison.made = comparison.made or _compare(here, comparison)
        finally:
            comparison.turn.release()
    return comparison.made


def _is_sound(here: context.Context) -> bool:
    with here.database.read() as tx:
        return accounts.known(tx, here.account.id).breaker.is_closed


def _compare(here: context.Context, comparison: context.Comparison) -> bool:
    with here.database.read() as tx:
        started = database.now(tx)
        seat = here.seat(tx)
        account = seat.account
        since = comparison.since or worklists.compared_from(tx, seat, started, here.times)
    if since is None:
        return True
    comparison.since = since
    # One that never answered is asked once. So is one that was missing: it may be there by now.
    taken = _walked(here, since, started, account, walk.WAITS if account.can_list else ())
    if taken.error:
        comparison.again_at = clock.ticks() + here.times.poll_first
        return _goes_without(here, comparison, taken.error, account)
    comparison.again_at = clock.ticks() + here.times.absence_gap
    for made_at in _settle(here, (), taken, started, 1):
        comparison.latest = max(made_at, comparison.latest or made_at)
    # A list that lags may not show yet what came after it.
    return comparison.latest is None or comparison.latest + absences.settling(here, account) <= started


def _goes_without(
    here: context.Context, comparison: context.Comparison, error: errors.ApiError, account: accounts.Account
) -> bool:
    """Whether to buy although the list cannot be read: it never could, or it alone has failed for long."""
    if not account.can_list:
        return True
    if not here.answers_otherwise():
        return False
    here.observe(Tally(answered=1))
    comparison.first_failed = comparison.first_failed or clock.ticks()
    gives_up = clock.ticks() >= comparison.first_failed + here.times.settle
    if gives_up:
        log.warning("not-compared", api=account.api, reason=str(error))
    return gives_up


def _pause(here: context.Context, account: accounts.Account) -> float:
    """Return the seconds between two pages that keep within the quota of reads."""
    reads = quota.in_force(here.settings, account.own_limits).reads_per_minute
    return 60 / reads if reads else 0


def _walked(
    here: context.Context,
    since: datetime,
    started: datetime,
    account: accounts.Account,
    waits: Sequence[float] = walk.WAITS,
) -> walk.Walk:
    """Walk the list, and record in the account what that cost and showed."""
    lease, pause = here.times.lease, _pause(here, account)
    taken = walk.Walk(since, started, lease, pause, waits=waits)
    while not taken.over:
        here.loop.call(walk.go_on(taken, here.api, _PAGES_AT_ONCE), within=lease + 1)
        with here.database.read() as tx:
            taken.recognise(worklists.bought_by(tx, account.id, taken.fresh))
    if taken.ahead:
        log.warning("clocks-differ", ahead_seconds=taken.ahead.total_seconds(), api=here.account.api)
    counter = tally.Counter()
    if taken.error:
        counter.failed(taken.error)
    if taken.pages:
        counter.answered()
    here.observe(counter.take())
    if taken.pages:
        here.database.unit(lambda tx: accounts.lists(tx, here.account.id, pages=taken.pages))
    elif isinstance(taken.error, errors.Unsupported) and account.can_list is None:
        _doubt_list(here)
    return taken


def _swept(
    here: context.Context, tx: sa.Connection, taken: walk.Walk, since: datetime, started: datetime
) -> None:
    accounts.sweep_again(tx, here.account.id, started + timedelta(seconds=here.times.sweep))
    if taken.covers(since):
        accounts.swept(tx, here.account.id, started)


def _windows(here: context.Context, cases: Sequence[Case], taken: walk.Walk, started: datetime) -> float:
    """Return for how many proof windows a case out of the walk's reach stays open.

    The wait ends if the list keeps failing while the API answers otherwise; an API that is away is waited for.
    """
    if taken.error is None or not cases:
        return 1
    old = not absences.is_fresh(here, cases[0], started, _MOST_WINDOWS)
    return _MOST_WINDOWS if old and here.answers_otherwise() else math.inf


def _doubt_list(here: context.Context) -> None:
    """Note a missing list; a 404 on it counts only if the API knows one of our predictions by its id."""
    with here.database.read() as tx:
        witness = worklists.witness(tx, here.account.id)
    if witness is None:
        return
    try:
        here.loop.call(here.api.get(witness), within=here.times.lease / 2)
    except (errors.ApiError, TimeoutError) as error:
        log.info("list-doubt-unproven", reason=str(error))
        return
    doubt = timedelta(seconds=here.times.list_doubt)
    certain = here.database.unit(
        lambda tx: accounts.list_missing(tx, database.now(tx), here.account.id, doubt) is False
    )
    if certain:
        log.warning("no-list", api=here.account.api)


def _settle(
    here: context.Context, cases: Sequence[Case], taken: walk.Walk, started: datetime, windows: float
) -> list[datetime]:
    """Record the results of a walk. What it shows always counts; an absence only if it went far enough.

    Return when those predictions of ours were made, by our clock, that no attempt remembered.
    """
    digests = {p.id: marker.digest(p.input) for p in taken.seen.values()}

    def write(tx: sa.Connection) -> tuple[list[datetime], list[Prediction]]:
        now = database.now(tx)
        # Another walk may have closed a case, and its job been sent again: the list shows that send's prediction.
        doubted = {case.fence for case in worklists.cases(tx, here.seat(tx).answers_for)}
        # In this order, so that an id committed between the two is known.
        unsettled = worklists.unsettled(tx, here.account.api)
        known = worklists.known(tx, list(taken.seen))
        account = evidence.learn(here, tx, taken, known, started)
        settled = started - absences.settling(here, account)
        open_cases = [case for case in cases if case.fence in doubted and _is_told_apart(case, settled)]
        unknown = [p for p in taken.seen.values() if p.id not in known]
        matched = matching.match(open_cases, unknown, unsettled, images=account.list_shows_images is True)
        adopting.adopt(here, tx, matched)
        absences.Look(here, tx, now, taken, started, account).conclude(matched, windows)
        since = started - timedelta(seconds=here.times.proof_window)
        found = claiming.claim(here, tx, now, matched.strange, digests, since, taken.ahead)
        crashpoints.reach(Place.BEFORE_WALK_COMMIT)
        return found

    forgotten, left = here.database.unit(write)
    crashpoints.reach(Place.AFTER_WALK_COMMIT)
    return forgotten + claiming.recall(here, left, taken.ahead)


def _is_told_apart(case: Case, settled: datetime) -> bool:
    """Whether a prediction with its input must be this send's; that of an earlier send of the job may turn up late.

    If that were taken for this send's and failed, the job would be bought again although this send's is yet
    to come. Once this send has settled, both are in the list and the better one is taken.
    """
    return not case.sent_before or case.sent_at <= settled
