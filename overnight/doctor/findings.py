"""A finding about one part of an installation, and how bad it is. Pure; the checks are elsewhere."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from jobs import errors, figures
from overnight.exits import Exit


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; a problem also says what to do. ``exit_code`` is the command's if nothing is worse."""

    subject: str
    verdict: Verdict
    words: str
    exit_code: Exit = Exit.NONE_FAILED

    def line(self) -> str:
        """Return it in columns.

        >>> ok("clock", "right").line()
        'ok       clock     right'
        """
        return f"{self.verdict:<8} {self.subject:<9} {self.words}"

    def as_json(self) -> dict[str, str]:
        return {"subject": self.subject, "verdict": self.verdict, "words": self.words}


def ok(subject: str, words: str) -> Finding:
    """Return the finding that a subject is in order."""
    return Finding(subject, Verdict.OK, words)


def warning(subject: str, words: str) -> Finding:
    """Return a finding that deserves a line but stops nothing."""
    return Finding(subject, Verdict.WARNING, words)


def wrong(subject: str, error: errors.OvernightError) -> Iterator[Finding]:
    """Yield one finding for each mistake that would keep a command from starting."""
    lines = error.lines if isinstance(error, errors.Mistakes) else (str(error),)
    for line in lines:
        yield Finding(subject, Verdict.WRONG, line, Exit(error.exit_code))


def exit_code(found: Iterable[Finding]) -> Exit:
    """Return 0 if nothing is wrong; a mistake takes precedence over what may come back by itself."""
    return min((one.exit_code for one in found if one.exit_code), default=Exit.NONE_FAILED)


def summary(found: Iterable[Finding]) -> str:
    """Return the overall result in a few words.

    >>> summary([ok("clock", "right"), warning("rights", "open")])
    'nothing is wrong, 1 warning'
    """
    verdicts = [finding.verdict for finding in found]
    wrongs, warnings = verdicts.count(Verdict.WRONG), verdicts.count(Verdict.WARNING)
    said = f"{wrongs} wrong" if wrongs else "nothing is wrong"
    return said + (f", {figures.counted(warnings, 'warning')}" if warnings else "")
