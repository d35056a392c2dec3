"""Twelve mistakes that are typical of such a program, each planted in the real code: the harness must see them all.

    python -m tests.faults.planted      the table: which bug, after how many nights, by which invariants

Each function takes pytest's `MonkeyPatch`.
"""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from kombu import Queue

from jobs import errors, lifecycle, settings, tables
from jobs.accounts import pacing
from jobs.accounts.breaker import Breaker
from jobs.crashpoints import Place
from jobs.lanes import Lane
from jobs.lifecycle import Failure, NotBought, beginning, buying, fence
from tests.faults import simulated_spells, simulation
from tests.faults.simulated_plan import Plan, draw
from worker import app
from worker.api import client
from worker.lookup import walk
from worker.tasks import collect, reconcile, submit

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]

_MISFITS = ("TypeError", "AttributeError", "NameError")
MOST = 60  # nights within which a bug must be seen
_FOR_EVER = timedelta(days=36_500)


def naive_retry(patch: Patch) -> None:
    """A send without an answer is simply repeated."""
    judged = submit._Slice._came_to

    def came_to(self: Any, submission: Any, error: Any, sent_at: Any) -> Any:
        if isinstance(error, errors.Unconfirmed):
            return NotBought(submission.fence, str(error), sent_at)
        return judged(self, submission, error, sent_at)

    patch.setattr(submit._Slice, "_came_to", came_to)


def settle_nothing(patch: Patch) -> None:
    """An absence is believed at once."""
    times: Any = vars(settings.Settings)["times"].fget
    hasty = property(lambda self: dataclasses.replace(times(self), settle=0, absence_gap=0))
    patch.setattr(settings.Settings, "times", hasty)


def settle_by_another_clock(patch: Patch) -> None:
    """The settle time is measured between our clock and the API's, which may be an hour ahead."""
    concluded = reconcile._settle

    def settle(here: Any, cases: Any, taken: Any, started: Any, *more: Any) -> Any:
        return concluded(here, cases, taken, started - taken.ahead, *more)

    patch.setattr(reconcile, "_settle", settle)


def no_fence(patch: Patch) -> None:
    """The last writer wins: the job's current attempt is not checked."""

    def move(tx: Any, fences: Any, source: Any, target: Any, more: Any = None, **values: Any) -> Any:
        values |= {name: tables.jobs.c[name] + by for name, by in (more or {}).items()}
        moved = (
            sa.update(tables.jobs)
            .where(tables.jobs.c.id.in_([one.job for one in fences]), tables.jobs.c.state.in_(source))
            .values(state=target, **values)
            .returning(tables.jobs.c.id)
        )
        won = set(tx.execute(moved).scalars()) if fences else set()
        return {one for one in fences if one.job in won}

    for module in _modules_that_move():
        patch.setattr(module, "move", move)


def _modules_that_move() -> list[Any]:
    from jobs.lifecycle import confirming, finishing

    return [fence, buying, confirming, finishing]


def claim_without_condition(patch: Patch) -> None:
    """A message is believed: every job that it names is begun, whatever its state."""
    admitted = beginning._admitted

    def begin_all(tx: Any, now: Any, account_id: int, ids: Any) -> Any:
        tx.execute(
            sa.update(tables.jobs)
            .where(tables.jobs.c.id.in_(ids))
            .values(state="queued", due_at=now, finished_at=None, error_class=None)
        )
        return admitted(tx, now, account_id, ids)

    patch.setattr(beginning, "_admitted", begin_all)


def ack_as_truth(patch: Patch) -> None:
    """What was handed out counts as done: nobody checks whether the message had any effect."""

    for name in ("release", "hand_out"):
        patch.setattr(lifecycle, name, _with_lease(getattr(lifecycle, name)))


def _with_lease(arrow: Callable[..., Any]) -> Callable[..., Any]:
    def handed_out(tx: Any, now: Any, what: Any, count: int, _lease: Any, **named: Any) -> Any:
        return arrow(tx, now, what, count, _FOR_EVER, **named)

    return handed_out


def names_not_synced(patch: Patch) -> None:
    """A row names a file before its name is synced, so that a power cut may lose it."""
    patch.setattr(collect, "_lasting", lambda _here, group: group)


def post_again_on_502(patch: Patch) -> None:
    """The HTTP layer helpfully sends a POST again."""
    posted = client.PredictionClient._post

    async def post(self: Any, request: Any, before_send: Any) -> Any:
        reply = await posted(self, request, before_send)
        return await posted(self, request, before_send) if reply.status in {502, 503, 504} else reply

    patch.setattr(client.PredictionClient, "_post", post)


