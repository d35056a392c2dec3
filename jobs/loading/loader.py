"""From a validated manifest to jobs in the database; loading again, or resuming after a kill, writes the difference.

All transactions are short: while a million rows load, `status` answers and runs of other batches go on. The
batch is `loading`, and nothing of it can be bought, until its last row is in.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from jobs import batches, crashpoints, events, lifecycle, marker, names
from jobs.batches import Batch
from jobs.crashpoints import Place
from jobs.database import Database, now
from jobs.events import EventKind
from jobs.failures import FailureClass
from jobs.loading import counterparts, difference, targets
from jobs.loading.difference import Difference
from jobs.loading.targets import Target
from jobs.manifest import rows, schema, validated
from jobs.states import BatchState

_MOST_ROWS = 5_000
_PIECE = 1_000
# After this a transaction takes no further piece; the last piece and the commit should end by 0.2 s.
_MOST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of loading. ``kept`` of the edited rows left their jobs as they were bought; ``kept_key`` is one."""

    batch: Batch
    difference: Difference
    updated: int
    kept: int
    kept_key: str | None


def load(database: Database, read: validated.Validated, target: Target, found: Difference) -> Loaded:
    """Write a manifest's rows as jobs; ``found`` is what `difference.compare` has just returned for them.

    After a kill at any moment the same call continues; two at once lead to the same result.
    """
    batch = _batch(database, read, target)
    own = batch.is_of(targets.path_of(read.path), read.sha256)
    writing = _Writing(database, batch, found, target.update, own=own)
    if found.new or found.changed:
        for chunk in read.rows(_MOST_ROWS):
            writing.write(chunk)
    for start in range(0, len(found.dropped), _PIECE):
        with database.write() as tx:
            lifecycle.forget(tx, batch.id, found.dropped[start : start + _PIECE])
    crashpoints.reach(Place.BEFORE_BATCH_READY)
    batch = _finish(database, batch, read, target, found)
    kept, kept_key = writing.kept or found.kept, writing.kept_key or found.kept_key
    return Loaded(batch, found, writing.updated, kept, kept_key)


def _batch(database: Database, read: validated.Validated, target: Target) -> Batch:
    """Return the batch, creating it if needed."""
    try:
        return _found_or_made(database, read, target)
    except sa.exc.IntegrityError:
        # Another load took the name or the folder between our read and our write.
        return _found_or_made(database, read, target)


def _found_or_made(database: Database, read: validated.Validated, target: Target) -> Batch:
    with database.write() as tx:
        if (batch := targets.find(tx, read, target)) is not None:
            return batch
        return batches.create(
            tx,
            now(tx),
            name=target.name,
            folder=names.folder(target.name, {other.folder for other in batches.every(tx)}),
            api=target.api,
            account=target.account,
            options=_options(read, target),
            manifest_path=targets.path_of(read.path),
            manifest_sha256=read.sha256,
        )


def _options(read: validated.Validated, target: Target) -> dict[str, Any]:
    return {
        "adaptation": rows.STORED.dump_python(target.adaptation, mode="json"),
        "images_root": targets.root_of(read),
        "beside": read.beside,
        "when_unconfirmed": target.when_unconfirmed,
    }


