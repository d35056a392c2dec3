"""When a prediction is worth a look, judged by how long its version's predictions ran lately, if known."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, polling
from jobs.settings.times import Times
from jobs.worklists import runs

_KEPT = 10.0  # for how many times `poll_first` the run times are cached
_KEPT_AT_FIRST = 1.0  # the same for fewer than `_FEW` runs, where each may change the picture
_FEW = 50
_LOOK_IS_WORTH = 0.5  # of `poll_first`: the delay that must be saved to be worth one look
_LONG = 0.25  # of the usual run: the longest wait, however sure we are
# With webhooks.
_OVERDUE = 3.0  # usual runs after which a hint counts as lost
_DEADLINE = 0.25  # of the prediction's deadline: the longest wait for a hint


class Foresight:
    """Remembers the latest run times of an account's versions, and rereads them now and then.

    While ``webhooks`` announce the ends, polls are only a late safety net for predictions without a hint.
    """

    def __init__(self, account_id: int, times: Times, *, webhooks: bool = False) -> None:
        self._account_id = account_id
        self._times = times
        self._webhooks = webhooks
        self._hinted: tuple[datetime, datetime | None] | None = None  # when it was read, and its value
        self._read_at: datetime | None = None
        self._runs: Mapping[str, Sequence[float]] = {}

    def next_look(
        self, tx: sa.Connection, now: datetime, version: str, age: timedelta, among: int = 1
    ) -> timedelta:
        """Return how long to wait before the next look at a prediction of this age.

        If one call shows ``among`` predictions together, it is due as soon as a few of them may have ended: where
        no runs are known, after a tenth of its age.
        """
        known, seconds, times = self._lately(tx, now, version), age.total_seconds(), self._times
        net = self._net(tx, now, known)
        # A look before that was prompted by a hint; if it showed no end, the list lags, so look again soon.
        if net is not None and not timedelta() < age < net:
            return net
        wait = polling.learned(seconds, known, worth=_LOOK_IS_WORTH * times.poll_first)
        if wait is None:
            wait = polling.next_look(seconds, first=times.poll_first, most=times.poll_most)
            usual, least = seconds, polling.LATE * max(seconds, times.poll_first)
        else:
            usual, least = known[len(known) // 2], 0.0
            wait = min(max(times.poll_most, _LONG * usual), max(times.tick, wait))
        if among > 1:
            wait = min(wait, max(times.tick_least, least, polling.HARVEST * usual / among))
        return timedelta(seconds=wait)

    def _net(self, tx: sa.Connection, now: datetime, known: Sequence[float]) -> timedelta | None:
        """Return how long to wait for a hint before a look; None without webhooks, or if none came for long."""
        hinted_at = self._hinted_at(tx, now) if self._webhooks else None
        if hinted_at is None:
            return None
        usual = known[len(known) // 2] if known else 0.0
        wait = min(_OVERDUE * usual, _DEADLINE * self._times.prediction_deadline)
        net = timedelta(seconds=max(self._times.poll_most, wait))
        return net if now - hinted_at < polling.SILENT * net else None

    def _hinted_at(self, tx: sa.Connection, now: datetime) -> datetime | None:
        """Return when the last hint came; read once for all calls with the same ``now``."""
        if self._hinted is None or self._hinted[0] != now:
            self._hinted = now, accounts.known(tx, self._account_id).hinted_at
        return self._hinted[1]

    def _lately(self, tx: sa.Connection, now: datetime, version: str) -> Sequence[float]:
        known = self._runs.get(version, ())
        kept = timedelta(seconds=(_KEPT_AT_FIRST if len(known) < _FEW else _KEPT) * self._times.poll_first)
        if self._read_at is None or not timedelta() <= now - self._read_at < kept:
            self._runs = runs.lately(tx, self._account_id)
            self._read_at = now
        return self._runs.get(version, ())