def no_breaker(patch: Patch) -> None:
    """An API that is away is called all night long."""
    patch.setattr(pacing, "judge", lambda *_: Breaker())


def no_credit_is_the_jobs_fault(patch: Patch) -> None:
    """402 is a 4xx, and a 4xx fails the job."""
    judged = submit._Slice._came_to

    def came_to(self: Any, submission: Any, error: Any, sent_at: Any) -> Any:
        if isinstance(error, errors.Blocked):
            return Failure(submission.fence, "invalid-input", str(error))
        return judged(self, submission, error, sent_at)

    patch.setattr(submit._Slice, "_came_to", came_to)


def first_page_only(patch: Patch) -> None:
    """What the first page does not show counts as absent."""

    add = walk.Walk.add
    patch.setattr(walk.Walk, "add", lambda taken, page: add(taken, dataclasses.replace(page, cursor=None)))


def recovery_comes_last(patch: Patch) -> None:
    """What is in doubt is only looked up when there is nothing else to do."""
    last = [*(lane for lane in Lane if lane is not Lane.RECONCILE), Lane.RECONCILE]
    patch.setitem(app._SETTINGS, "task_queues", [Queue(lane, routing_key=lane) for lane in last])


@dataclasses.dataclass(frozen=True)
class Bug:
    """A planted mistake, and the kind of night that soon reveals it."""

    name: str
    plant: Plant
    plan: Callable[[int], Plan] = draw


def _one_by_one(seed: int) -> Plan:
    """Sends are lost one by one, so that a walk for one of them also meets younger ones."""
    sends = {"late": 0.5, "dropped": 0.3}
    return dataclasses.replace(
        draw(seed),
        sends=sends,
        api_ahead=400.0,
        creates_per_minute="30",
        can_list=True,
        strikes=0,
        weather=(),
        steps=(),
    )


def _stale_polls(seed: int) -> Plan:
    """Workers freeze after they have read a prediction's end, and many predictions fail."""
    return dataclasses.replace(
        draw(seed), embedded=False, workers=2, strikes=12, favourite=Place.AFTER_POLL_RESPONSE, sends={}, weather=(),
        runs={"fail_transient": 0.5}, messages={"doubled": 0.5}, steps=(),
    )  # fmt: skip


def _away(_seed: int) -> Plan:
    return simulated_spells.spell("away", 30, 180, jobs=50, creates_per_minute="60", tick=1.0)


def _saturated(seed: int) -> Plan:
    return simulated_spells.saturated(seed, jobs=120)


BUGS = (
    Bug("naive retry", naive_retry),
    Bug("settle 0", settle_nothing),
    Bug("settle counted from the wrong clock", settle_by_another_clock, _one_by_one),
    Bug("no fence on write", no_fence, _stale_polls),
    Bug("claim without condition", claim_without_condition),
    Bug("ack as truth", ack_as_truth),
    Bug("names not synced before they are told", names_not_synced),
    Bug("POST retried on 502", post_again_on_502),
    Bug("402 as job failure", no_credit_is_the_jobs_fault),
    Bug("breaker off", no_breaker, _away),
    Bug("list walk stops at page 1", first_page_only),
    Bug("recovery lane last", recovery_comes_last, _saturated),
)


def seen(night: simulation.Night) -> list[str]:
    """Run a night; return the names of the invariants that do not hold, none if all is well."""
    report = night.live()
    misfits = [words for words in report.against("S1") if any(name in words for name in _MISFITS)]
    assert not misfits, f"the code is not what the bug was planted in: {misfits[0]}"
    names = [finding.name for finding in report.findings if finding.against]
    if [weather.kind for weather in night.plan.weather] == ["away"] and not night.plan.sends:
        probes = simulated_spells.toll(night).probes
        names += ["A8"] * (probes > simulated_spells.most_probes(night))
    return names


def seeds_until_seen(bug: Bug, most: int) -> tuple[int, list[str]]:
    """Plant a bug and return how many nights it took until it was seen, and by which invariants."""
    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
        for seed in range(most):
            if names := seen(simulation.Night(bug.plan(seed))):
                return seed + 1, names
    return most, []


def main() -> None:
    """Print the table."""
    print(f"{'planted bug':40} {'nights':>6}  seen by")  # noqa: T201  it prints
    for bug in BUGS:
        nights, names = seeds_until_seen(bug, MOST)
        print(f"{bug.name:40} {nights:6}  {', '.join(names) or 'nobody'}")  # noqa: T201  it prints


if __name__ == "__main__":
    main()
