"""The results of jobs, streamed, one record per job or per image; and the manifest that would load them again.

`spreadsheet` and the command decide how a record is written (CSV, JSON lines).
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from jobs.database import Database
from jobs.manifest import rows, schema
from jobs.selecting import selection
from jobs.selecting.selection import Selection
from jobs.tables import attempts, batches, jobs, outputs

Record = dict[str, Any]

# The columns of a job, as the view `results` names them.
JOB = (
    "batch", "key", "row", "state", "image", "version", "priority", "attempts", "error_class", "error_message",
    "prediction_id", "predict_time", "cost", "created_at", "finished_at",
)  # fmt: skip
IMAGE = ("index", "path", "media_type", "bytes", "width", "height", "sha256")


_of_job = itemgetter(*JOB)


class Per(StrEnum):
    """What one record stands for."""

    JOB = "job"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Names:
    """The inputs and labels that some jobs have: a table needs its header before its first row."""

    inputs: tuple[str, ...]
    labels: tuple[str, ...]


# A job's columns come first, in their order.
_QUERY: sa.Select[Any] = (
    sa.select(
        batches.c.name.label("batch"), jobs.c.key, jobs.c.row, jobs.c.state, jobs.c.image, jobs.c.version,
        jobs.c.priority, jobs.c.attempts, jobs.c.error_class, jobs.c.error_message,
        attempts.c.prediction_id, attempts.c.predict_time, attempts.c.cost, jobs.c.created_at,
        jobs.c.finished_at, jobs.c.input, jobs.c.labels, jobs.c.attempt_id, jobs.c.own_seed,
        jobs.c.row_digest,
    )
    .join(batches, batches.c.id == jobs.c.batch_id)
    .outerjoin(attempts, attempts.c.id == jobs.c.attempt_id)
)  # fmt: skip


def names(db: Database, chosen: Selection, batch_id: int | None = None) -> Names:
    """Return the inputs, in the model's order, and the labels, in alphabetical order, of the chosen jobs.

    A limit is ignored: at worst a column stays empty.
    """
    with db.read() as tx:
        inputs = _members(tx, jobs.c.input, chosen, batch_id)
        labels = _members(tx, jobs.c.labels, chosen, batch_id)
    known = list(schema.load().inputs)
    ordered = sorted(inputs, key=lambda name: (known.index(name) if name in known else len(known), name))
    return Names(tuple(ordered), tuple(sorted(labels)))


def _members(tx: sa.Connection, column: sa.Column[Any], chosen: Selection, batch_id: int | None) -> set[str]:
    """Return every name in the JSON objects of the chosen rows."""
    query: sa.Select[Any]
    if tx.dialect.name == "sqlite":
        members = sa.func.json_each(column).table_valued("key", name="members")
        query = sa.select(members.c.key).select_from(sa.join(jobs, members, sa.true()))
    else:
        query = sa.select(sa.func.jsonb_object_keys(column)).select_from(jobs)
    query = query.where(*chosen.conditions(tx.dialect.name, batch_id)).distinct()
    return set(tx.execute(query).scalars())


def records(db: Database, chosen: Selection, batch_id: int | None = None, *, per: Per) -> Iterator[Record]:
    """Yield the chosen jobs, or their images on disk, as nested records.

    Only images of the current attempt are included; ``path`` is relative to OUTPUT.
    """
    for page in selection.pages(db, _QUERY, chosen, batch_id):
        images = _images(db, [row.attempt_id for row in page if row.attempt_id is not None])
        for row in page:
            of_job = images[row.attempt_id]
            record: Record = dict(zip(JOB, row, strict=False))
            record["input"], record["labels"] = row.input, row.labels
            if per is Per.JOB:
                record["images"] = of_job
                yield record
            else:
                yield from (record | image for image in of_job)


def _images(db: Database, attempt_ids: Collection[int]) -> defaultdict[int | None, list[Record]]:
    found: defaultdict[int | None, list[Record]] = defaultdict(list)
    wanted = [outputs.c[name] for name in IMAGE]
    with db.read() as tx:
        rows = tx.execute(
            sa.select(outputs.c.attempt_id, *wanted)
            .where(outputs.c.attempt_id.in_(attempt_ids), outputs.c.path.is_not(None))
            .order_by(outputs.c.attempt_id, outputs.c["index"])
        )
        for attempt_id, *values in rows.all():
            found[attempt_id].append(dict(zip(IMAGE, values, strict=True)))
    return found


def header(of: Names, *, per: Per) -> list[str]:
    """Return the columns of a table of records."""
    labels = [f"label.{name}" for name in of.labels]
    inputs = [f"input.{name}" for name in of.inputs]
    return [*JOB, *(IMAGE if per is Per.IMAGE else ("images", "path")), *inputs, *labels]


def flat(record: Record, of: Names, *, per: Per) -> list[Any]:
    """Return a record as a row under `header`; a job's has the number of its images and the path of the first."""
    images: Sequence[Record] = record.get("images", ())
    first = images[0]["path"] if images else None
    files = [record[name] for name in IMAGE] if per is Per.IMAGE else [len(images), first]
    inputs = [record["input"].get(name) for name in of.inputs]
    labels = [record["labels"].get(name) for name in of.labels]
    return [*_of_job(record), *files, *inputs, *labels]


def manifest_header(of: Names) -> list[str]:
    """Return the columns of a manifest."""
    return ["key", "image", *of.inputs, "version", "priority", *(f"label.{name}" for name in of.labels)]


def _states_version(row: sa.Row[Any], given: Mapping[str, Any]) -> bool:
    """Whether the row's digest is another than without a version; after a change of input nobody can tell."""
    texts = (row.image, given, None, row.labels, row.priority)
    return bool(rows.digest(*map(rows.written, texts)) != row.row_digest)


def manifest_rows(db: Database, chosen: Selection, batch_id: int, of: Names) -> Iterator[list[Any]]:
    """Yield the chosen jobs as rows that load again as the same jobs.

    Seeds of our own making, and the default version where the row did not state it, are left out: an unedited row
    then keeps its digest, and a reload does not count it as changed. Pictures are named as in the job, relative to
    the batch's folder of pictures; to load the manifest from elsewhere, use ``--images``.
    """
    usual = schema.load().version
    for page in selection.pages(db, _QUERY, chosen, batch_id):
        for row in page:
            given = {
                name: value for name, value in row.input.items() if not (row.own_seed and name == "seed")
            }
            yield [
                row.key,
                row.image,
                *(given.get(name) for name in of.inputs),
                None if row.version == usual and not _states_version(row, given) else row.version,
                row.priority or None,
                *(row.labels.get(name) for name in of.labels),
            ]
