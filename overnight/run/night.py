"""One `run`, step by step, from its first look at the manifest to the summary."""

import stat
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from jobs import accounts, batches, commands, database, errors, events, figures, purchases
from jobs.batches import Batch, PauseReason
from jobs.database import Database
from jobs.events import EventKind
from jobs.loading import loader
from jobs.loading.difference import Difference
from jobs.loading.targets import Target
from jobs.manifest import source
from jobs.manifest.validated import Validated
from jobs.reports import limits, results, status
from jobs.reports.results import Harvest
from jobs.reports.status import Progress
from jobs.selecting import lookup
from jobs.settings import Settings, buyers, cautions, folders
from jobs.states import BatchState
from migrations import schema
from overnight import consent, flags, manifests, opened
from overnight.display import bar, data, plain, planning, summary, words
from overnight.exits import Exit
from overnight.run import child
from overnight.run.embedded import Embedded
from overnight.run.lock import Lock, is_free
from overnight.run.signals import Signals
from overnight.run.surroundings import Surroundings
from overnight.run.watch import End, Watch
from worker.transfers import folder


@dataclass
class Night:
    """A run with its settings."""

    settings: Settings
    signals: Signals
    quiet: bool
    yes: bool
    as_json: bool = False
    _planned: bool = False  # whether the plan was printed and agreed to
    _flags: str = field(init=False)
    _surroundings: Surroundings = field(init=False)

    def __post_init__(self) -> None:
        self._flags = flags.typed(self.settings)
        self._surroundings = Surroundings(self.settings)

    def run(self, what: str, given: Mapping[str, Any]) -> Exit:
        """Load if there is something to load, then go on with the batch."""
        name = self._loaded(what, given) if _is_manifest(what) else self._found(what, given)
        with opened.database(self.settings) as db:
            return self._go_on(db, manifests.named(db, name, self.settings))

    def _loaded(self, manifest: str, given: Mapping[str, Any]) -> str:
        loaded = manifests.loaded(self.settings, manifest, manifests.Asked(**given), self._agree)
        self._planned = loaded.difference.asks
        self._say(*planning.after(self.settings, loaded))
        return loaded.batch.name

    def _agree(self, db: Database | None, read: Validated, target: Target, found: Difference) -> None:
        """Print the plan; raise before anything is loaded if it cannot be carried out, or if a person declines."""
        self._go_to(target.api, target.output)
        self._say(*planning.dated(target))
        if not found.asks:
            self._say(*(f"warning: {line}" for line in read.warnings.lines()))
            return
        if self._is_halted(db, target):
            return
        self._surroundings.require_token(target.account)
        self._say(*planning.before(self.settings, db, read, target, found).lines())
        self._ask(found.jobs, found.unagreed)
        self._surroundings.require(db, target.account)

    def _is_halted(self, db: Database | None, target: Target) -> bool:
        """Whether the batch buys nothing more, so that no plan is due; raises the reason if nothing is in flight."""
        with db.read() if db else nullcontext() as tx:
            batch = tx and batches.find(tx, target.name)
        if not (db and batch and (refusal := self._refusal(batch))):
            return False
        if not _progress(db, batch).counts.under_way:
            raise refusal
        return True

    def _ask(self, jobs: int, unagreed: int) -> None:
        """Ask before a large purchase; the jobs that were there when the batch was begun are agreed to already."""
        more = f"Buy {unagreed:,} more predictions, {jobs:,} with those already agreed to?"
        question = f"Buy {jobs:,} predictions?" if jobs == unagreed else more
        consent.ask_if_many(unagreed, question, yes=self.yes)

    def _found(self, name: str, given: Mapping[str, Any]) -> str:
        """Refuse a name that is neither a file nor a batch, and options that only apply to a manifest."""
        if typed := [option for option, value in given.items() if value or value == ""]:
            raise click.UsageError(
                f"{_option(typed[0])} only goes with a manifest; {name} is not a file here."
            )
        try:
            with opened.database(self.settings) as db, db.read() as tx:
                batch = lookup.batch(tx, name)
        except errors.Mistake as error:
            raise errors.Mistake(f'"{name}" is not a file here, and {error}') from error
        self._go_to(batch.api, batch.output)
        self._say(*cautions.of(self.settings))
        return name

    def _go_to(self, api: str, output: str | None) -> None:
        """Buy from the API that the batch was loaded for, if some account is there, and store where its images are."""
        self.settings = folders.at_batch(buyers.for_api(self.settings, api), output)
        self._surroundings = Surroundings(self.settings)

    def _go_on(self, db: Database, batch: Batch) -> Exit:
        """Work or watch to the end, then sum up; raise if a person stopped the batch and nothing of it is under way."""
        progress = _progress(db, batch)
        if progress.finished and batch.state is not BatchState.CANCELLED:
            return self._sum_up(db, batch, End.FINISHED)
        if (refusal := self._refusal(batch)) and not progress.counts.under_way:
            raise refusal
        self._surroundings.require(db, batch.account)
        self._choose(db, batch)
        if refusal is None:
            self._begin(db, batch)
        return self._sum_up(db, batch, self._follow(db, batch))

    def _choose(self, db: Database, batch: Batch) -> None:
        """Keep a typed `--when-unconfirmed` with the batch: whoever works on it reads it there."""
        typed = flags.when_unconfirmed()
        if typed and loader.choose(db, batch.id, self.settings.when_unconfirmed):
            self._say(f"{batch.name}: --when-unconfirmed {typed} from now on")

    def _begin(self, db: Database, batch: Batch) -> None:
        """Say how much is left to buy, and ask, unless the plan did."""
        with db.read() as tx:
            left = purchases.left(tx, batch)
        if left.jobs and not self._planned:
            self._say(*planning.going_on(self.settings, db, batch, left).brief())
            self._ask(left.jobs, left.unagreed)

    def _refusal(self, batch: Batch) -> errors.OvernightError | None:
        """Return why only a person can let the batch buy again, if so; `run` lifts any other pause."""
        try:
            batches.refuse_cancelled(batch)
        except errors.Mistake as cancelled:
            return cancelled
        if batch.state is BatchState.PAUSED and batch.pause_reason is PauseReason.PERSON:
            again = commands.line(self._flags, "resume", batch.name)
            return errors.Halted(f"batch {batch.name} was paused by hand; type: {again}")
        return None

    def _follow(self, db: Database, batch: Batch) -> End:
        shown = bar.choose(quiet=self.quiet)
        self.signals.on_hangup = shown.go_silent
        with self.signals.heed(), shown:
            watch = Watch(db, self.settings, batch, shown, self.signals, self._flags)
            if db.path is None:
                self._open(db, batch)
                return watch.until_the_end()
            with Lock(db.path) as lock:
                if (end := self._await_turn(watch, lock)) is not End.FREE:
                    return end
                schema.require(db, self._flags)  # `db upgrade` may have had the lock before
                return self._work(db, batch, watch, db.path.parent)

    def _await_turn(self, watch: Watch, lock: Lock) -> End:
        """Take the lock; watch as long as another process has it."""
        if lock.take(watch.batch.name):
            return End.FREE
        self._say(f"another overnight, process {lock.holder()[0]}, is working on {watch.db.path}: watching")
        watch.lock = lock
        end = watch.until_the_end()
        watch.lock = None
        if end is End.FREE:
            self._say("it has ended: going on here")
        return end

    def _work(self, db: Database, batch: Batch, watch: Watch, home: Path) -> End:
        with child.served(self.settings, home) as served:
            engine = Embedded(served, db, batch.id)
            try:
                with db.write() as tx:
                    mount = folder.mount_to_keep(self.settings.output)
                    batches.stores(tx, batch.id, folders.to_keep(self.settings), mount)
                self._open(db, batch)
                if doubtful := engine.start():
                    self._say(f"{figures.counted(doubtful, 'send')} of an earlier run to be looked up")
                watch.engine = engine
                return watch.until_the_end()
            finally:
                engine.close()

    def _open(self, db: Database, batch: Batch) -> None:
        """Open the batch, unless a person paused or cancelled it; a blocked account is tried at once."""
        with db.write() as tx:
            now, current = database.now(tx), batches.get(tx, batch.id)
            if self._refusal(current):
                return
            batches.open_(tx, now, current)
            events.record(tx, now, current.id, EventKind.STARTED, "")
            accounts.probe_now(tx, now, self.settings.api.identity)

    def _sum_up(self, db: Database, batch: Batch, end: End) -> Exit:
        with db.read() as tx:
            progress = status.progress(tx, batch.id)
            harvest = results.harvest(tx, batch.id)
        self._tell(progress, harvest)
        if end is End.INTERRUPTED:
            return Exit.INTERRUPTED
        # As it was at the start: one that was cancelled since then has ended as the summary says.
        batches.refuse_cancelled(batch)
        return summary.exit_code(progress)

    def _tell(self, progress: Progress, harvest: Harvest) -> None:
        try:
            if self.as_json:
                path = self.settings.database_path
                alone = path is not None and is_free(path)
                limit = limits.current(progress, self.settings, self._flags, alone=alone)
                detail = plain.detail(progress, harvest, limit, self.settings, self._flags)
                data.document(detail)
            else:
                summary.tell(progress, harvest, self.settings, flags=self._flags, quiet=self.quiet)
        except OSError:  # the terminal or the reader is gone; the exit code still says how it ended
            self.signals.go_unseen()

    def _say(self, *lines: str) -> None:
        if not self.quiet:
            for line in lines:
                words.say(line)


def _is_manifest(what: str) -> bool:
    """Whether a word names a file; a folder does not count, since it may well have a batch's name."""
    if what == source.STDIN:
        return True
    try:
        return not stat.S_ISDIR(Path(what).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):  # name too long, or folder closed to us: the reading says which
        return True


def _option(name: str) -> str:
    """Return an option as it is typed, given its parameter's name."""
    parameters = click.get_current_context().command.params
    return next(parameter.opts[0] for parameter in parameters if parameter.name == name)


def _progress(db: Database, batch: Batch) -> Progress:
    with db.read() as tx:
        return status.progress(tx, batch.id)
