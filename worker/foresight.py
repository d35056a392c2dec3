"""When is a prediction worth a look? By how long its version's predictions ran of late, as far as that is known."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import polling, runs
from jobs.times import Times

_KEPT = 10.0  # seconds, before scaling, for which what was read is good enough
_LOOK_IS_WORTH = 0.5  # of the first interval: seconds of delay that one look may save and is still worth it
_LONG = 0.25  # of the usual run: no look is later than that, however sure we are


class Foresight:
    """Remembers the latest run times of an account's versions, and reads them again now and then."""

    def __init__(self, account_id: int, times: Times) -> None:
        self._account_id = account_id
        self._times = times
        self._read_at: datetime | None = None
        self._runs: Mapping[str, Sequence[float]] = {}

    def next_look(self, tx: sa.Connection, now: datetime, version: str, age: timedelta) -> timedelta:
        """Return how long to wait before a prediction of this age is looked at; of some versions nothing is known."""
        known, seconds, times = self._lately(tx, now).get(version, ()), age.total_seconds(), self._times
        wait = polling.learned(seconds, known, worth=_LOOK_IS_WORTH * times.poll_first)
        if wait is None:
            wait = polling.next_look(seconds, first=times.poll_first, most=times.poll_most)
        else:
            most = max(times.poll_most, _LONG * known[len(known) // 2])
            wait = min(most, max(times.tick, wait))
        return timedelta(seconds=wait)

    def _lately(self, tx: sa.Connection, now: datetime) -> Mapping[str, Sequence[float]]:
        if self._read_at is None or not timedelta() <= now - self._read_at < self._kept:
            self._runs = runs.lately(tx, self._account_id)
            self._read_at = now
        return self._runs

    @property
    def _kept(self) -> timedelta:
        return timedelta(seconds=_KEPT * self._times.poll_first)
