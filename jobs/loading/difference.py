"""What a manifest would change in its batch, and whether an edit may. Reads only.

Rows are compared by key and digest, a chunk at a time: a million rows need no more memory than a thousand.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from jobs import batches, errors, lifecycle, purchases
from jobs.batches import Batch
from jobs.database import Database
from jobs.loading import counterparts, targets
from jobs.loading.targets import Target
from jobs.manifest import rows, validated
from jobs.states import State
from jobs.tables import jobs

_CHUNK = 1_000
# Neither an update changes such a job, nor is anything bought by loading without one, so its edited row stops nothing.
_BOUGHT = frozenset({State.RUNNING, State.COLLECTING, State.SUCCEEDED})
_NAMED = 3  # most jobs that a printed command names by their keys


@dataclass(slots=True, kw_only=True)
class Difference:
    """How many rows are new, already there, edited and no longer listed; and how much is still to buy.

    ``new + there + changed + kept`` is the number of rows; ``kept`` of them differ from what was bought, which stays,
    and ``kept_key`` is one of these. ``broken`` of the new ones have a mistake and become
    failed jobs, ``unusable`` of them only because of their picture. ``jobs`` and ``images`` count what a run
    would buy once the rows are loaded, as `purchases` counts it, and ``pictures`` how those that have a row travel.
    Of these jobs nobody has approved ``unagreed`` yet, and ``unlisted`` have no row among those read;
    ``unlisted_keys`` names the latter if they are few enough to type. ``dropped`` names the jobs that an update drops:
    their rows were refused and are gone.
    """

    new: int = 0
    broken: int = 0
    unusable: int = 0
    there: int = 0
    changed: int = 0
    kept: int = 0
    kept_key: str | None = None
    gone: int = 0
    jobs: int = 0
    images: int = 0
    pictures: Counter[str | None] = field(default_factory=Counter)
    unagreed: int = 0
    unlisted: int = 0
    unlisted_keys: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether there are rows or jobs that nobody has agreed to yet, so that a plan should show them."""
        return bool(self.new or self.changed or self.unagreed)

    def line(self) -> str:
        """Return the counts as a person reads them.

        >>> Difference(new=3, there=96, gone=1, changed=2, kept=1).line()
        '3 new, 96 there, 1 no longer listed, 2 changed, 1 left as bought'
        """
        others = {"there": self.there, "no longer listed": self.gone, "changed": self.changed}
        others["left as bought"] = self.kept
        others["dropped, refused before"] = len(self.dropped)
        return ", ".join([f"{self.new:,} new", *(f"{n:,} {what}" for what, n in others.items() if n)])


def compare(database: Database | None, read: validated.Validated, target: Target) -> Difference:
    """Return what loading would change, or raise the `errors.Mistake` it would. Without a database all is new."""
    batch = None
    if database is not None:
        with database.read() as tx:
            batch = targets.find(tx, read, target)
    unusable = _blame(database, batch, read)
    read.raise_if_any()
    if database is None or batch is None:
        sound = read.count - read.failed
        found = Difference(
            new=read.count,
            broken=read.failed,
            jobs=sound,
            images=read.outputs,
            unagreed=sound,
            pictures=Counter(read.images),
        )
    else:
        with database.read() as tx:
            left = purchases.left(tx, batch)
        found = _Comparison(database, batch, read, target, left).difference()
    found.unusable = unusable
    return found


def _blame(database: Database | None, batch: Batch | None, read: validated.Validated) -> int:
    """Tell of the pictures that cannot be used, but would have to be sent; return how many are of new rows.

    That their whole folder is missing stops everything, as it is hardly a mistake of single rows.
    """
    new, needed = 0, batch is None
    for chunk in read.unusable(_CHUNK):
        there = _there(database, batch, chunk)
        for row in chunk:
            job = there.get(row.key)
            new += job is None
            if job is None or _is_to_be_sent(row, job):
                needed = True
                read.blame(row)
    if needed and read.no_folder:
        read.problems.add(read.no_folder)
    return new


def _there(
    database: Database | None, batch: Batch | None, chunk: Sequence[rows.Row]
) -> dict[str, counterparts.Counterpart]:
    if database is None or batch is None:
        return {}
    with database.read() as tx:
        return counterparts.of(tx, batch.id, [row.key for row in chunk])


def _is_to_be_sent(row: rows.Row, job: counterparts.Counterpart) -> bool:
    """Whether a job's picture is needed: not once it is bought, nor when it has ended, unless an edit revives it."""
    edited = job.row_digest != digest(row)
    return job.state in purchases.WANTED or (edited and job.state == State.FAILED)


