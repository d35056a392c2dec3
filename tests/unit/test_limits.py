"""What limits a batch, as a table: one moment, one phrase."""

from dataclasses import replace

import pytest

from jobs import settings
from jobs.accounts.breaker import Breaker, BreakerState
from jobs.batches import PauseReason
from jobs.reports import limits
from jobs.reports.limits import Kind
from jobs.states import BatchState
from tests import snapshots
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


@pytest.mark.parametrize(
    "moment",
    [
        progress(running=3, untouched_since=after(-121)),
        progress(pending=3, next_due=after(-121)),
        progress(pending=3, running=1, untouched_since=after(-121), account=standing(in_flight=1)),
        progress(pending=3, next_due=after(-5000), account=standing(moved_at=after(-121))),
        progress(pending=3, next_due=after(-5000), batch=snapshots.batch(opened_at=after(-121))),
    ],
)
@pytest.mark.parametrize("quotas", [{}, {"creates_per_minute": None, "reads_per_minute": None}])
def test_work_that_nobody_takes_up_is_called_deserted(moment, configured, quotas):
    found = limits.deserted(moment, configured.model_copy(update=quotas))
    clock = f"{after(-121).astimezone():%Y-%m-%d %H:%M}"
    text = f"nobody has worked on it since {clock}: overnight run cats"
    assert found == limits.Limit(Kind.WORKERS, text, deserted=True)


@pytest.fixture
def distributed(configured):
    return configured.model_copy(update={"broker_url": "redis://broker/0"})


def test_who_never_came_is_missed_once_work_has_been_due_for_long_enough(distributed):
    never = {"pending": 3, "next_due": after(-5000), "account": None}
    assert limits.deserted(progress(**never, batch=batch(opened_at=after(-119))), distributed) is None
    said = limits.deserted(progress(**never, batch=batch(opened_at=after(-121))), distributed)
    assert said.deserted
    assert said.text.endswith(": no worker has ever run; start `overnight worker` and `overnight scheduler`")
    said = limits.deserted(progress(**never, batch=batch(account="spare")), distributed)
    assert "no worker of account spare has ever run" in said.text


@pytest.mark.parametrize(
    "waiting", [{"queued": 3}, {"running": 3}, {"pending": 3, "next_due": after(40)}, {"pending": 3}]
)
@pytest.mark.parametrize("breaker", [Breaker(), AWAY], ids=["sound", "away"])
def test_workers_that_tell_no_more_are_missed_whatever_the_scheduler_goes_on_with(
    distributed, configured, waiting, breaker
):
    def moment(seconds):
        account = standing(seen_at=after(-seconds), moved_at=NOW, breaker=breaker)
        return progress(**waiting, untouched_since=after(30), account=account)

    assert limits.deserted(moment(179), distributed) is None
    clock = f"{after(-181).astimezone():%Y-%m-%d %H:%M}"
    text = f"no worker has been heard of since {clock}: start `overnight worker`"
    assert limits.deserted(moment(181), distributed) == limits.Limit(Kind.WORKERS, text, deserted=True)
    assert (
        limits.deserted(moment(181), configured) is None
    )  # one that runs by itself tells it only at its start


def test_where_nobody_is_no_next_try_is_promised(configured):
    blocked = progress(
        pending=1, batch=paused(PauseReason.BLOCKED, "credit: top up"), account=standing(breaker=NO_CREDIT)
    )
    assert limits.current(blocked, configured).text == "blocked: credit: top up, next try in 30s"
    assert (
        limits.current(blocked, configured, alone=True).text == "blocked: credit: top up: overnight run cats"
    )


@pytest.mark.parametrize(
    "moment",
    [
        progress(running=3, untouched_since=after(-119)),
        progress(pending=3, next_due=after(-5000), account=standing(in_flight=200)),
        progress(pending=3, next_due=after(-5000), batch=snapshots.batch(state=BatchState.READY)),
        progress(running=3, untouched_since=after(-5000), account=standing(breaker=AWAY)),
        progress(succeeded=3),
        progress(pending=3, next_due=after(-5000), account=standing(moved_at=after(-119))),
        progress(running=3, untouched_since=after(-5000), account=standing(moved_at=after(-119))),
        progress(pending=3, next_due=after(-5000), account=standing(not_before=after(-119))),
        progress(pending=3, next_due=after(-5000), batch=snapshots.batch(opened_at=after(-119))),
        progress(pending=3, next_due=after(-5000), account=standing(rate=0.5, moved_at=after(-239))),
    ],
)
def test_work_that_waits_for_a_reason_is_not_called_deserted(moment, configured):
    assert limits.deserted(moment, configured) is None


@pytest.mark.parametrize(
    "moment", [progress(pending=3), progress(running=3), progress(pending=3, account=standing(breaker=AWAY))]
)
def test_an_open_batch_that_nobody_works_on_is_left_alone_whatever_would_limit_it(moment):
    text = "nobody works on it: overnight run cats --api sandbox"
    assert limits.left_alone(moment, "--api sandbox") == limits.Limit(Kind.WORKERS, text, deserted=True)


@pytest.mark.parametrize(
    "moment",
    [progress(succeeded=3)]
    + [progress(pending=3, batch=batch(state=state)) for state in BatchState if state is not BatchState.OPEN],
)
def test_a_batch_that_wants_no_work_is_not_called_left_alone(moment):
    assert limits.left_alone(moment) is None
