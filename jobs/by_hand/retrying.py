"""Running jobs again at a person's request: which jobs, and how they become pending. Buys nothing.

`failures` says what helps against each failure class, `retry` when a failed attempt is repeated by itself.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from jobs import batches, database, errors, events, failures, figures, lifecycle
from jobs.by_hand.changes import Change
from jobs.selecting import globs, selection
from jobs.selecting.selection import Selection
from jobs.states import FINAL, State
from jobs.tables import jobs

PLAIN = tuple(
    str(error_class)
    for error_class in failures.FailureClass
    if failures.advice(error_class).remedy in failures.RETRIED_PLAINLY
)


def wanted(typed: Selection) -> Selection:
    """Return what a person means: without filters, the failures of the classes that a plain retry takes.

    With filters, exactly what they choose among the failed, except jobs whose rows were refused. Succeeded or
    cancelled jobs are bought again only if chosen by state, by their full keys, or because an image is missing.
    """
    if wrong := set(typed.states) - FINAL:
        raise errors.Mistake(f"a job that is {min(wrong)} is under way already; retry takes ended ones")
    if typed.chooses_all:
        return replace(typed, states=(State.FAILED,), classes=PLAIN)
    typed = replace(typed, accepted=True)
    if typed.states or typed.missing:
        return typed
    named = typed.keys and all(globs.literal(key) is not None for key in typed.keys)
    return replace(typed, states=tuple(sorted(FINAL)) if named else (State.FAILED,))


def retry(
    db: database.Database, batch: batches.Batch, chosen: Selection, ids: "array[int]", change: Change
) -> int:
    """Make the chosen jobs pending, a chunk per transaction; return how many. One that moved on is left alone."""
    count = 0
    for chunk in selection.chunks(ids):
        with db.write() as tx:
            batches.refuse_cancelled(batches.locked(tx, batch.id))
            count += _retry_some(tx, batch, chosen, chunk, change)
    if count:
        with db.write() as tx:
            events.record(
                tx, database.now(tx), batch.id, events.EventKind.RETRIED, figures.counted(count, "job")
            )
    return count


def _retry_some(
    tx: sa.Connection, batch: batches.Batch, chosen: Selection, ids: Sequence[int], change: Change
) -> int:
    """Select again under lock: of two people who retry at once, the second finds nothing left to do."""
    query = sa.select(jobs.c.id, jobs.c.key, jobs.c.input, jobs.c.own_seed).where(
        jobs.c.id.in_(ids), jobs.c.state.in_(FINAL), *chosen.conditions(tx.dialect.name)
    )
    rows: list[sa.Row[Any]] = list(tx.execute(query.with_for_update()))
    if change:
        _change(tx, batch, rows, change)
    return lifecycle.retry(tx, database.now(tx), [row.id for row in rows])


def _change(tx: sa.Connection, batch: batches.Batch, rows: Sequence[sa.Row[Any]], change: Change) -> None:
    sent = lifecycle.sent(tx, [row.id for row in rows])
    changed: dict[bool, dict[int, dict[str, Any]]] = {True: {}, False: {}}
    for row in rows:
        wanted_now = change.applied(
            row.input, sent.get(row.id, ()), own_seed=row.own_seed, batch_uuid=batch.uuid, key=row.key
        )
        changed[change.owns_seed(row.own_seed)][row.id] = wanted_now
    for own_seed, inputs in changed.items():
        lifecycle.change_input(tx, inputs, own_seed=own_seed)


def in_doubt(tx: sa.Connection, ids: "array[int]") -> int:
    """Count the jobs that failed because nobody could tell whether they were bought."""
    unconfirmed = jobs.c.error_class == failures.FailureClass.UNCONFIRMED
    query = sa.select(sa.func.count()).select_from(jobs)
    return sum(
        tx.execute(query.where(jobs.c.id.in_(chunk), unconfirmed)).scalar_one()
        for chunk in selection.chunks(ids)
    )


def unnamed(tx: sa.Connection, batch: batches.Batch, typed: Selection) -> dict[State, int]:
    """Count the jobs that the filters fit and that are bought again only if they are named, by their states."""
    if typed.chooses_all or wanted(typed).states == typed.states:
        return {}
    others = (
        jobs.c.state.in_([State.SUCCEEDED, State.CANCELLED]),
        *typed.conditions(tx.dialect.name, batch.id),
    )
    query = sa.select(jobs.c.state, sa.func.count()).where(*others, lifecycle.ACCEPTED)
    return {State(state): n for state, n in tx.execute(query.group_by(jobs.c.state).order_by(jobs.c.state))}


def left_out(tx: sa.Connection, batch: batches.Batch) -> list[tuple[str, int]]:
    """Return the failure classes that a plain retry leaves out, with their counts but for refused rows."""
    failed = (jobs.c.state == State.FAILED, jobs.c.error_class.not_in(PLAIN), lifecycle.ACCEPTED)
    query = (
        sa.select(jobs.c.error_class, sa.func.count())
        .where(jobs.c.batch_id == batch.id, *failed)
        .group_by(jobs.c.error_class)
        .order_by(sa.func.count().desc(), jobs.c.error_class)
    )
    return [(error_class, n) for error_class, n in tx.execute(query)]
