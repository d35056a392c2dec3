"""What limits a batch, as a table: one moment, one phrase."""

from dataclasses import replace

import pytest

from jobs import settings
from jobs.accounts.breaker import Breaker, BreakerState
from jobs.batches import PauseReason
from jobs.reports import limits
from jobs.reports.limits import Kind
from jobs.states import BatchState
from tests.snapshots import NOW, after, batch, progress, standing


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """The defaults."""
    monkeypatch.chdir(tmp_path)
    return settings.load()


def paused(reason, detail):
    return batch(state=BatchState.PAUSED, pause_reason=reason, pause_detail=detail)


AWAY = Breaker(BreakerState.OUTAGE, "connection refused.", since=NOW, probe_at=after(12))
NO_CREDIT = Breaker(BreakerState.BLOCKED, "credit: top up", since=NOW, probe_at=after(30))
NO_TOKEN = Breaker(BreakerState.BLOCKED, "token: 401", since=NOW)
MAIN = standing(label="main")
MAIN_WITHOUT_CREDIT = standing(label="main", breaker=NO_CREDIT)
REFUSED = standing(label="spare", breaker=NO_TOKEN, in_flight=10)
TRIED = replace(REFUSED, breaker=replace(NO_TOKEN, probe_at=after(20)))
CLOCK = f"{NOW.astimezone():%H:%M}"
LOAD = "if that has broken off: overnight load /home/me/cats.csv --batch cats"

TABLE = [
    (
        Kind.LOADING,
        f"being loaded, 7 jobs so far; {LOAD}",
        progress(pending=7, batch=batch(state=BatchState.LOADING)),
    ),
    (Kind.LOADING, f"being loaded, 0 jobs so far; {LOAD}", progress(batch=batch(state=BatchState.LOADING))),
    (
        Kind.READY,
        "loaded, not begun: overnight run cats",
        progress(pending=1, batch=batch(state=BatchState.READY)),
    ),
    (Kind.FINISHED, "finished", progress(succeeded=1, failed=2, cancelled=3)),
    (Kind.FINISHED, "finished", progress(failed=25, batch=paused(PauseReason.STOP_LOSS, "too many"))),
    (
        Kind.PAUSED,
        "paused by hand: overnight resume cats",
        progress(pending=1, batch=paused(PauseReason.PERSON, "by hand")),
    ),
    (
        Kind.PAUSED,
        "paused by hand; 5 jobs in flight still to fetch; 1 send still to be looked up: overnight resume cats",
        progress(
            pending=1,
            queued=5,
            submitting=1,
            unconfirmed=1,
            running=2,
            collecting=2,
            batch=paused(PauseReason.PERSON, "by hand"),
        ),
    ),
    (
        Kind.PAUSED,
        "paused, stop-loss: 23 of the 25 jobs that ended have failed: overnight run cats",
        progress(
            pending=1, batch=paused(PauseReason.STOP_LOSS, "23 of the 25 jobs that ended have failed.\n")
        ),
    ),
    (
        Kind.BLOCKED,
        "blocked: credit: top up, next try in 30s",
        progress(
            pending=1,
            batch=paused(PauseReason.BLOCKED, "credit: top up"),
            account=standing(breaker=NO_CREDIT),
        ),
    ),
    (
        Kind.BLOCKED,
        "blocked: token: 401: overnight run cats",
        progress(pending=1, batch=paused(PauseReason.BLOCKED, "token: 401"), account=None),
    ),
    (
        Kind.BLOCKED,
        "blocked: token: 401; mend OVERNIGHT_API_TOKEN: overnight run cats",
        progress(pending=1, account=standing(breaker=NO_TOKEN)),
    ),
    (
        Kind.BLOCKED,
        (
            "blocked: account main: credit: top up; account spare: token: 401; mend OVERNIGHT_API_TOKEN_SPARE"
            ", next try in 30s"
        ),
        progress(pending=1, accounts=(MAIN_WITHOUT_CREDIT, REFUSED)),
    ),
    (
        Kind.BLOCKED,
        (
            "waiting for predictions: 10 running; "
            "blocked: account spare: token: 401; mend OVERNIGHT_API_TOKEN_SPARE, next try in 20s"
        ),
        progress(running=10, accounts=(MAIN, TRIED)),
    ),
    (
        Kind.QUOTA,
        (
            "quota 600/min at each of 2 accounts; "
            "blocked: account spare: token: 401; mend OVERNIGHT_API_TOKEN_SPARE, next try in 20s"
        ),
        progress(pending=5, running=10, accounts=(MAIN, TRIED)),
    ),
    (
        Kind.PREDICTIONS,
        (
            "waiting for predictions: 10 running; "
            "blocked: account spare: token: 401; mend OVERNIGHT_API_TOKEN_SPARE"
        ),
        progress(running=10, accounts=(standing(label="main", in_flight=3), REFUSED)),
    ),
    (
        Kind.CANCELLED,
        "cancelled; 2 jobs in flight still to fetch",
        progress(running=2, cancelled=5, batch=batch(state=BatchState.CANCELLED)),
    ),
    (Kind.CANCELLED, "cancelled", progress(failed=1, cancelled=5, batch=batch(state=BatchState.CANCELLED))),
    (
        Kind.OUTAGE,
        f"API away since {CLOCK} (connection refused), next try in 12s",
        progress(pending=1, account=standing(breaker=AWAY)),
    ),
    (
        Kind.THROTTLED,
        "API asked to wait 25s",
        progress(pending=1, account=standing(not_before=after(24.2), in_flight=200)),
    ),
    (Kind.QUOTA, "quota 600/min", progress(pending=1, account=standing(not_before=NOW))),
    (
        Kind.QUOTA,
        "quota 480/min, lowered from 600/min after a 429",
        progress(pending=1, account=standing(rate=480.0)),
    ),
    (Kind.QUOTA, "quota 600/min", progress(queued=3, running=100)),
    (Kind.IN_FLIGHT, "in flight 200 of 200", progress(pending=1, account=standing(in_flight=200))),
    (Kind.IN_FLIGHT, "in flight 190 of 200", progress(pending=1, account=standing(in_flight=190))),
    (
        Kind.IN_FLIGHT,
        "in flight 200 of 200, 150 of them paid jobs whose images have not arrived yet",
        progress(pending=1, account=standing(in_flight=50, collecting=350)),
    ),
    (Kind.QUOTA, "quota 600/min", progress(pending=1, account=standing(in_flight=189))),
    (Kind.WORKERS, "waiting for a worker", progress(pending=1, account=None)),
    (
        Kind.WORKERS,
        "waiting for workers: 20 jobs handed out and not yet sent",
        progress(pending=1, queued=20, account=standing(in_flight=20)),
    ),
    (Kind.PREDICTIONS, "waiting for predictions: 37 running", progress(running=37, unconfirmed=1)),
    (
        Kind.LOOK_UPS,
        "12 sends being looked up, 1m35s",
        progress(unconfirmed=12, look_ups_end=after(95), collecting=1),
    ),
    (Kind.LOOK_UPS, "1 send being looked up, 0s", progress(unconfirmed=1, look_ups_end=after(-5))),
    (
        Kind.BACK_OFF,
        "waiting for the next try of 3 jobs, 40s",
        progress(pending=3, next_due=after(40), collecting=1),
    ),
    (Kind.DOWNLOADS, "fetching images of 4 jobs", progress(collecting=4, submitting=1)),
    (Kind.SENDING, "sending 4", progress(submitting=4)),
]


