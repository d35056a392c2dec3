"""Buy predictions: the intent, one POST each, and its outcome. The only place where money is spent."""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
import structlog
from celery import shared_task
from celery.worker import state

from jobs import accounts, crashpoints, database, errors, lifecycle, stops, worklists
from jobs.accounts.tally import Tally
from jobs.batches import PauseReason
from jobs.crashpoints import Place
from jobs.lanes import Lane
from jobs.lifecycle import Accepted, Failure, Lost, NotBought, Submission
from worker import app, clock, context, parking, tally
from worker.tasks import reconcile
from worker.transfers import room, uploads

log = structlog.get_logger(__name__)

_A_DAY = 86_400  # seconds


@dataclass(frozen=True, slots=True)
class Bought:
    """The API has sold a prediction of this version."""

    accepted: Accepted
    version: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """The folder of its picture is not there: what this host cannot see, it must not buy, nor fail."""

    later: NotBought
    batch: int


Outcome = Bought | NotBought | Unseen | parking.Parked | Lost | Failure


# Celery's usual limit would kill a child that holds ids, which are paid for, while the database is away.
@shared_task(name=Lane.SUBMIT, time_limit=_A_DAY)
def submit(ids: list[int], account_id: int) -> None:
    """Buy a prediction for each of these jobs that is still queued."""
    here = app.held(account_id)
    if here is None or not _has_room(here):
        return
    if not reconcile.compared(here):
        here.database.unit(lambda tx: _put_off(here, tx, ids))
        return
    images = _images(here, ids)
    begun = clock.ticks()
    now, submissions = here.database.unit(lambda tx: _begin(here, tx, ids, images))
    crashpoints.reach(Place.AFTER_INTENT_COMMIT)
    if not submissions:
        return
    slice_ = _Slice(here, begun, now, tally.Counter(creates=True), tally.Counter())
    # Nothing leaves in the second half of the lease, but what left in the first half keeps its full deadline:
    # cut short, it would be in doubt through our own fault.
    within = min(here.times.lease, here.times.lease / 2 + here.times.post_deadline)
    for group in here.loop.outcomes(slice_.buy, submissions, within=within):
        _settle_until_written(here, group, [slice_.counter.take(), slice_.uploads.take()])
        parking.call(here, _parked(group))


def _put_off(here: context.Context, tx: sa.Connection, ids: list[int]) -> None:
    later = database.now(tx) + timedelta(seconds=here.times.poll_first)
    lifecycle.put_off(tx, here.account.id, ids, later)


def _has_room(here: context.Context) -> bool:
    """Whether what is bought now can be stored; if not, every open batch at the API is paused for a person."""
    why = room.lacking(here.database, here.settings.output, here.account.api)
    if why:
        here.database.unit(lambda tx: here.pause_all(tx, database.now(tx), PauseReason.STORAGE, why))
    return not why


def _images(here: context.Context, ids: list[int]) -> dict[int, str]:
    """Return the digests of the images to be sent, for jobs that may differ in nothing else."""
    with here.database.read() as tx:
        seeded = worklists.seeded(tx, ids)

    async def known() -> dict[int, str]:
        digests = {one.job: await here.inputs.digest(one.image, Path(one.images_root)) for one in seeded}
        return {job: digest for job, digest in digests.items() if digest}

    try:
        return here.loop.call(known(), within=here.times.lease / 4) if seeded else {}
    except TimeoutError:  # a slow disk: they cannot be told apart, and are bought one after the other
        return {}


def _begin(
    here: context.Context, tx: sa.Connection, ids: list[int], images: dict[int, str]
) -> tuple[datetime, list[Submission]]:
    now = database.now(tx)
    lease = timedelta(seconds=here.times.lease)
    submissions = lifecycle.begin(tx, now, here.account.id, ids, lease, images)
    if images:
        accounts.sweep_for_images(tx, here.account.id, now + lease / 12)
    crashpoints.reach(Place.BEFORE_INTENT_COMMIT)
    return now, submissions


