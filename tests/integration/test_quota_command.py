"""An account's limits, changed while everything runs, and what `overnight quota` shows of it."""

import json
from datetime import timedelta

import pytest

from jobs import accounts, lifecycle, settings, stops, tables
from jobs import database as databases
from jobs.accounts.breaker import BreakerState
from jobs.accounts.tally import Tally
from jobs.by_hand import buying
from jobs.reports import usage
from jobs.states import Phase, State
from overnight.run import lock
from scheduler import duties
from tests import factory, rows
from tests.manifests import write

HOUR = timedelta(hours=1)


def configure(**given):
    return settings.Settings(**{"OVERNIGHT_API_URL": factory.API, "_env_file": None} | given)


@pytest.fixture
def account(database):
    """An account that buys for a batch of 90 jobs, its buckets full."""
    made = factory.make_account(database, refilled_at=rows.now(database) - HOUR)
    batch = factory.make_batch(database)
    for _ in range(90):
        factory.make_job(database, batch)
    return made


def retune(database, **own):
    with database.write() as tx:
        buying.retune(tx, factory.seat(database).account, own)


def released(database, **given):
    """How many purchases one tick hands out."""
    handed = duties.release(database, configure(**given), duties.Scope(factory.seat(database)))
    return sum(len(message.payload) for message in handed if isinstance(message, duties.Message))


# What a change does to those who run


def test_the_next_tick_goes_by_a_rate_that_was_lowered(database, account):  # noqa: ARG001  it buys
    retune(database, creates_per_minute=120)
    assert released(database) == 2
    assert released(database) <= 1


def test_the_next_tick_goes_by_a_rate_and_a_cap_that_were_raised(database, account):
    assert released(database, creates_per_minute="60", max_in_flight="5") == 1
    rows.change(database, tables.accounts, account.id, refilled_at=rows.now(database) - HOUR)
    retune(database, creates_per_minute=1200, max_in_flight=15)
    assert released(database, creates_per_minute="60", max_in_flight="5") == 14


def test_the_next_tick_knows_no_rate_when_it_is_unlimited_and_goes_by_it_again_after_a_reset(
    database, account
):
    retune(database, creates_per_minute=None, max_in_flight=70)
    assert released(database) == 70
    retune(database)
    rows.change(database, tables.accounts, account.id, refilled_at=rows.now(database) - HOUR)
    assert released(database, max_in_flight="80") == 0  # more than two seconds' worth of 600 are queued
    rows.write(database, lambda tx, now: lifecycle.rescue(tx, now, expired_only=False))
    assert released(database, max_in_flight="80") == 10


def test_polls_go_by_a_rate_of_reads_of_the_accounts_own(database, account):  # noqa: ARG001  it asks
    batch = factory.make_batch(database)
    for _ in range(15):
        factory.make_job(database, batch, state=State.RUNNING)
    retune(database, reads_per_minute=300)
    scope = duties.Scope(factory.seat(database))
    assert sum(len(message.payload) for message in duties.poll(database, configure(), scope)) == 5


def test_an_episode_of_429_slows_from_the_accounts_own_rate(database, account):
    retune(database, creates_per_minute=300)
    with database.write() as tx:
        tally = Tally(throttled=1.0, throttled_creates=True)
        now = databases.now(tx)
        stops.observe(tx, now, accounts.get(tx, account.id), tally, configure())
    assert rows.account(database, account.id).rate == pytest.approx(240)


def test_a_change_is_remembered_for_all_batches(database, account):
    retune(database, creates_per_minute=300, reads_per_minute=None)
    retune(database)
    first, second = rows.rows(database, tables.events)
    assert (first.kind, first.batch_id) == ("retuned", None)
    assert first.detail == f"{account.name}: creates per minute 300, reads per minute unlimited"
    assert second.detail == f"{account.name}: as the settings say"


# The last hour


def test_the_last_hour_counts_what_was_accepted_within_it_by_this_account(database, account):
    now, batch = rows.now(database), factory.make_batch(database)
    other = factory.make_account(database, api="https://elsewhere.example/v1")
    moments = [  # owner, intended, accepted; minutes ago
        (account, 1, 1), (account, 59, 59), (account, 100, 30), (account, 61, 61), (other, 1, 1),
    ]  # fmt: skip
    for owner, intended, accepted in moments:
        job = factory.make_job(database, batch)
        factory.make_attempt(
            database, job, Phase.SUCCEEDED, account=owner,
            intended_at=now - timedelta(minutes=intended), accepted_at=now - timedelta(minutes=accepted),
        )  # fmt: skip
    factory.make_attempt(database, factory.make_job(database, batch), Phase.ABSENT, account=account)
    with database.read() as tx:
        accepted = {one.account.name: one.accepted for one in usage.every(tx, configure())}
    assert accepted == {account.name: 3, other.name: 1}


