"""What becomes of a job whose image is not at the API? It goes back, and is called when its upload is over."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import sqlalchemy as sa

from jobs import accounts, database, errors, lifecycle
from jobs.lifecycle import NotUploaded, Submission
from worker import process
from worker.transfers import uploads


@dataclass(frozen=True, slots=True)
class Parked:
    """Nothing was bought; ``sending`` is the upload that the job waits for, if one is under way."""

    later: NotUploaded
    sending: uploads.Sending | None = None


def parked(
    here: process.Process, submission: Submission, error: uploads.NotYet | errors.NotUploaded
) -> Parked:
    """Return what is to be written of a job whose upload is under way or has come to nothing."""
    fence, words = submission.fence, str(error)
    if isinstance(error, uploads.NotYet):
        return Parked(NotUploaded(fence, words, timedelta(seconds=error.wait)), error.sending)
    pause = timedelta(seconds=here.times.canary)
    return Parked(NotUploaded(fence, words, pause, counted=error.api_answers))


def as_counted(here: process.Process, tx: sa.Connection, some: Sequence[Parked]) -> list[NotUploaded]:
    """Return what to write of these: while creates or reads come to nothing, an upload's failure says nothing."""
    later = [item.later for item in some]
    if any(item.counted for item in later):
        breaker = accounts.known(tx, here.account.id).breaker
        if breaker.state != "closed" or breaker.in_doubt:
            return [replace(item, counted=False) for item in later]
    return later


def call(here: process.Process, some: Sequence[Parked]) -> None:
    """Have these jobs called when their uploads are over: after they were written, or the call would miss them."""
    for item in some:
        if item.sending is not None:
            here.loop.start(_called(here, item.later.fence, item.sending))


async def _called(here: process.Process, fence: lifecycle.Fence, sending: uploads.Sending) -> None:
    await asyncio.wait({sending})
    with suppress(errors.Unavailable):  # the job is due by itself once an upload must have ended
        await asyncio.to_thread(here.database.unit, lambda tx: lifecycle.call(tx, database.now(tx), fence))
