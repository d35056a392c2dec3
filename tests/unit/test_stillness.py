"""When a watcher may say that nobody works, and whom it misses."""

import pytest

from jobs import errors, settings
from jobs.accounts.breaker import Breaker, BreakerState
from jobs.reports import limits
from jobs.states import BatchState
from overnight.run.stillness import Stillness
from tests import snapshots
from tests.snapshots import NOW, after, progress, standing

AWAY = Breaker(BreakerState.OUTAGE, "connection refused", since=NOW, probe_at=after(12))
DUE = progress(pending=3)


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A distributed installation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", "postgresql://db/overnight")
    monkeypatch.setenv("OVERNIGHT_BROKER_URL", "redis://broker/0")
    return settings.load()


def judged(configured, *looks):
    """Return what is said at the last of some looks, each a moment of the batch and its second."""
    stillness = Stillness(configured)
    for moment, second in looks:
        said = stillness.judge(moment, limits.current(moment, configured), second)
    return said


@pytest.mark.parametrize(
    ("moment", "missing"),
    [
        (progress(pending=3, account=None), "no worker has ever run"),
        (progress(pending=3, queued=2), "start `overnight worker`"),
        (progress(pending=3, queued=2, strangers=("api.example-2",)), "give all of them the same accounts"),
        (DUE, "`overnight scheduler` and `overnight worker`"),
        (progress(running=3, untouched_since=after(-6)), "`overnight scheduler` and `overnight worker`"),
    ],
)
def test_due_work_that_does_not_move_is_told_within_15_seconds_with_who_is_missing(
    moment, missing, configured
):
    assert judged(configured, (moment, 100.0), (moment, 111.0)) is None
    assert missing in judged(configured, (moment, 100.0), (moment, 114.0)).text


@pytest.mark.parametrize(
    "moment",
    [
        progress(running=3, untouched_since=after(30)),
        progress(pending=3, next_due=after(30)),
        progress(pending=3, account=standing(in_flight=200)),
        progress(pending=3, account=standing(breaker=AWAY)),
        progress(pending=3, account=standing(not_before=after(60))),
        progress(running=1, untouched_since=after(-60), account=standing(not_before=after(60))),
        progress(pending=3, batch=snapshots.batch(state=BatchState.PAUSED)),
    ],
)
def test_work_that_waits_for_a_reason_is_waited_for(moment, configured):
    assert judged(configured, (moment, 100.0), (moment, 1000.0)) is None


def test_a_change_begins_the_wait_anew(configured):
    later = progress(pending=2, succeeded=1)
    assert judged(configured, (DUE, 100.0), (later, 111.0), (later, 122.0)) is None
    assert judged(configured, (DUE, 100.0), (later, 111.0), (later, 124.0)) is not None


@pytest.mark.parametrize("account", [{"rate": 1.0}, {"own_limits": {"creates_per_minute": 1}}])
def test_at_one_purchase_a_minute_two_minutes_may_pass(account, configured):
    slow = progress(pending=3, account=standing(**account))
    assert judged(configured, (slow, 100.0), (slow, 219.0)) is None
    assert judged(configured, (slow, 100.0), (slow, 221.0)) is not None


def test_a_broker_that_is_away_is_told_and_asked_for_once_while_nothing_moves(configured):
    asked = []

    def reach(there):
        asked.append(there.broker_url)
        raise errors.Unavailable("broker redis://broker/0: refused; start it")

    stillness = Stillness(configured, reach)
    said = [
        stillness.judge(moment, limits.current(moment, configured), second)
        for moment, second in [(DUE, 100.0), (DUE, 111.0), (DUE, 114.0), (DUE, 115.0)]
    ]
    assert said[:2] == [None, None]
    assert [one.text.partition(": ")[2] for one in said[2:]] == [
        "broker redis://broker/0: refused; start it"
    ] * 2
    assert asked == ["redis://broker/0"]


def test_a_broker_that_answers_is_not_blamed_and_asked_again_when_nothing_moves_again(configured):
    asked = []
    stillness = Stillness(configured, asked.append)
    later = progress(pending=2, succeeded=1)
    for moment, second in [(DUE, 100.0), (DUE, 114.0), (later, 115.0), (later, 130.0)]:
        said = stillness.judge(moment, limits.current(moment, configured), second)
    assert "broker" not in said.text
    assert len(asked) == 2
