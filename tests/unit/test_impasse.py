"""When waiting for what is under way is in vain, and when it is not."""

import pytest

from jobs.accounts.breaker import Breaker, BreakerState
from jobs.batches import PauseReason
from jobs.states import BatchState
from overnight.run import impasse as impasses
from overnight.run.impasse import Impasse
from tests.snapshots import after, batch, progress, standing

FULL = batch(state=BatchState.PAUSED, pause_reason=PauseReason.STORAGE)


def blocked(reason, probe_at=None, **more):
    breaker = Breaker(BreakerState.BLOCKED, f"{reason}: The API answered so.", probe_at=probe_at)
    return standing(breaker=breaker, **more)


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


BLOCKED = batch(state=BatchState.PAUSED, pause_reason=PauseReason.BLOCKED)
TRIED = blocked("token", after(30), in_flight=3)
GIVEN_UP = blocked("token", in_flight=3)
AWAY = standing(breaker=Breaker(BreakerState.OUTAGE, "no answer", probe_at=after(-30)))


@pytest.mark.parametrize(
    ("moment", "halted"),
    [
        (progress(running=3, batch=BLOCKED, account=TRIED), False),
        (progress(running=3, batch=BLOCKED, account=GIVEN_UP), True),
        (progress(running=3, accounts=(standing(), TRIED)), False),
        (progress(running=3, accounts=(standing(), GIVEN_UP)), True),
        (progress(running=3, accounts=(AWAY, GIVEN_UP)), True),
        (progress(running=3, pending=1, accounts=(standing(), GIVEN_UP)), False),
        (progress(pending=3, batch=BLOCKED, account=blocked("credit", after(30))), False),
        (progress(running=3, batch=BLOCKED, accounts=(blocked("credit", after(-30)), GIVEN_UP)), True),
        (progress(running=3, batch=BLOCKED, accounts=(blocked("token", after(-30)), GIVEN_UP)), True),
        (progress(running=3, batch=FULL, account=TRIED), True),
        (progress(running=3, batch=batch(state=BatchState.CANCELLED)), True),
        (progress(running=3), False),
    ],
)
def test_a_refused_account_is_waited_for_as_long_as_it_is_tried_whoever_else_buys(moment, halted):
    assert impasses.is_halted(moment) is halted
