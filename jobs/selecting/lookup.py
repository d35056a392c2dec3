"""What a person means by a name: a batch, or one job by its key, its prediction or one of its pictures.

`selection` chooses many jobs at once.
"""

import difflib
import os
from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa

from jobs import batches, commands, errors, names
from jobs.states import BatchState
from jobs.tables import attempts, jobs, outputs

# Keys on each side of the one looked for: difflib over a million keys would take minutes.
_NEIGHBOURS = 50
_LISTED = 5


def batch(tx: sa.Connection, name: str) -> batches.Batch:
    """Return the batch of that name; Mistake says which names are similar."""
    found = batches.find(tx, name)
    if found is None:
        raise errors.Mistake(f'there is no batch "{name}"{_instead(tx, name)}')
    return found


def begun(
    tx: sa.Connection, template: str, *, api: str, manifest_path: str | None, manifest_sha256: str
) -> batches.Batch | None:
    """Return the latest unfinished batch that a dated name gave for exactly the same manifest.

    A run that is interrupted before midnight must not be bought again after it.
    """
    for one in reversed(batches.every(tx)):
        unedited = one.manifest_sha256 == manifest_sha256 and one.is_of(manifest_path, manifest_sha256)
        if one.api == api and unedited and names.may_give(template, one.name) and _goes_on(tx, one):
            return one
    return None


def _goes_on(tx: sa.Connection, one: batches.Batch) -> bool:
    return one.state is not BatchState.CANCELLED and not batches.has_ended(tx, one)


def job(tx: sa.Connection, what: str, roots: Collection[Path], flags: str) -> int:
    """Return the id of the job meant by BATCH/KEY, a prediction's id, or the path of a picture.

    A path may be absolute, or relative to the current folder or to one of ``roots``, the output folders. ``flags``
    are options that the next typed command needs.
    """
    for found in (_by_key(tx, what), _by_prediction(tx, what), _by_picture(tx, what, roots)):
        if found is not None:
            return found
    raise _unknown(tx, what, flags)


def _by_key(tx: sa.Connection, what: str) -> int | None:
    name, slash, key = what.partition("/")
    named = batches.find(tx, name) if slash else None
    if named is None:
        return None
    return tx.execute(
        sa.select(jobs.c.id).where(jobs.c.batch_id == named.id, jobs.c.key == key)
    ).scalar_one_or_none()


def _by_prediction(tx: sa.Connection, what: str) -> int | None:
    return tx.execute(
        sa.select(attempts.c.job_id).where(attempts.c.prediction_id == what)
    ).scalar_one_or_none()


def _by_picture(tx: sa.Connection, what: str, roots: Collection[Path]) -> int | None:
    return tx.execute(
        sa.select(outputs.c.job_id).where(outputs.c.path.in_(_below(what, roots))).limit(1)
    ).scalar_one_or_none()


def _below(what: str, outputs: Collection[Path]) -> list[str]:
    """Return the forms in which `outputs` may store a path. The file itself need not exist any more."""
    roots = {*outputs, *(Path(os.path.realpath(output)) for output in outputs)}
    typed = {Path(os.path.normpath(start / what)) for start in (Path.cwd(), *outputs)}
    candidates = typed | {Path(os.path.realpath(path.parent)) / path.name for path in typed}
    return sorted(
        path.relative_to(root).as_posix()
        for path in candidates
        for root in roots
        if path.is_relative_to(root)
    )


def _unknown(tx: sa.Connection, what: str, flags: str) -> errors.Mistake:
    name, slash, key = what.partition("/")
    if not slash and batches.find(tx, name):
        return errors.Mistake(
            f'"{what}" is a batch: `{commands.line(flags, "status", name)}` says how far it is; '
            "a job is written BATCH/KEY"
        )
    if not slash:
        return errors.Mistake(
            f'"{what}" is no prediction and no picture of ours; a job is written BATCH/KEY, '
            f"and `{commands.line(flags, 'jobs')}` lists them"
        )
    named = batches.find(tx, name)
    if named is None:
        return errors.Mistake(f'"{what}" is no picture of ours, and no batch is "{name}"{_instead(tx, name)}')
    beside = _keys_beside(tx, named.id, key)
    begun = [
        one for one in beside if one.startswith(key)
    ]  # a picture's own key ends in digits that nobody types
    near = begun or difflib.get_close_matches(key, beside, n=1, cutoff=0.5)
    return errors.Mistake(
        f'batch {name} has no job "{key}"' + (f"; did you mean {name}/{near[0]}?" if near else "")
    )


def _keys_beside(tx: sa.Connection, batch_id: int, key: str) -> list[str]:
    """Return the neighbours of a key in the database's order, which the index gives for free."""
    of_batch = sa.select(jobs.c.key).where(jobs.c.batch_id == batch_id)
    after = of_batch.where(jobs.c.key >= key).order_by(jobs.c.key).limit(_NEIGHBOURS)
    before = of_batch.where(jobs.c.key < key).order_by(jobs.c.key.desc()).limit(_NEIGHBOURS)
    return [*tx.execute(before).scalars(), *tx.execute(after).scalars()]


def _instead(tx: sa.Connection, name: str) -> str:
    """Return the end of a sentence that offers what exists."""
    there = [other.name for other in batches.every(tx)]
    near = difflib.get_close_matches(name, there, n=3)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    if not there:
        return "; there is none yet"
    others = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
    return f"; there is {', '.join(there[-_LISTED:])}{others}"
