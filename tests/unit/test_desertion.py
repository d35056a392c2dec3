"""When nobody works on a batch, who is missing, and what waits for a good reason."""

import pytest

from jobs import settings
from jobs.accounts.breaker import Breaker, BreakerState
from jobs.reports import desertion, limits
from jobs.reports.limits import Kind
from jobs.states import BatchState
from tests.snapshots import NOW, after, batch, progress, standing

AWAY = Breaker(BreakerState.OUTAGE, "connection refused.", since=NOW, probe_at=after(12))


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """The defaults."""
    monkeypatch.chdir(tmp_path)
    return settings.load()


@pytest.mark.parametrize(
    "moment",
    [
        progress(running=3, untouched_since=after(-121)),
        progress(pending=3, next_due=after(-121)),
        progress(pending=3, running=1, untouched_since=after(-121), account=standing(in_flight=1)),
        progress(pending=3, next_due=after(-5000), account=standing(moved_at=after(-121))),
        progress(pending=3, next_due=after(-5000), batch=batch(opened_at=after(-121))),
    ],
)
@pytest.mark.parametrize("quotas", [{}, {"creates_per_minute": None, "reads_per_minute": None}])
def test_work_that_nobody_takes_up_is_called_deserted(moment, configured, quotas):
    found = desertion.noticed(moment, configured.model_copy(update=quotas))
    clock = f"{after(-121).astimezone():%Y-%m-%d %H:%M}"
    text = f"nobody has worked on it since {clock}: overnight run cats"
    assert found == limits.Limit(Kind.WORKERS, text, deserted=True)


@pytest.fixture
def distributed(configured):
    return configured.model_copy(update={"broker_url": "redis://broker/0"})


def test_who_never_came_is_missed_once_work_has_been_due_for_long_enough(distributed):
    never = {"pending": 3, "next_due": after(-5000), "account": None}
    assert desertion.noticed(progress(**never, batch=batch(opened_at=after(-119))), distributed) is None
    said = desertion.noticed(progress(**never, batch=batch(opened_at=after(-121))), distributed)
    assert said.deserted
    assert said.text.endswith(": no worker has ever run; start `overnight worker` and `overnight scheduler`")
    said = desertion.noticed(progress(**never, batch=batch(account="spare")), distributed)
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

    assert desertion.noticed(moment(179), distributed) is None
    clock = f"{after(-181).astimezone():%Y-%m-%d %H:%M}"
    text = f"no worker has been heard of since {clock}: start `overnight worker`"
    assert desertion.noticed(moment(181), distributed) == limits.Limit(Kind.WORKERS, text, deserted=True)
    assert (
        desertion.noticed(moment(181), configured) is None
    )  # one that runs by itself tells it only at its start


@pytest.mark.parametrize(
    "moment",
    [
        progress(running=3, untouched_since=after(-119)),
        progress(pending=3, next_due=after(-5000), account=standing(in_flight=200)),
        progress(pending=3, next_due=after(-5000), batch=batch(state=BatchState.READY)),
        progress(running=3, untouched_since=after(-5000), account=standing(breaker=AWAY)),
        progress(succeeded=3),
        progress(pending=3, next_due=after(-5000), account=standing(moved_at=after(-119))),
        progress(running=3, untouched_since=after(-5000), account=standing(moved_at=after(-119))),
        progress(pending=3, next_due=after(-5000), account=standing(not_before=after(-119))),
        progress(pending=3, next_due=after(-5000), batch=batch(opened_at=after(-119))),
        progress(pending=3, next_due=after(-5000), account=standing(rate=0.5, moved_at=after(-239))),
    ],
)
def test_work_that_waits_for_a_reason_is_not_called_deserted(moment, configured):
    assert desertion.noticed(moment, configured) is None


@pytest.mark.parametrize(
    "moment", [progress(pending=3), progress(running=3), progress(pending=3, account=standing(breaker=AWAY))]
)
def test_an_open_batch_that_nobody_works_on_is_deserted_whatever_would_limit_it(moment):
    text = "nobody works on it: overnight run cats --api sandbox"
    assert desertion.certain(moment, "--api sandbox") == limits.Limit(Kind.WORKERS, text, deserted=True)


@pytest.mark.parametrize(
    "moment",
    [progress(succeeded=3)]
    + [progress(pending=3, batch=batch(state=state)) for state in BatchState if state is not BatchState.OPEN],
)
def test_a_batch_that_wants_no_work_is_not_called_deserted(moment):
    assert desertion.certain(moment, "") is None