class _Writing:
    """The second pass: chunks written in short transactions, each of which checks again what is there."""

    def __init__(
        self, database: Database, batch: Batch, found: Difference, update: bool, *, own: bool
    ) -> None:
        self._database = database
        self._batch = batch
        self._all_new = not (found.there or found.changed or found.kept)
        self._update = update
        self._own = own  # the batch's own manifest: no other has its lines
        self._uuid = batch.uuid
        self._version = schema.load().version
        self._seeds = "seed" in schema.load().inputs
        self.updated = 0
        self.kept = 0
        self.kept_key: str | None = None

    def write(self, chunk: Sequence[rows.Row]) -> None:
        # Built outside the transaction, so that other writers get their turn.
        wanted = [self._wanted(row) for row in chunk]
        while wanted:
            with self._database.write() as tx:
                done = self._write_some(tx, wanted)
            crashpoints.reach(Place.AFTER_CHUNK_COMMIT)
            del wanted[:done]

    def _wanted(self, row: rows.Row) -> lifecycle.Wanted:
        own_seed = self._seeds and not row.seeded
        return lifecycle.Wanted(
            key=row.key,
            stem=row.stem,
            row=row.row if self._own else None,
            row_digest=difference.digest(row),
            image=row.image,
            input_json=_with_seed(row.input_json, marker.seed(self._uuid, row.key))
            if own_seed
            else row.input_json,
            version=row.version or self._version,
            own_seed=own_seed,
            labels_json=row.labels_json,
            priority=row.priority,
            problem=row.problem,
            error_class=FailureClass.INPUT_UNREADABLE if row.unusable else FailureClass.INVALID_INPUT,
        )

    def _write_some(self, tx: sa.Connection, wanted: Sequence[lifecycle.Wanted]) -> int:
        """Write rows from the front for as long as a transaction may take; return how many."""
        # One load of the batch writes at a time, and none while it is cancelled.
        batches.refuse_cancelled(batches.locked(tx, self._batch.id))
        moment, end, done = now(tx), time.monotonic() + _MOST_SECONDS, 0
        while done < len(wanted) and (not done or time.monotonic() < end):
            piece = wanted[done : done + _PIECE]
            self._write_piece(tx, moment, piece)
            done += len(piece)
        return done

    def _write_piece(self, tx: sa.Connection, moment: datetime, piece: Sequence[lifecycle.Wanted]) -> None:
        if self._all_new:
            try:
                with tx.begin_nested():
                    lifecycle.add(tx, moment, self._batch.id, piece)
                    return
            except sa.exc.IntegrityError:
                self._all_new = False  # another load of the batch was quicker
        there = counterparts.of(tx, self._batch.id, [one.key for one in piece])
        lifecycle.add(tx, moment, self._batch.id, [one for one in piece if one.key not in there])
        changed = [one for one in piece if one.key in there and there[one.key].row_digest != one.row_digest]
        if self._update:
            self._replace(tx, moment, changed)

    def _replace(self, tx: sa.Connection, moment: datetime, changed: Sequence[lifecycle.Wanted]) -> None:
        won = lifecycle.replace_input(tx, moment, self._batch.id, changed)
        self.updated += len(won)
        for one in changed:
            if one.key not in won:
                self.kept += 1
                self.kept_key = self.kept_key or one.key


def _with_seed(input_json: str, seed: int) -> str:
    """Add a seed to a JSON object that has none.

    >>> _with_seed('{"prompt":"a fox"}', 7), _with_seed("{}", 7)
    ('{"prompt":"a fox","seed":7}', '{"seed":7}')
    """
    return f'{input_json[:-1]}{"" if input_json == "{}" else ","}"seed":{seed}}}'


def _finish(
    database: Database, batch: Batch, read: validated.Validated, target: Target, found: Difference
) -> Batch:
    path = targets.path_of(read.path)
    changed: dict[str, Any] = {}
    options: dict[str, Any] = {"when_unconfirmed": target.when_unconfirmed}
    if batch.is_of(path, read.sha256):
        changed = {"manifest_path": path, "manifest_sha256": read.sha256}
        options = _options(read, target)
    with database.write() as tx:
        # As they are now: a run may have kept its output folder meanwhile.
        kept = batches.locked(tx, batch.id).options
        batches.loaded(tx, batch.id, **changed, options={**kept, **options})
        if found.new or found.changed or found.dropped:
            kind = EventKind.UPDATED if found.changed or found.dropped else EventKind.LOADED
            events.record(tx, now(tx), batch.id, kind, found.line())
        return batches.get(tx, batch.id)


def choose(database: Database, batch_id: int, when_unconfirmed: str) -> bool:
    """Set what a batch does about lost answers; False if that changes nothing or the batch is not fully loaded."""
    with database.write() as tx:
        batch = batches.get(tx, batch_id)
        kept = {**batch.options, "when_unconfirmed": when_unconfirmed}
        if batch.state is BatchState.LOADING or kept == batch.options:
            return False
        batches.loaded(tx, batch_id, options=kept)
        return True
