"""One rehearsal, from the manifest to its figures: the night is `night`'s, only faster, and its summary another."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobs.database import Database
from jobs.reports import limits, results
from jobs.reports.results import Harvest, Progress
from jobs.settings import Settings
from overnight import opened
from overnight.exits import Exit
from overnight.rehearsal import child, compression
from overnight.rehearsal.foretold import Foretold
from overnight.run import night as nights
from overnight.run.signals import Signals

if TYPE_CHECKING:
    from jobs.loading.difference import Difference, Target
    from jobs.manifest.validated import Validated


class _Rehearsal(nights.Night):
    """A night that asks nothing, since it buys nothing, and leaves its figures to be told by others."""

    def _agree(
        self,
        db: Database | None,  # noqa: ARG002  as the night has it
        read: "Validated",
        target: "Target",  # noqa: ARG002  as the night has it
        found: "Difference",
    ) -> None:
        self._say(*(f"warning: {line}" for line in read.warnings.lines()))
        faster = 1 / self.settings.time_scale
        self._say(f"rehearsing {limits.counted(found.jobs, 'job')}, {faster:.3g} times as fast as life")
        self._planned = True

    def _tell(self, progress: Progress, harvest: Harvest) -> None:
        """Say nothing: what would be typed next is not there to be typed."""


def night(
    settings: Settings, manifest: str, given: Mapping[str, Any], *, profile: str, seed: int, quiet: bool
) -> tuple[Exit, Foretold]:
    """Live through a night; return how it would end, and its figures."""
    state = settings.output.parent / "sandbox"
    chosen = compression.sandbox(settings)
    with child.sandbox(state, profile=profile, seed=seed, **chosen) as url, Signals() as signals:
        served = compression.compressed(settings).at(url)
        code = _Rehearsal(served, signals, quiet=quiet, yes=True).run(manifest, given)
        return code, _foretold(settings, child.stats(url))


def _foretold(settings: Settings, counted: Mapping[str, Any]) -> Foretold:
    with opened.database(settings) as db, db.read() as tx:
        (only,) = results.overview(tx)
        return Foretold(
            progress=results.progress(tx, only.batch.id),
            harvest=results.harvest(tx, only.batch.id),
            accepted=counted["accepted"],
            throttled=counted["throttled"],
            peak=counted["peak_in_flight"],
            factor=compression.factor(settings),
            price=settings.price,
        )
