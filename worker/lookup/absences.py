"""Whether a send that the list does not show may count as never arrived. Only then is it sent again.

Writes the conclusions of one walk. A wrong one is paid for twice, so a case waits for whatever the list might hide.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from jobs import accounts, database, lifecycle
from jobs.lifecycle import Fence
from jobs.states import State
from jobs.worklists import Case
from worker import context
from worker.api.replies import Prediction
from worker.lookup import evidence, matching, walk
from worker.lookup.matching import Matched

_OUT_OF_REACH = "the API's list does not go back to it, so nobody can tell whether it was bought"
_SET_BACK = "the clock was set back after it was sent, so nobody can tell whether it was bought"
_DELETED = "its input has been deleted at the API, so nobody can tell any more whether it was bought"


def is_fresh(here: context.Context, case: Case, started: datetime, windows: float = 1) -> bool:
    """Whether a send is younger than so many proof windows; the API keeps inputs for about one."""
    return (started - case.intended_at).total_seconds() < here.times.proof_window * windows


def is_ahead(here: context.Context, case: Case, started: datetime) -> bool:
    """Whether a send is dated by a clock that has been set back since, so that nobody knows when it was."""
    return case.intended_at > started + timedelta(seconds=here.times.list_margin)


def settling(here: context.Context, account: accounts.Account) -> timedelta:
    """Return how long after a send its prediction may still be missing from the list."""
    return timedelta(seconds=here.times.settle + (account.list_lag or 0.0))


def decide_blindly(here: context.Context, cases: Sequence[Case], started: datetime, why: str) -> None:
    """Without any proof, buy once more and report it, or hold. One `hold` is enough, the batch's or the worker's."""
    settled = timedelta(seconds=here.times.settle)
    ripe = [case for case in cases if case.sent_at + settled <= started]
    if ripe:
        here.database.unit(lambda tx: _presume(here, tx, database.now(tx), ripe, why))


def _presume(here: context.Context, tx: sa.Connection, now: datetime, ripe: Sequence[Case], why: str) -> None:
    resubmit = here.settings.when_unconfirmed == "resubmit"
    again = [case.fence for case in ripe if resubmit and case.may_resubmit]
    held = [case.fence for case in ripe if case.fence not in again]
    lifecycle.presumed_absent(tx, now, again)
    lifecycle.unprovable(tx, now, held, why)


@dataclass(frozen=True, slots=True)
class Look:
    """One walk, and the transaction in which its conclusions are written."""

    here: context.Context
    tx: sa.Connection
    now: datetime
    taken: walk.Walk
    started: datetime
    account: accounts.Account  # with what this walk has shown

    def conclude(self, matched: Matched, windows: float) -> None:
        """Judge what has settled: absent, out of reach, or to be looked up again.

        One that is dated ahead is given up at once: when the clock is there again, it would seem to be young.
        """
        ahead = [case.fence for case in matched.missing if is_ahead(self.here, case, self.started)]
        lifecycle.unprovable(self.tx, self.now, ahead, _SET_BACK)
        settled = self.started - settling(self.here, self.account)
        ripe = [case for case in matched.missing if case.sent_at <= settled and case.fence not in ahead]
        if self.account.list_echoes is False and not self.taken.error:
            why = accounts.blind_spot(self.account) or ""
            return _presume(self.here, self.tx, self.now, ripe, why) if ripe else None
        seen_from = self._seen_from(ripe)
        shown = [case for case in ripe if seen_from is not None and case.intended_at >= seen_from]
        self._judge(shown, matched.strange)
        rest = [case for case in ripe if case not in shown]
        late = [case.fence for case in rest if not is_fresh(self.here, case, self.started, windows)]
        lifecycle.unprovable(self.tx, self.now, late, _OUT_OF_REACH)
        self._wait([case for case in rest if case.fence not in late])
        return None

    def _seen_from(self, cases: Sequence[Case]) -> datetime | None:
        """Return the first send from which on the walk would show everything; None if there is none."""
        margin = timedelta(seconds=self.here.times.list_margin)
        covered = (case.intended_at for case in cases if self.taken.covers(case.intended_at - margin))
        first = next(covered, None)
        if first is None or evidence.shows_ours(self.here, self.tx, self.taken, first):
            return first
        return None

    def _shown_until(self, cases: Sequence[Case]) -> datetime:
        since = min((case.intended_at for case in cases), default=self.started)
        return evidence.shown_until(self.here, self.tx, self.taken, since, self.started)

    def _judge(self, cases: Sequence[Case], strange: Sequence[Prediction]) -> None:
        """Count cases as absent while the list shows inputs; later only if it shows nothing strange around their time.

        A strange prediction without an input may be any of ours; so may every strange one until it is known
        that the list shows what was sent, and one that shows everything of a send but its image. Another
        account's list proves nothing about ours.
        """
        shown_until = self._shown_until(cases)
        alike = matching.alike(cases, strange)
        hidden = self._born([p for p in strange if not p.input] if self.account.list_echoes else strange)
        unknown = self._born(strange)
        proven: list[Fence] = []
        lapsed: list[Fence] = []
        waiting: list[Case] = []
        for case in cases:
            fresh = is_fresh(self.here, case, self.started)
            told = case.account_id == self.account.id and case.sent_at <= shown_until
            born = self._born(alike[case.fence])
            if told and not (
                self._could_be(case, hidden if fresh else unknown) or self._could_be(case, born)
            ):
                proven.append(case.fence)
            elif fresh:
                waiting.append(case)
            else:
                lapsed.append(case.fence)
        gap = timedelta(seconds=self.here.times.absence_gap)
        selling = self.account.breaker.is_closed
        lifecycle.absent(self.tx, self.now, proven, self.started, gap, counted=selling)
        lifecycle.unprovable(self.tx, self.now, lapsed, _DELETED)
        self._wait(waiting)

    def _born(self, strange: Sequence[Prediction]) -> list[datetime] | None:
        """Return when predictions were made, by our clock and in order; None if one of them has no date."""
        dates = [p.created_at for p in strange if p.created_at]
        return sorted(date + self.taken.ahead for date in dates) if len(dates) == len(strange) else None

    def _could_be(self, case: Case, born: Sequence[datetime] | None) -> bool:
        """Whether a prediction was, or may have been, made around the time of this send."""
        if born is None:
            return True
        margin = timedelta(seconds=self.here.times.list_margin)
        at = bisect.bisect_left(born, case.intended_at - margin)
        return at < len(born) and born[at] <= case.sent_at + margin

    def _wait(self, cases: Sequence[Case]) -> None:
        soon = self.now + timedelta(seconds=self.here.times.absence_gap)
        lifecycle.look_again(self.tx, State.UNCONFIRMED, {case.fence: soon for case in cases})