@dataclass
class _Slice:
    """The jobs begun for one message, and what stops them all."""

    here: context.Context
    begun: float  # by clock.ticks, just before the intent was written: the lease started no earlier
    now: datetime  # the database's time at the intent
    counter: tally.Counter
    uploads: tally.Counter  # counted apart: an API that accepts no files may still sell

    async def buy(self, submission: Submission) -> Outcome:
        """Buy one job's prediction; whatever happens becomes an outcome."""
        try:
            image = await self._image(submission)
            return await self._send(submission, image) if isinstance(image, str) else image
        except BaseException as error:
            log.exception("submit-broke", job=submission.name)
            return Lost(submission.fence, f"{type(error).__name__} while it was sent", self._time())

    async def _send(self, submission: Submission, image: str) -> Outcome:
        left_at: datetime | None = None

        def leave() -> None:
            nonlocal left_at
            self._may_leave()
            crashpoints.reach(Place.BEFORE_POST)
            # Not earlier: a send may have waited long for a line, and its settle time starts now.
            left_at = self._time()

        try:
            prediction = await self.here.api.create(
                submission.version,
                {"image": image, **submission.input},
                self.here.times.prediction_deadline,
                leave,
            )
        except errors.ApiError as error:
            return self._came_to(submission, error, left_at or self._time())
        crashpoints.reach(Place.AFTER_POST_RESPONSE)
        self.counter.bought(self.here.api.creates_left)
        return Bought(Accepted(submission.fence, prediction.id), submission.version)

    def _time(self) -> datetime:
        """Return the database's time, continued by a monotonic clock: a step of the wall clock has no effect."""
        return self.now + timedelta(seconds=clock.ticks() - self.begun)

    async def _image(self, submission: Submission) -> str | Outcome:
        """Return the image as it is sent, or the job's outcome without one."""
        try:
            root = Path(submission.images_root)
            return await self.here.inputs.wire_form(submission.image, root, suspect=submission.suspect)
        except errors.ApiError as error:
            return self._without_image(submission, error)
        except asyncio.CancelledError:
            return self._without_image(submission, errors.NotSent("The image was not ready in time."))

    def _without_image(self, submission: Submission, error: errors.ApiError) -> Outcome:
        fence = submission.fence
        match error:
            case errors.Refused():
                return Failure(fence, error.error_class, str(error))
            case errors.FolderGone():
                message = (
                    f"on {socket.gethostname()}, {error}" if self.here.settings.broker_url else str(error)
                )
                return Unseen(NotBought(fence, message, self._time()), submission.batch)
            case uploads.NotYet():
                return parking.parked(self.here, submission, error)
            case errors.NotUploaded():
                self.uploads.failed(error)
                return parking.parked(self.here, submission, error)
            case errors.Throttled() | errors.Blocked():
                self.uploads.failed(error)
                self.counter.stopped = True
        return NotBought(fence, str(error), self._time() + timedelta(seconds=self._pause(error)))

    def _may_leave(self) -> None:
        """Check a last time, right before the bytes leave, that the lease lasts and the API has not said stop."""
        if self.counter.stopped:
            raise errors.NotSent("The API said stop before it was sent.")
        if clock.ticks() - self.begun > self.here.times.lease / 2:
            raise errors.NotSent("Its turn came too late.")

    def _came_to(self, submission: Submission, error: errors.ApiError, sent_at: datetime) -> Outcome:
        ours = self.counter.stopped or not isinstance(error.__cause__, errors.ApiError)
        if not (isinstance(error, errors.NotSent) and ours):
            self.counter.failed(error)
        fence = submission.fence
        match error:
            case errors.Refused():
                return Failure(fence, error.error_class, str(error))
            case errors.NotSent() | errors.Throttled() | errors.Blocked():
                return NotBought(fence, str(error), self._time() + timedelta(seconds=self._pause(error)))
            case _:
                return Lost(fence, str(error), sent_at)

    def _pause(self, error: errors.ApiError) -> float:
        """Return how many seconds a job that was not bought waits; after a 429, at most as long as its account."""
        if isinstance(error, errors.Throttled):
            return min(error.wait, self.here.times.throttle_most)
        return self.here.times.poll_first


def _settle_until_written(here: context.Context, group: Sequence[Outcome], counted: Sequence[Tally]) -> None:
    """Commit a group, however long the database is away: its ids are paid for, and recorded nowhere else.

    If its file fails for good, the run has ended; whoever puts that right finds the sends in doubt, to be looked up.
    """
    waits = False
    while True:
        try:
            settle(here, group, counted)
        except errors.Unavailable as error:
            if here.database.path and state.should_stop is not None:
                raise
            if not waits:
                log.warning("settle-waits", error=str(error), outcomes=len(group))
            waits = True
            time.sleep(0.5)
        else:
            if waits:
                log.warning("settle-goes-on", outcomes=len(group))
            return


def settle(here: context.Context, group: Sequence[Outcome], counted: Sequence[Tally]) -> None:
    """Record the outcomes of some sends, and what they show about the account, in one transaction."""
    settle_after = timedelta(seconds=here.times.settle)

    def write(tx: sa.Connection) -> None:
        now = database.now(tx)
        _accept(here, tx, now, [o for o in group if isinstance(o, Bought)])
        unseen = [o for o in group if isinstance(o, Unseen)]
        not_bought = [o for o in group if isinstance(o, NotBought)] + [o.later for o in unseen]
        lifecycle.settle(tx, now, lifecycle.not_bought, not_bought)
        lost = [o for o in group if isinstance(o, Lost)]
        lifecycle.settle(tx, now, lifecycle.lost, lost, settle_after)
        refused = [o for o in group if isinstance(o, Failure)]
        lifecycle.settle(tx, now, lifecycle.refused, refused)
        parked = parking.as_counted(here, tx, _parked(group))
        lifecycle.settle(tx, now, lifecycle.not_uploaded, parked)
        for batch, why in {o.batch: o.later.message for o in unseen}.items():
            if stops.pause(tx, now, [batch], PauseReason.STORAGE, why):
                log.warning("pictures-not-there", reason=why)
        for each in counted:
            here.note(tx, now, each)
        crashpoints.reach(Place.BEFORE_IDS_COMMIT)

    here.database.unit(write)
    crashpoints.reach(Place.AFTER_IDS_COMMIT)


def _parked(group: Sequence[Outcome]) -> list[parking.Parked]:
    return [one for one in group if isinstance(one, parking.Parked)]


def _accept(here: context.Context, tx: sa.Connection, now: datetime, bought: Sequence[Bought]) -> None:
    for version in {item.version for item in bought}:
        wait = here.foresight.next_look(tx, now, version, timedelta())
        accepted = [item.accepted for item in bought if item.version == version]
        won = lifecycle.settle(tx, now, lifecycle.accepted, accepted, wait)
        rest = [item for item in accepted if item.fence not in won]
        lifecycle.settle(tx, now, lifecycle.unremembered, rest, wait, here.account.id)
