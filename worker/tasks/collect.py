"""Fetch the images of paid predictions while they still exist. Nothing here ever buys."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath

import sqlalchemy as sa
import structlog
from celery import shared_task

from jobs import crashpoints, database, errors, lifecycle, polling, worklists
from jobs.batches import PauseReason
from jobs.crashpoints import Place
from jobs.failures import FailureClass
from jobs.lanes import Lane
from jobs.lifecycle import Blackened, Failure, Fence, File, Image
from jobs.states import State
from jobs.worklists import Collecting, Output
from worker import app, context, loop, tally
from worker.api.replies import Prediction
from worker.transfers import downloads, quarantine, storing

log = structlog.get_logger(__name__)

_FETCHABLE = timedelta(minutes=55)  # the API deletes outputs an hour after completion; clocks differ
_BLACK = "it succeeded, and its images are all black: the safety check left nothing of them"
_Fetch = Callable[[str], Awaitable[File]]
_MOST_MISSES = 5  # fetches, ever further apart; before that many nothing is given up, whatever the clock says


class _NotShown(errors.Undelivered):
    """The API says that the prediction succeeded but shows no output: one answer is no proof that there is none."""


class _NotThere(errors.Undelivered):
    """The API lists an output now, but its host denies it: it counts as gone only when the API says so too."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of one visit: what came of each output, and perhaps the job's final failure."""

    job: Collecting
    outputs: tuple[Image | Blackened, ...]
    failure: Failure | None = None
    missed: bool = False  # something did not come, but still may
    rarely: bool = False  # retry rarely: a whole host may deny its images, and must not hold up the others
    disk: str = ""  # why nothing can be stored here

    @property
    def whole(self) -> bool:
        return len(self.outputs) == len(self.job.missing)

    @property
    def images(self) -> list[Image]:
        return [one for one in self.outputs if isinstance(one, Image)]


@shared_task(name=Lane.COLLECT)
def collect(ids: list[int], account_id: int) -> None:
    """Fetch what is missing of each of these jobs, earliest expiry first."""
    if (here := app.held(account_id)) is None:
        return
    with here.database.read() as tx:
        now = database.now(tx)
        rows = worklists.collecting(tx, here.seat(tx).answers_for, ids)
    roots = {kept: here.output(kept) for kept in {row.output for row in rows}}
    slice_ = _Slice(here, now, roots, tally.Counter())
    for group in here.loop.outcomes(slice_.fetch, rows, within=here.times.lease / 2, group=loop.WIDE):
        settle(here, _lasting(roots, _borne(here, group)))
        here.observe(slice_.counter.take())


def _borne(here: context.Context, group: Sequence[Fetched]) -> Sequence[Fetched]:
    """Give no image up because nothing answers while the API does not either: an outage ends no job, however long."""
    late = [one for one in group if one.failure and one.failure.error_class == FailureClass.DOWNLOAD_FAILED]
    if not late or here.answers_otherwise([one.job.prediction_id for one in late]):
        return group
    return [replace(one, failure=None, missed=True) if one in late else one for one in group]


def _lasting(roots: Mapping[str | None, Path], group: Sequence[Fetched]) -> Sequence[Fetched]:
    """Sync the names of new files to disk before a row mentions them."""
    try:
        for kept, root in roots.items():
            alike = [fetched for fetched in group if fetched.job.output == kept]
            storing.sync_names(root, [image.file.path for fetched in alike for image in fetched.images])
    except (errors.NotStored, errors.Unavailable) as error:
        return [_unstored(fetched.job, (), error) for fetched in group]
    return group