def digest(row: rows.Row) -> str:
    """Return a digest that changes when the row is edited; the row's own digest leaves out broken cells.

    A picture that cannot be used leaves out none: the job is what the row says, and may be retried.
    """
    return f"{row.digest}{lifecycle.REFUSED}" if _is_refused(row) else row.digest


def _is_refused(row: rows.Row) -> bool:
    return row.problem is not None and row.unusable is None


@dataclass(slots=True)
class _Comparison:
    """One walk over the rows and the jobs with their keys; ``left`` is what was still to buy before."""

    database: Database
    batch: Batch
    read: validated.Validated
    target: Target
    left: purchases.Purchases
    found: Difference = field(default_factory=Difference)
    first_changed: rows.Row | None = None
    listed: int = 0  # rows whose jobs are left to buy

    def difference(self) -> Difference:
        for chunk in self.read.rows(_CHUNK):
            there = _there(self.database, self.batch, chunk)
            for row in chunk:
                self._count(row, there.get(row.key))
        if self.first_changed is not None and not self.target.update:
            raise errors.Mistake(self._edited(self.first_changed))
        if self.read.complete:
            with self.database.read() as tx:
                size = batches.size(tx, self.batch.id)
            self.found.dropped = self._dropped()
            listed = self.found.there + self.found.changed + self.found.kept
            self.found.gone = size - listed - len(self.found.dropped)
        self._add_what_is_left()
        return self.found

    def _dropped(self) -> tuple[str, ...]:
        """Return the refused jobs whose rows are gone; another manifest than the batch's own lists what it likes."""
        if not (self.target.update and self.batch.is_of(targets.path_of(self.read.path), self.read.sha256)):
            return ()
        with self.database.read() as tx:
            return tuple(self.read.unlisted(counterparts.refused(tx, self.batch.id)))

    def _count(self, row: rows.Row, job: counterparts.Counterpart | None) -> None:
        if job is None:
            self.found.new += 1
            self.found.broken += row.problem is not None
            if row.problem is None:
                self._want(row)
            return
        if job.state in purchases.WANTED:
            self.listed += 1
            self.found.pictures[row.travel] += 1
        if job.row_digest == digest(row):
            self.found.there += 1
            return
        if job.state in _BOUGHT:
            self.found.kept += 1
            self.found.kept_key = self.found.kept_key or row.key
            return
        self._note_change(row)
        if job.state == State.FAILED:
            self._want(row)
        elif job.state == State.PENDING:
            self.found.images += row.outputs - job.images

    def _want(self, row: rows.Row) -> None:
        self.found.jobs += 1
        self.found.unagreed += 1
        self.found.images += row.outputs
        self.found.pictures[row.travel] += 1

    def _add_what_is_left(self) -> None:
        """Add what the batch already has to buy; jobs whose rows are no longer listed stay wanted."""
        self.found.jobs += self.left.jobs
        self.found.images += self.left.images
        self.found.unagreed += self.left.unagreed
        # A concurrent run may have bought some since they were counted.
        self.found.unlisted = max(0, self.left.jobs - self.listed)
        if self.read.complete and 0 < self.found.unlisted <= _NAMED:
            self.found.unlisted_keys = self._unlisted_keys()

    def _unlisted_keys(self) -> tuple[str, ...]:
        wanted = sa.select(jobs.c.key).where(
            jobs.c.batch_id == self.batch.id, jobs.c.state.in_(purchases.WANTED)
        )
        with self.database.read() as tx:
            keys = tx.execute(wanted.order_by(jobs.c.id).execution_options(yield_per=_CHUNK)).scalars()
            return tuple(self.read.unlisted(keys))

    def _note_change(self, row: rows.Row) -> None:
        if _is_refused(row) and self.target.update:
            # The job would be bought as it was before the edit.
            raise errors.Mistake(f"{row.problem}; --update changes jobs to sound rows only")
        self.found.changed += 1
        self.first_changed = self.first_changed or row

    def _edited(self, first: rows.Row) -> str:
        where = self.read.beside or self.read.path or "stdin"
        edited = f"{self.found.changed:,} rows were" if self.found.changed > 1 else "this row was"
        return (
            f"{where}:{first.row}: {edited} edited since batch {self.batch.name} was loaded; "
            "add --update to change the jobs that are not bought yet, "
            "or load the manifest under another name with --batch NAME"
        )
