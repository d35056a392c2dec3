"""The intent to buy: which of the jobs handed out may begin, and with what input. Committed before any POST.

A send whose answer is lost is looked up by what was sent. So no two sends that the list could not tell apart may be in
doubt at once: where the list does not show images, one of two twins (inputs that differ only in the image) waits.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobs import accounts, marker
from jobs.batches import PauseReason
from jobs.lifecycle.fence import Fence
from jobs.lifecycle.records import Submission
from jobs.states import BatchState, Phase, State
from jobs.tables import UNSETTLED, attempts, batches, jobs
from jobs.tables import accounts as buyers

_NONE: Mapping[int, str] = {}


def begin(
    tx: sa.Connection,
    now: datetime,
    account_id: int,
    ids: Sequence[int],
    lease: timedelta,
    images: Mapping[int, str] = _NONE,
) -> list[Submission]:
    """queued → submitting: write the intent. What is returned may be posted once the transaction has committed.

    The conditions of the release are checked again, because a message may be hours late. A job whose twin is in doubt
    goes back to pending. ``images`` holds, where known, the digest of the image that a job will send.
    """
    # Locked so that of two twins begun at the same moment the second sees the first.
    account = accounts.get(tx, account_id)
    rows = {row.id: row for row in _admitted(tx, now, account_id, ids)}
    sends = {job: {**row.input, **_image(images, job)} for job, row in rows.items()}
    compared = marker.with_image if _tells_images_apart(account) else dict
    digests = {job: marker.digest(compared(sent)) for job, sent in sends.items()}
    taken = _unsettled(tx, account_id, digests.values())
    twins: dict[int, Phase] = {}
    first: list[int] = []
    for job, digest in digests.items():
        if digest in taken:
            twins[job] = taken[digest]
        else:
            taken[digest] = Phase.SUBMITTING
            first.append(job)
    if twins:
        _await_twins(tx, now, account_id, twins, lease)
    intents = [_intent(now, account_id, rows[job], sends[job], digests[job]) for job in first]
    return [_submission(fence, rows[fence.job]) for fence in _write(tx, now, intents, lease)]


def _intent(now: datetime, account_id: int, row: Any, sent: Mapping[str, Any], digest: str) -> dict[str, Any]:
    return {
        "job_id": row.id,
        "number": (row.last or 0) + 1,
        "account_id": account_id,
        "phase": Phase.SUBMITTING,
        "input": sent,
        "input_digest": digest,
        "intended_at": now,
        "possibly_paid": False,
    }


def _image(images: Mapping[int, str], job: int) -> Mapping[str, str]:
    return {"image": images[job]} if job in images else {}


def _tells_images_apart(account: accounts.Account) -> bool:
    """Whether two sends that differ only in their images may be in doubt at once.

    They may where the list shows images, and where no send can be looked up in the list at all.
    """
    return bool(account.list_shows_images) or account.can_list is False or account.list_echoes is False


def _write(
    tx: sa.Connection, now: datetime, intents: Sequence[Mapping[str, Any]], lease: timedelta
) -> list[Fence]:
    if not intents:
        return []
    inserted = tx.execute(
        sa.insert(attempts).returning(attempts.c.id, sort_by_parameter_order=True), intents
    ).scalars()
    fences = [Fence(intent["job_id"], attempt) for intent, attempt in zip(intents, inserted, strict=True)]
    tx.execute(
        sa.update(jobs)
        .where(jobs.c.id == sa.bindparam("job"))
        .values(state=State.SUBMITTING, attempt_id=sa.bindparam("attempt"), due_at=now + lease),
        [{"job": fence.job, "attempt": fence.attempt} for fence in fences],
    )
    return fences


def _await_twins(
    tx: sa.Connection, now: datetime, account_id: int, twins: Mapping[int, Phase], lease: timedelta
) -> None:
    """Wait for the twin: a moment until its send is answered, or minutes until it is looked up."""
    for phase, wait in ((Phase.SUBMITTING, lease / 60), (Phase.UNCONFIRMED, lease)):
        ids = [job for job, of in twins.items() if of == phase]
        if ids:
            put_off(tx, account_id, ids, now + wait)


def put_off(tx: sa.Connection, account_id: int, ids: Collection[int], due_at: datetime) -> None:
    """queued → pending: not begun, so the account may buy as many others."""
    handed_out = (jobs.c.id.in_(ids), jobs.c.state == State.QUEUED, jobs.c.account_id == account_id)
    moved = tx.execute(sa.update(jobs).where(*handed_out).values(state=State.PENDING, due_at=due_at))
    accounts.give_back(tx, account_id, moved.rowcount)


def _admitted(tx: sa.Connection, now: datetime, account_id: int, ids: Sequence[int]) -> Sequence[Any]:
    """Lock the jobs that may still be bought: batch open (or probed while blocked), no 429 wait in force."""
    last = sa.select(sa.func.max(attempts.c.number)).where(attempts.c.job_id == jobs.c.id).scalar_subquery()
    open_or_probed = (batches.c.state == BatchState.OPEN) | (batches.c.pause_reason == PauseReason.BLOCKED)
    return tx.execute(
        sa.select(
            jobs.c.id, jobs.c.key, jobs.c.version, jobs.c.image, jobs.c.input, jobs.c.crashes, last.label("last"),
            jobs.c.batch_id, batches.c.name.label("batch"), batches.c.options,
        )
        .join(batches, batches.c.id == jobs.c.batch_id)
        .join(buyers, buyers.c.api == batches.c.api)
        .where(
            jobs.c.id.in_(ids),
            jobs.c.state == State.QUEUED,
            jobs.c.account_id == account_id,
            jobs.c.cancel_requested_at.is_(None),
            open_or_probed,
            buyers.c.id == account_id,
            buyers.c.not_before.is_(None) | (buyers.c.not_before <= now),
        )
        .with_for_update(of=jobs)
    ).all()  # fmt: skip


def _unsettled(tx: sa.Connection, account_id: int, digests: Collection[str]) -> dict[str, Phase]:
    rows = tx.execute(
        sa.select(attempts.c.input_digest, attempts.c.phase).where(
            attempts.c.account_id == account_id,
            attempts.c.input_digest.in_(set(digests)),
            sa.text(UNSETTLED),
        )
    )
    return {row.input_digest: Phase(row.phase) for row in rows}


def _submission(fence: Fence, row: Any) -> Submission:
    return Submission(
        fence=fence,
        batch=row.batch_id,
        name=f"{row.batch}/{row.key}",
        version=row.version,
        image=row.image,
        images_root=row.options["images_root"],
        input=row.input,
        suspect=row.crashes > 0,
    )
