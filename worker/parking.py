"""Sends back jobs whose image is not at the API, and makes them due when their upload has ended."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import sqlalchemy as sa

from jobs import accounts, database, errors, lifecycle
from jobs.lifecycle import Submission, UploadPending
from worker import context
from worker.transfers import uploads


@dataclass(frozen=True, slots=True)
class Parked:
    """Nothing was bought; ``sending`` is the upload that the job waits for, if any."""

    later: UploadPending
    sending: uploads.Sending | None = None


def parked(
    here: context.Context, submission: Submission, error: uploads.NotYet | errors.NotUploaded
) -> Parked:
    """Return what to record for a job whose upload is under way or has failed."""
    fence, words = submission.fence, str(error)
    if isinstance(error, uploads.NotYet):
        return Parked(UploadPending(fence, words, timedelta(seconds=error.wait)), error.sending)
    pause = timedelta(seconds=here.times.canary)
    return Parked(UploadPending(fence, words, pause, counted=error.api_answers))


def as_counted(here: context.Context, tx: sa.Connection, some: Sequence[Parked]) -> list[UploadPending]:
    """Return what to record; failed uploads do not count while creates or reads fail too."""
    later = [item.later for item in some]
    if any(item.counted for item in later):
        breaker = accounts.known(tx, here.account.id).breaker
        if not breaker.is_sound:
            return [replace(item, counted=False) for item in later]
    return later


def call(here: context.Context, some: Sequence[Parked]) -> None:
    """Make these jobs due when their uploads end. Call it after they are recorded, or that would miss them."""
    for item in some:
        if item.sending is not None:
            here.loop.start(_called(here, item.later.fence, item.sending))


async def _called(here: context.Context, fence: lifecycle.Fence, sending: uploads.Sending) -> None:
    await asyncio.wait({sending})
    with suppress(errors.Unavailable):  # the job becomes due by itself when an upload must have ended
        await asyncio.to_thread(
            here.database.unit, lambda tx: lifecycle.upload_ended(tx, database.now(tx), fence)
        )