def test_in_flight_is_what_releases_count(database, account):
    """What an account that has left has under way, and images that are behind, take its places."""
    batch, left = factory.make_batch(database), factory.make_account(database)
    rows.change(database, tables.accounts, left.id, seen_at=rows.now(database) - timedelta(days=1))
    for owner, state in [(account, State.RUNNING), (left, State.RUNNING), *[(account, State.COLLECTING)] * 5]:
        factory.move_job(database, factory.make_job(database, batch, state=state).id, owner.id)
    with database.read() as tx:
        used = {one.account.id: one for one in usage.every(tx, configure(max_in_flight="3"))}
    assert (used[account.id].in_flight, used[account.id].behind) == (2, 2)


# The command


@pytest.fixture
def bought(desk):
    """The account of the desk's batch, its buckets full."""
    full = rows.now(desk.database) - HOUR
    return factory.make_account(desk.database, name="api.example-00000000", refilled_at=full)


def typed(desk, *words):
    """Type `overnight quota …`, for the API of the desk's batch."""
    return desk.type("quota", *words, OVERNIGHT_API_URL=factory.API)


def told(ended):
    """Return what was printed, by the names of the lines."""
    assert ended.returncode == 0, ended.stderr
    return {line[:10].strip(): line[11:] for line in ended.stdout.splitlines()}


def test_an_account_that_is_not_there_is_named_with_those_that_are(desk, bought):  # noqa: ARG001  it is there
    ended = typed(desk, "--account", "typo")
    assert ended.returncode == 2
    assert "there is no account typo; none has a name" in ended.stderr


def test_an_account_is_shown_with_all_that_may_hold_it_back(desk, bought):  # noqa: ARG001  it is shown
    desk.job(State.RUNNING)
    assert told(typed(desk)) == {
        "account": "api.example-00000000 at https://api.example/v1",
        "creates": "600/min; 10.0 of 10.0 in the bucket",
        "reads": "3000/min; 50.0 of 50.0 in the bucket",
        "in flight": "1 of 200",
        "breaker": "closed",
        "throttled": "never",
        "last hour": "1 purchase accepted",
    }


def test_limits_that_were_set_are_shown_beside_the_settings_until_they_are_reset(desk, bought):
    ended = typed(
        desk, "--creates-per-minute", "300", "--reads-per-minute", "unlimited", "--in-flight", "400"
    )
    assert ended.stderr == (
        "api.example-00000000: creates per minute 300, reads per minute unlimited, max in flight 400, "
        "from the next tick on\n"
    )
    shown = told(ended)
    assert shown["creates"] == "300/min, set by hand (settings: 600/min); 5.0 of 5.0 in the bucket"
    assert shown["reads"] == "unlimited, set by hand (settings: 3000/min)"
    assert shown["in flight"] == "0 of 400, set by hand (settings: 200)"
    assert told(typed(desk)) == shown
    ended = typed(desk, "--reset")
    assert ended.stderr == "api.example-00000000: as the settings say, from the next tick on\n"
    assert told(ended)["in flight"] == "0 of 200"
    assert rows.account(desk.database, bought.id).creates_per_minute is None


def test_what_the_api_said_is_shown_and_cannot_forge_a_line(desk, bought):
    now = rows.now(desk.database)
    rows.change(
        desk.database, tables.accounts, bought.id,
        breaker=BreakerState.OUTAGE, breaker_reason="gone\nbreaker    closed", probe_at=now,
        not_before=now + HOUR, throttled_at=now, rate=480.0, refilled_at=now,
    )  # fmt: skip
    shown = told(typed(desk))
    assert shown["breaker"] == "outage: gone breaker closed; next try due"
    assert shown["throttled"].endswith(" more: the API asked to wait")
    assert "/min after a 429, climbing to 600/min; " in shown["creates"]


def test_more_than_the_bucket_holds_by_itself_is_said_to_be_a_burst(desk, bought):
    later = rows.now(desk.database) + HOUR  # however long this takes, the burst is not let go of
    rows.change(desk.database, tables.accounts, bought.id, creates_tokens=43.0, refilled_at=later)
    burst = "43.0 in the bucket, a burst that the API has room for; by itself it holds 10.0"
    assert told(typed(desk))["creates"] == f"600/min; {burst}"


