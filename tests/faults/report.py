"""What a check found: each invariant with how often it was looked at, and the totals in Jepsen's terms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SHOWN = 5  # violations of one invariant
_WIDTH = 64


@dataclass(frozen=True)
class Finding:
    """One invariant: how many things were checked, and which of them violate it."""

    name: str
    claim: str
    looked_at: int
    against: tuple[str, ...] = ()

    def line(self) -> str:
        words = f"{self.name:4}{self.claim:{_WIDTH}}{len(self.against):5} of {self.looked_at:7,}"
        shown = [f"        {one}" for one in self.against[:_SHOWN]]
        return "\n".join([words, *shown])


@dataclass(frozen=True)
class Report:
    """The findings on one night, or on many."""

    jobs: int
    attempts: int
    accepted: int
    recovered: int
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        return not any(finding.against for finding in self.findings)

    @property
    def lost(self) -> tuple[str, ...]:
        return self.against("I1", "I2")

    @property
    def duplicated(self) -> tuple[str, ...]:
        """Surplus purchases, whether they were noticed (D) or not (I3)."""
        return self.against("I3", "D")

    @property
    def unexpected(self) -> tuple[str, ...]:
        return self.against("I4")

    @property
    def wrong_files(self) -> tuple[str, ...]:
        return self.against("I5", "I6")

    def against(self, *names: str) -> tuple[str, ...]:
        """Return the violations of some invariants."""
        return tuple(one for finding in self.findings if finding.name in names for one in finding.against)

    def __str__(self) -> str:
        sums = (
            f"jobs {self.jobs:,}, attempts {self.attempts:,}, accepted {self.accepted:,}, lost {len(self.lost)}, "
            f"unexpected {len(self.unexpected)}, duplicated {len(self.duplicated)}, recovered {self.recovered:,}"
        )
        return "\n".join([sums, *(finding.line() for finding in self.findings)])


def total(reports: Sequence[Report]) -> Report:
    """Add up the reports on many nights."""
    names = dict.fromkeys(finding.name for report in reports for finding in report.findings)
    return Report(
        jobs=sum(report.jobs for report in reports),
        attempts=sum(report.attempts for report in reports),
        accepted=sum(report.accepted for report in reports),
        recovered=sum(report.recovered for report in reports),
        findings=tuple(
            _added([f for report in reports for f in report.findings if f.name == name]) for name in names
        ),
    )


def _added(same: Iterable[Finding]) -> Finding:
    first, *others = same
    return Finding(
        first.name,
        first.claim,
        first.looked_at + sum(other.looked_at for other in others),
        first.against + tuple(one for other in others for one in other.against),
    )
