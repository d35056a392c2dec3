"""When is a prediction worth a look? By how long its version's predictions ran of late, as far as that is known."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, polling
from jobs.settings.times import Times
from jobs.worklists import runs

_KEPT = 10.0  # first intervals for which what was read is good enough
_KEPT_AT_FIRST = 1.0  # the same for so few runs of a version that each may change the picture
_FEW = 50
_LOOK_IS_WORTH = 0.5  # of the first interval: seconds of delay that one look may save and is still worth it
_LONG = 0.25  # of the usual run: no look is later than that, however sure we are
# With webhooks.
_OVERDUE = 3.0  # usual runs after which a hint is taken for lost
_DEADLINE = 0.25  # of the time that the API gives a prediction: no look is later than that


class Foresight:
    """Remembers the latest run times of an account's versions, and reads them again now and then.

    While ``webhooks`` tell of ends, looks are a net below them: late, for what no hint came for.
    """

    def __init__(self, account_id: int, times: Times, *, webhooks: bool = False) -> None:
        self._account_id = account_id
        self._times = times
        self._webhooks = webhooks
        self._hinted: tuple[datetime, datetime | None] | None = None  # when it was read, and what it was
        self._read_at: datetime | None = None
        self._runs: Mapping[str, Sequence[float]] = {}

    def next_look(
        self, tx: sa.Connection, now: datetime, version: str, age: timedelta, among: int = 1
    ) -> timedelta:
        """Return how long to wait before a prediction of this age is looked at; of some versions nothing is known.

        It may stand for several that one look shows: then it is due as soon as a few ``among`` them may have ended.
        """
        known, seconds, times = self._lately(tx, now, version), age.total_seconds(), self._times
        net = self._net(tx, now, known)
        # A look in between was asked for by a hint, and the list that shows no end yet lags behind it.
        if net is not None and not timedelta() < age < net:
            return net
        wait = polling.learned(seconds, known, worth=_LOOK_IS_WORTH * times.poll_first)
        if wait is None:
            wait = polling.next_look(seconds, first=times.poll_first, most=times.poll_most)
        else:
            usual = known[len(known) // 2]
            most = max(times.poll_most, _LONG * usual)
            wait = min(most, max(times.tick, wait))
            if among > 1:
                wait = min(wait, max(times.tick_least, polling.HARVEST * usual / among))
        return timedelta(seconds=wait)

    def _net(self, tx: sa.Connection, now: datetime, known: Sequence[float]) -> timedelta | None:
        """Return how long to wait for a hint before a look; None if none come, or none have come for long."""
        hinted_at = self._hinted_at(tx, now) if self._webhooks else None
        if hinted_at is None:
            return None
        usual = known[len(known) // 2] if known else 0.0
        wait = min(_OVERDUE * usual, _DEADLINE * self._times.prediction_deadline)
        net = timedelta(seconds=max(self._times.poll_most, wait))
        return net if now - hinted_at < polling.SILENT * net else None

    def _hinted_at(self, tx: sa.Connection, now: datetime) -> datetime | None:
        """Return when the last hint came, read once for all that is asked at one moment."""
        if self._hinted is None or self._hinted[0] != now:
            self._hinted = now, accounts.hinted_at(tx, self._account_id)
        return self._hinted[1]

    def _lately(self, tx: sa.Connection, now: datetime, version: str) -> Sequence[float]:
        known = self._runs.get(version, ())
        kept = timedelta(seconds=(_KEPT_AT_FIRST if len(known) < _FEW else _KEPT) * self._times.poll_first)
        if self._read_at is None or not timedelta() <= now - self._read_at < kept:
            self._runs = runs.lately(tx, self._account_id)
            self._read_at = now
        return self._runs.get(version, ())
