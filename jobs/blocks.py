"""Which accounts an API refuses, why, and what to mend, in words. Pure."""

from collections.abc import Iterable
from typing import Protocol

from jobs.accounts.breaker import Breaker, BreakerState
from jobs.errors import BlockReason
from jobs.settings import credentials

_REASON = 200  # characters of the reason that an API gave


class Buyer(Protocol):
    """An account, as its row stands or as a report has it."""

    @property
    def label(self) -> str | None: ...

    @property
    def breaker(self) -> Breaker: ...


def among(buyers: Iterable[Buyer]) -> list[Buyer]:
    """Return the accounts that are refused, ordered by their names."""
    refused = (one for one in buyers if one.breaker.state is BreakerState.BLOCKED)
    return sorted(refused, key=lambda one: one.label or "")


def told(buyers: Iterable[Buyer]) -> str:
    """Say of each refused account whose it is, why, and what to mend; empty if none is refused."""
    return "; ".join(_told(one.label, one.breaker.reason or "") for one in among(buyers))


def _told(label: str | None, reason: str) -> str:
    whose = f"account {label}: " if label else ""
    mend = f"; mend {credentials.token_of(label)}" if reason.startswith(BlockReason.TOKEN) else ""
    return f"{whose}{brief(reason)}{mend}"


def brief(reason: str) -> str:
    """Return a reason that an API gave, as it fits into a line."""
    text = " ".join(reason.split()).rstrip(".")
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"