@pytest.mark.parametrize(
    ("kind", "text", "moment"), TABLE, ids=[f"{n}-{row[0]}" for n, row in enumerate(TABLE)]
)
def test_one_moment_has_one_phrase(kind, text, moment, configured):
    found = limits.current(moment, configured)
    assert (found.kind, str(found)) == (kind, text)


def test_every_kind_of_limit_is_in_the_table():
    assert {row[0] for row in TABLE} == set(Kind)


def test_an_unlimited_quota_is_not_called_a_limit(configured):
    unlimited = configured.model_copy(update={"creates_per_minute": None})
    assert limits.current(progress(pending=1), unlimited).kind is Kind.WORKERS


def test_limits_of_the_accounts_own_are_those_that_are_named(configured):
    tuned = standing(own_limits={"creates_per_minute": 300})
    assert str(limits.current(progress(pending=1, account=tuned), configured)) == "quota 300/min"
    tuned = standing(own_limits={"max_in_flight": 40}, in_flight=40)
    assert str(limits.current(progress(pending=1, account=tuned), configured)) == "in flight 40 of 40"


def test_a_command_carries_the_options_that_were_typed(configured):
    held = progress(pending=1, batch=batch(state=BatchState.PAUSED))
    assert limits.current(held, configured, "--api sandbox").text.endswith(
        ": overnight resume cats --api sandbox"
    )


def test_a_reason_as_long_as_a_page_is_cut(configured):
    page = Breaker(BreakerState.OUTAGE, "<html>\n" * 1000, since=NOW, probe_at=NOW)
    assert len(limits.current(progress(pending=1, account=standing(breaker=page)), configured).text) < 300


def test_sends_in_doubt_are_named_whatever_else_limits():
    assert limits.look_ups(progress(pending=9, unconfirmed=12, look_ups_end=after(140))) == (
        "12 being looked up, 2m20s"
    )
    assert limits.look_ups(progress(pending=9)) == ""


def test_where_nobody_is_no_next_try_is_promised(configured):
    blocked = progress(
        pending=1, batch=paused(PauseReason.BLOCKED, "credit: top up"), account=standing(breaker=NO_CREDIT)
    )
    assert limits.current(blocked, configured).text == "blocked: credit: top up, next try in 30s"
    assert (
        limits.current(blocked, configured, alone=True).text == "blocked: credit: top up: overnight run cats"
    )