@dataclass
class _Slice:
    here: context.Context
    now: datetime
    roots: Mapping[str | None, Path]  # where images go, by what is kept with their batch
    counter: tally.Counter
    # Asked for once a visit, for the sake of the quota: an answer may hold all of a job's images.
    _shown: dict[Fence, Prediction] = field(default_factory=dict)

    async def fetch(self, job: Collecting) -> Fetched:
        came: list[Image | Blackened] = []
        try:
            for output in job.missing:
                downloads.stop_if_cancelled()
                came.append(await self._output(job, output))
        except _NotShown as error:
            patience = timedelta(seconds=self.here.times.gone_patience)
            return self._late(job, came, FailureClass.EXPIRED, str(error), patience)
        except _NotThere as error:
            return replace(self._late(job, came, FailureClass.EXPIRED, str(error)), rarely=True)
        except (errors.Gone, quarantine.Poison) as error:
            why = FailureClass.EXPIRED if isinstance(error, errors.Gone) else FailureClass.POISON
            return Fetched(job, tuple(came), Failure(job.fence, why, str(error)))
        except (errors.NotStored, errors.Unavailable) as error:
            return _unstored(job, came, error)
        except BaseException as error:  # noqa: BLE001  logged if it is not the API's
            return self._late(job, came, *_hindrance(job, error))
        finally:
            self._shown.pop(job.fence, None)
        return Fetched(job, tuple(came))

    async def _output(self, job: Collecting, output: Output) -> Image | Blackened:
        try:
            return await self._image(job, output)
        except errors.BlackedOut:
            return Blackened(job.fence, output.index)

    async def _image(self, job: Collecting, output: Output) -> Image:
        fetch = partial(
            self.here.downloads.fetch,
            stem=PurePosixPath(job.stem), index=output.index, into=self.roots[job.output], taken=job.taken,
            suspect=job.suspect,
        )  # fmt: skip
        if output.url is None:
            file = await self._as_listed(job, output, fetch)
        else:
            try:
                file = await fetch(output.url)
            except (errors.Gone, errors.Undelivered) as error:
                file = await self._as_listed(job, output, fetch, error)
        return Image(job.fence, output.index, file)

    async def _as_listed(
        self, job: Collecting, output: Output, fetch: _Fetch, failed: errors.DownloadError | None = None
    ) -> File:
        """Fetch an output from where the API lists it now, unless that has just failed: a URL may be replaced."""
        if job.fence not in self._shown:
            self._shown[job.fence] = await self._ask(job)
        url = _url(self._shown[job.fence], output)
        try:
            if failed and url == output.url:
                raise failed
            return await fetch(url)
        except errors.Gone as error:
            raise _NotThere(str(error)) from error

    async def _ask(self, job: Collecting) -> Prediction:
        try:
            prediction: Prediction = await self.here.api.get(job.prediction_id)
        except errors.ApiError as error:
            self.counter.failed_alone(error)
            raise  # even Missing: some APIs forget a prediction for a moment, and the image is paid
        self.counter.answered()
        return prediction

    def _late(
        self,
        job: Collecting,
        came: Sequence[Image | Blackened],
        error_class: FailureClass,
        message: str,
        patience: timedelta = _FETCHABLE,
    ) -> Fetched:
        """Try again while the image lives at the provider, and at least `_MOST_MISSES` times; then fail the job."""
        over = self.now >= job.produced_at + min(patience, _FETCHABLE)
        if over and job.misses + 1 >= _MOST_MISSES:
            return Fetched(job, tuple(came), Failure(job.fence, error_class, message))
        log.info("collect-again", job=job.name, reason=message)
        return Fetched(job, tuple(came), missed=True)


def _unstored(
    job: Collecting, came: Sequence[Image | Blackened], error: errors.NotStored | errors.Unavailable
) -> Fetched:
    """Have nothing more bought, unless it may pass by itself: then only try again."""
    if isinstance(error, errors.NotStored) and job.misses + 1 < _MOST_MISSES:
        log.info("collect-again", job=job.name, reason=str(error))
        return Fetched(job, tuple(came), missed=True)
    return Fetched(job, tuple(came), disk=str(error))


def _url(prediction: Prediction, output: Output) -> str:
    """Return where the API lists an output now."""
    if output.index < len(prediction.output):
        return prediction.output[output.index]
    if prediction.data_removed:
        raise errors.Gone("the API has deleted the outputs")
    if prediction.final:  # by this one answer
        raise _NotShown("the API shows that it succeeded, and no image")
    raise errors.Undelivered("the API shows the prediction without its outputs")


def _hindrance(job: Collecting, error: BaseException) -> tuple[FailureClass, str]:
    """Return why an image did not come; every cause counts, or a job could be fetched for ever."""
    match error:
        case errors.NotAnImage():
            return FailureClass.OUTPUT_INVALID, str(error)
        case errors.ApiError():
            return FailureClass.DOWNLOAD_FAILED, str(error)
        case asyncio.CancelledError():
            return FailureClass.DOWNLOAD_FAILED, "The image did not come within half a lease."
    log.error("collect-broke", job=job.name, exc_info=error)
    return FailureClass.DOWNLOAD_FAILED, f"{type(error).__name__} while it was fetched"


def settle(here: context.Context, group: Sequence[Fetched]) -> None:
    """Record the results of some visits, in one transaction."""

    def write(tx: sa.Connection) -> None:
        now = database.now(tx)
        images = [image for fetched in group for image in fetched.images]
        lifecycle.settle(tx, now, lifecycle.kept, images)
        black = [one for fetched in group for one in fetched.outputs if isinstance(one, Blackened)]
        bare = lifecycle.dropped(tx, black)
        lifecycle.failed(tx, now, [Failure(fence, FailureClass.NSFW, _BLACK) for fence in bare])
        lifecycle.stored(tx, now, [fetched.job.fence for fetched in group if fetched.whole])
        lifecycle.failed(tx, now, [fetched.failure for fetched in group if fetched.failure])
        again: dict[Fence, datetime] = {
            fetched.job.fence: _next(here, fetched, now)
            for fetched in group
            if not fetched.whole and not fetched.failure
        }
        lifecycle.look_again(tx, State.COLLECTING, again)
        lifecycle.missed(tx, [fetched.job.fence for fetched in group if fetched.missed])
        if full := next((fetched.disk for fetched in group if fetched.disk), ""):
            here.pause_all(tx, now, PauseReason.STORAGE, full)
        crashpoints.reach(Place.BEFORE_STORED_COMMIT)

    here.database.unit(write)
    crashpoints.reach(Place.AFTER_STORED_COMMIT)


def _next(here: context.Context, fetched: Fetched, now: datetime) -> datetime:
    """Return when to try again; however rare the tries are, one comes at the end of the image's life."""
    times = here.times
    age = now - fetched.job.produced_at
    most = times.denied_most if fetched.rarely and age < _FETCHABLE else times.poll_most
    wait = timedelta(seconds=polling.next_look(age.total_seconds(), first=times.poll_first, most=most))
    return now + (min(wait, _FETCHABLE - age) if age < _FETCHABLE else wait)
