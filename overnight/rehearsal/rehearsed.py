"""One rehearsal, from the manifest to its figures: the same night as `night`'s, but faster, and with other output."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs import figures
from jobs.database import Database
from jobs.loading.difference import Difference
from jobs.loading.targets import Target
from jobs.manifest.validated import Validated
from jobs.reports import results, status
from jobs.reports.results import Harvest
from jobs.reports.status import Progress
from jobs.settings import Settings, written
from overnight import opened
from overnight.display import summary
from overnight.exits import Exit
from overnight.rehearsal import compression
from overnight.rehearsal.foretold import Foretold
from overnight.run import child
from overnight.run import night as nights
from overnight.run.signals import Signals
from overnight.run.watch import End


@dataclass(kw_only=True)
class _Rehearsal(nights.Night):
    """A night that asks nothing, since it buys nothing, and leaves it to the caller to print its figures.

    It ends after ``within`` seconds, finished or not, and does not wait for what is in flight.
    """

    within: float
    is_late: bool = False

    def _agree(
        self,
        db: Database | None,  # noqa: ARG002  the base class's signature
        read: Validated,
        target: Target,  # noqa: ARG002  the base class's signature
        found: Difference,
    ) -> None:
        self._say(*(f"warning: {line}" for line in read.warnings.lines()))
        faster = 1 / self.settings.time_scale
        most = f"for {written.as_duration(self.within)} at most"
        self._say(
            f"rehearsing {figures.counted(found.jobs, 'job')}, {faster:.3g} times as fast as real time, {most}"
        )
        self._planned = True

    def _found(self, name: str, given: Mapping[str, Any]) -> str:
        """Say that there is no such file: there is no batch that could be meant."""
        return self._loaded(name, given)

    def _work(self, *given: Any) -> End:
        bell = threading.Timer(self.within, self._ring)
        bell.daemon = True
        bell.start()
        try:
            return super()._work(*given)
        finally:
            bell.cancel()

    def _ring(self) -> None:
        self.is_late = self.signals.stop = True

    def _tell(self, progress: Progress, harvest: Harvest) -> None:
        """Say nothing: the summary's commands would need a database that is about to be removed."""


def night(
    settings: Settings,
    manifest: str,
    given: Mapping[str, Any],
    *,
    profile: str,
    seed: int,
    within: float,
    quiet: bool,
) -> tuple[Exit, Foretold]:
    """Rehearse a night, or the beginning of one; return its exit code and its figures."""
    state = settings.output.parent / "sandbox"
    chosen = compression.sandbox(settings)
    with (
        child.sandbox(state, profile=profile, seed=seed, **chosen) as url,
        Signals(patient=False) as signals,
    ):
        served = compression.compressed(settings).at(url)
        rehearsal = _Rehearsal(settings=served, signals=signals, quiet=quiet, yes=True, within=within)
        code = rehearsal.run(manifest, given)
        foretold = _foretold(settings, child.stats(url), within if rehearsal.is_late else None)
        if rehearsal.is_late and code is Exit.INTERRUPTED:
            code = summary.exit_code(foretold.progress)
        return code, foretold


def _foretold(settings: Settings, counted: Mapping[str, Any], ended_after: float | None) -> Foretold:
    with opened.database(settings) as db, db.read() as tx:
        (only,) = status.overview(tx)
        return Foretold(
            progress=status.progress(tx, only.batch.id),
            harvest=results.harvest(tx, only.batch.id),
            accepted=counted["accepted"],
            throttled=counted["throttled"],
            peak=counted["peak_in_flight"],
            factor=compression.factor(settings),
            price=settings.price,
            ended_after=ended_after,
        )