def test_a_block_without_an_appointment_and_a_wait_that_is_over_are_said(desk, bought):
    now = rows.now(desk.database)
    rows.change(
        desk.database, tables.accounts, bought.id, breaker=BreakerState.BLOCKED, breaker_reason="credit: top up.",
        breaker_at=now, probe_at=None, not_before=now - HOUR, throttled_at=now - HOUR,
    )  # fmt: skip
    shown = told(typed(desk))
    since = f"{now.astimezone():%Y-%m-%d %H:%M}"
    assert shown["breaker"] == f"blocked since {since}: credit: top up; no next try until one is asked for"
    assert shown["throttled"] == f"not now; last 429 {(now - HOUR).astimezone():%Y-%m-%d %H:%M}"


def test_json_has_numbers_and_null_for_what_is_unlimited(desk, bought):  # noqa: ARG001  it is shown
    ended = typed(desk, "--creates-per-minute", "unlimited", "--in-flight", "400", "--json")
    [shown] = json.loads(ended.stdout)
    assert shown.pop("at").endswith("+00:00")
    assert shown == {
        "account": "api.example-00000000",
        "label": None,
        "api": factory.API,
        "creates": {
            "limit": None, "settings": 600, "set_by_hand": True, "rate": None, "tokens": None, "capacity": None,
        },
        "reads": {
            "limit": 3000, "settings": 3000, "set_by_hand": False, "rate": 3000, "tokens": 50.0,
            "capacity": 50.0,
        },
        "in_flight": {"now": 0, "limit": 400, "settings": 200, "set_by_hand": True},
        "breaker": {"state": "closed", "reason": None, "since": None, "probe_at": None},
        "throttled_until": None,
        "throttled_at": None,
        "last_hour": {"accepted": 0},
    }  # fmt: skip


def test_every_account_is_shown_and_only_the_one_that_buys_at_the_api_is_changed(desk, bought):
    other = factory.make_account(
        desk.database, name="elsewhere.example-0", api="https://elsewhere.example/v1"
    )
    ended = typed(desk, "--in-flight", "400")
    assert [line for line in ended.stdout.splitlines() if line.startswith("account")] == [
        f"account    {one.name} at {one.api}" for one in (bought, other)
    ]
    assert rows.account(desk.database, bought.id).max_in_flight == 400
    assert rows.account(desk.database, other.id).max_in_flight is None


def test_limits_that_were_set_are_those_of_status_and_of_the_plan(desk, bought):  # noqa: ARG001  it is changed
    desk.job(State.PENDING)
    typed(desk, "--creates-per-minute", "300", "--in-flight", "1")
    with lock.Lock(desk.database.path) as held:
        assert held.take("cats")
        assert "now      quota 300/min" in desk.type("status", "cats").stdout
    write(desk.folder, "image,prompt\nhttps://images.example/fox.png,a fox\n", "dogs.csv")
    plan = desk.type("check", "dogs.csv", OVERNIGHT_API_URL=factory.API).stdout
    assert " at 300 purchases a minute, 1 at once, " in plan


# Mistakes


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--creates-per-minute", "0"], '--creates-per-minute: "0" is no rate; write how many a minute, or'),
        (["--creates-per-minute", "fast"], '--creates-per-minute: "fast" is no rate'),
        (["--reads-per-minute", "-3"], '--reads-per-minute: "-3" is no rate'),
        (["--in-flight", "unlimited"], '--in-flight: "unlimited" is no whole number from 1 to 999999999'),
        (["--reset", "--in-flight", "3"], "--reset forgets all limits"),
    ],
)
def test_a_mistake_ends_with_2_names_the_option_and_changes_nothing(desk, bought, words, sentence):
    before = rows.account(desk.database, bought.id)
    ended = typed(desk, *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert sentence in ended.stderr
    assert rows.account(desk.database, bought.id) == before


@pytest.mark.parametrize("words", [[], ["--in-flight", "3"], ["--reset"]])
def test_where_no_worker_ever_was_one_sentence_says_what_to_do(desk, words):
    ended = typed(desk, *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"overnight: {desk.database.path} has no account yet, because no worker has ever run: "
        "type `overnight run MANIFEST` first, or set OVERNIGHT_CREATES_PER_MINUTE and the like\n"
    )


@pytest.mark.usefixtures("bought")
def test_an_api_where_no_worker_ever_was_is_told_with_those_where_some_were(desk):
    ended = desk.type("quota", "--in-flight", "3", "--api", "replicate")
    assert ended.returncode == 2
    assert ended.stderr.endswith(
        " has no account at https://api.replicate.com/v1, only at https://api.example/v1: "
        "name one of these with --api\n"
    )
