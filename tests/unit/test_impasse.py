"""When waiting for what is under way is in vain, and when it is not."""

import pytest

from jobs.accounts.breaker import Breaker, BreakerState
from jobs.batches import PauseReason
from jobs.states import BatchState
from overnight.run.impasse import Impasse
from tests.snapshots import batch, progress, standing

FULL = batch(state=BatchState.PAUSED, pause_reason=PauseReason.STORAGE)


def blocked(reason):
    return standing(breaker=Breaker(BreakerState.BLOCKED, f"{reason}: The API answered so."))


def beside_a_refused(**more):
    return {"accounts": (standing(**more), blocked("token"))}


@pytest.fixture
def impasse():
    return Impasse(patience=60)


@pytest.mark.parametrize(
    "moment",
    [
        progress(running=3, account=blocked("token")),
        progress(unconfirmed=1, account=blocked("not-an-api")),
        progress(collecting=2, pending=5, batch=FULL),
        progress(running=3, **beside_a_refused()),
    ],
    ids=["token", "not an api", "full disk", "left to one of two accounts"],
)
def test_it_is_in_vain_once_nothing_has_moved_for_a_while(impasse, moment):
    assert not impasse.reached(moment, 100)
    assert not impasse.reached(moment, 159)
    assert impasse.reached(moment, 160)


@pytest.mark.parametrize(
    "moment",
    [
        progress(running=3),
        progress(running=3, account=blocked("credit")),
        progress(running=1, collecting=2, batch=FULL),
        progress(collecting=2),
        progress(running=3, **beside_a_refused(in_flight=1)),
        progress(running=3, pending=1, **beside_a_refused()),
    ],
    ids=[
        "slow",
        "credit",
        "full disk, one still runs",
        "slow downloads",
        "the other account has something to do",
        "the other account may buy",
    ],
)
def test_what_may_still_come_is_waited_for(impasse, moment):
    assert not impasse.reached(moment, 100)
    assert not impasse.reached(moment, 10_000)


def test_what_moves_starts_the_waiting_anew(impasse):
    account = blocked("token")
    assert not impasse.reached(progress(running=3, account=account), 100)
    assert not impasse.reached(progress(running=2, collecting=1, account=account), 159)
    assert not impasse.reached(progress(running=2, collecting=1, account=account), 218)
    assert impasse.reached(progress(running=2, collecting=1, account=account), 219)
