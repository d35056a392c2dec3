"""Several accounts at one API: what spreads, what stays, and what a stop of one means for the others."""

import functools
import json
import shlex
import signal
from collections import Counter
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from jobs import accounts, lifecycle, stops, tables
from jobs import database as databases
from jobs.accounts import attendance
from jobs.accounts.tally import Tally
from jobs.errors import BlockReason
from jobs.settings import apis
from jobs.settings.credentials import Credential
from jobs.states import State
from scheduler import duties
from tests import factory, rows
from tests.faults.wires import Wire
from tests.integration import stepped
from tests.integration.evening import Evening
from tests.integration.wires import reply
from worker import app, context
from worker.tasks.reconcile import reconcile
from worker.tasks.submit import submit

MANY = timedelta(hours=1)
NAMES = ("main", "spare")


class Night(stepped.Night):
    """A night with two accounts; the tasks of both are done by this process."""

    def __init__(self, database, url, folder, **given):
        api = apis.parse(url)
        named = tuple(Credential(name, api, SecretStr(f"token-of-{name}")) for name in NAMES)
        super().__init__(database, url, folder, accounts=named, **given)

    def start(self):
        self.all = context.start(self.settings, self.database)
        app.hold(*self.all)
        return self.all[0]

    def restart(self):
        before = self.all
        self.start()
        context.close(before)

    def close(self):
        context.close(self.all)

    def told(self, duty):
        duties.rescue(self.database, self.settings)
        with self.database.read() as tx:
            scopes = [duties.Scope(seat) for seat in attendance.seats(tx)]
        handed = [one for scope in scopes for one in duty(self.database, self.settings, scope)]
        return [one for one in handed if isinstance(one, duties.Message)]

    def ids(self):
        return {one.account.label: one.account.id for one in self.all}

    def buyers(self, job_id):
        names = {account_id: label for label, account_id in self.ids().items()}
        return [names[attempt.account_id] for attempt in self.attempts(job_id)]


@pytest.fixture
def begin(begin_night):
    return functools.partial(begin_night, kind=Night)


@pytest.fixture
def night(begin, sandbox):
    return begin(sandbox)


def sold(sandbox):
    """How many predictions each account was sold, and of how many jobs."""
    path = sandbox.state / "ledger.jsonl"
    lines = sandbox.ledger() if path.exists() else []
    return Counter(line["account"] for line in lines), len({line["identity"] for line in lines}), len(lines)


def block(database, account_id, reason=BlockReason.CREDIT):
    tally = Tally(blocked=(reason, "The API answered 402: no credit"))
    observe(database, account_id, tally)


def observe(database, account_id, tally):
    configured = stepped.settings.Settings(_env_file=None)
    with database.write() as tx:
        stops.observe(tx, databases.now(tx), accounts.get(tx, account_id), tally, configured)


# What spreads


def test_each_account_takes_what_it_has_room_for(night):
    night.make(40)
    main, spare = night.ids().values()
    with night.database.write() as tx:
        accounts.retune(tx, main, {"creates_per_minute": 120})
        accounts.retune(tx, spare, {"creates_per_minute": 6000, "max_in_flight": 20})
    messages = night.told(duties.release)
    assert {one.account_id: len(one.payload) for one in messages} == {main: 2, spare: 20}
    assert {job.account_id for job in night.jobs() if job.state == State.QUEUED} == {main, spare}


def test_what_one_account_has_in_flight_takes_no_room_of_the_other(night):
    main, spare = night.ids().values()
    for job_id in [factory.make_job(night.database, night.batch, state=State.RUNNING).id for _ in range(9)]:
        factory.move_job(night.database, job_id, main)
    night.make(40)
    with night.database.write() as tx:
        for one in (main, spare):
            accounts.retune(tx, one, {"max_in_flight": 9})
    assert {one.account_id: len(one.payload) for one in night.told(duties.release)} == {spare: 9}


def test_everything_is_bought_once_and_each_prediction_asked_of_its_own_account(night, sandbox):
    night.make(45)
    assert night.finish() == {"succeeded": 45}
    by_account, jobs, all_sold = sold(sandbox)
    assert (len(by_account), jobs, all_sold) == (2, 45, 45)
    statuses = sandbox.stats()["statuses"]
    assert "200" in statuses
    assert "404" not in statuses, "another account's prediction would not have been found"


def test_what_the_other_bought_after_a_copy_of_the_database_is_not_bought_by_this_one(night, sandbox):
    [job_id] = night.make()
    [message] = night.told(duties.release)
    submit(*message.args)
    with night.database.write() as tx:
        tx.execute(sa.delete(tables.attempts))
        back = {"state": State.PENDING, "attempt_id": None, "attempts": 0, "due_at": databases.now(tx)}
        tx.execute(sa.update(tables.jobs).values(back))
    night.restart()
    other = next(one for one in night.ids().values() if one != message.account_id)
    lease = timedelta(minutes=1)
    rows.write(night.database, lifecycle.release, night.batch.id, 1, lease, account_id=other)
    submit([job_id], other)
    assert night.job(job_id).state == "running"
    assert night.attempts(job_id)[0].account_id == message.account_id
    assert sold(sandbox)[2] == 1


def test_a_message_for_one_account_buys_nothing_with_the_other(night, sandbox):
    night.make(3)
    [message, *_] = night.told(duties.release)
    other = next(one for one in night.ids().values() if one != message.account_id)
    submit(message.payload, other)
    assert sold(sandbox)[2] == 0
    submit(*message.args)
    assert sold(sandbox)[2] == len(message.payload)


def test_a_batch_of_one_account_is_bought_by_that_one_alone(night, sandbox):
    rows.change(night.database, tables.batches, night.batch.id, account="spare")
    ids = night.make(15)
    assert night.finish() == {"succeeded": 15}
    assert {buyer for job_id in ids for buyer in night.buyers(job_id)} == {"spare"}
    assert len(sold(sandbox)[0]) == 1


# What stays


def test_a_lost_answer_is_looked_up_by_the_account_that_sent_it(night, sandbox):
    sandbox.faults(exec_and_drop=1)
    ids = night.make(14)
    night.tick(duties.release)
    assert {one for job_id in ids for one in night.buyers(job_id)} == set(NAMES)
    before = {job_id: night.buyers(job_id) for job_id in ids}
    sandbox.heal()
    context.close(night.all)
    night.start()  # as after a kill
    night.settles()
    assert night.finish() == {"succeeded": 14}
    assert {job_id: night.buyers(job_id) for job_id in ids} == before
    assert sold(sandbox)[1:] == (14, 14)


def test_the_list_of_one_account_proves_no_absence_of_the_others(night, sandbox):
    sandbox.faults(exec_and_drop=1)
    rows.change(night.database, tables.batches, night.batch.id, account="spare")
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    main = duties.Scope(next(seat for seat in _seats(night) if seat.account.label == "main"))
    for seconds in (stepped.SETTLED, 31, 31):
        night.passes(seconds)
        assert list(duties.reconcile(night.database, night.settings, main)) == []
        reconcile([job_id], main.account_id)
    assert night.phases(job_id) == ["unconfirmed"]


def test_what_was_never_sold_may_be_bought_by_another(night, sandbox):
    sandbox.faults(refuse=1)
    rows.change(night.database, tables.batches, night.batch.id, account="spare")
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    night.settles()
    assert night.phases(job_id) == ["absent"]
    rows.change(night.database, tables.batches, night.batch.id, account="main")
    assert night.finish() == {"succeeded": 1}
    assert night.buyers(job_id) == ["spare", "main"]
    assert sold(sandbox)[2] == 1


def test_twins_in_doubt_at_two_accounts_are_each_found_in_their_own_list(night, sandbox):
    sandbox.faults(exec_and_drop=1)
    same = {"input": {"prompt": "a fox", "seed": 7}, "own_seed": False}
    ids = night.make(2, **same)
    with night.database.write() as tx:
        for one in night.ids().values():
            accounts.retune(tx, one, {"max_in_flight": 1})
    night.tick(duties.release)
    assert sorted(one for job_id in ids for one in night.buyers(job_id)) == ["main", "spare"]
    sandbox.heal()
    night.settles()
    assert night.finish() == {"succeeded": 2}
    assert sold(sandbox)[2] == 2
    assert [night.phases(job_id) for job_id in ids] == [["succeeded"], ["succeeded"]]


def test_a_late_prediction_of_one_account_is_followed_there(night, sandbox):
    sandbox.faults(exec_and_drop=1)
    rows.change(night.database, tables.batches, night.batch.id, account="spare")
    [job_id] = night.make()
    night.tick(duties.release)
    sandbox.heal()
    # As if two walks had not shown it, and the job been handed out for the other account since.
    attempt = night.attempts(job_id)[0]
    moment = rows.now(night.database)
    rows.change(
        night.database, tables.attempts, attempt.id, phase="absent", absent_at=moment, finished_at=moment
    )
    rows.change(night.database, tables.jobs, job_id, state="queued", account_id=night.ids()["main"])
    night.passes(stepped.SETTLED)
    night.tick(duties.sweep)
    assert night.phases(job_id) == ["running"]
    assert night.job(job_id).account_id == night.ids()["spare"]
    assert night.finish() == {"succeeded": 1}
    assert sold(sandbox)[2] == 1


def _seats(night):
    with night.database.read() as tx:
        return attendance.seats(tx)


# Stops


def test_a_blocked_account_pauses_nothing_that_the_other_may_buy(night):
    main, spare = night.ids().values()
    [queued] = night.make(state=State.QUEUED, due_at=rows.now(night.database) + MANY, account_id=main)
    block(night.database, main)
    assert night.batch_state == ("open", None)
    assert night.job(queued).state == State.PENDING, "handed out for the one that is blocked, and not sent"
    assert night.finish() == {"succeeded": 1}
    assert night.buyers(queued)[-1] == "spare"
    block(night.database, spare)
    assert night.batch_state == ("paused", "blocked")
    told = rows.batch(night.database, night.batch.id).pause_detail
    assert told == "; ".join(f"account {name}: credit: The API answered 402: no credit" for name in NAMES)
    observe(night.database, spare, Tally(bought=1))
    night.tick(duties.release)
    assert night.batch_state == ("open", None)


def test_a_batch_of_a_blocked_account_waits_for_that_one(night):
    main, spare = night.ids().values()
    mine = factory.make_batch(night.database, api=night.batch.api, account="main")
    block(night.database, main)
    assert rows.batch(night.database, mine.id).state == "paused"
    assert rows.batch(night.database, mine.id).pause_detail.startswith("account main: ")
    assert night.batch_state == ("open", None)
    observe(night.database, spare, Tally(bought=1))
    night.tick(duties.release)
    assert rows.batch(night.database, mine.id).state == "paused"
    observe(night.database, main, Tally(bought=1))
    night.tick(duties.release)
    assert rows.batch(night.database, mine.id).state == "open"


def test_an_outage_of_one_account_takes_nothing_from_the_other(night):
    main, spare = night.ids().values()
    soon = rows.now(night.database) + MANY
    [of_main] = night.make(state=State.QUEUED, due_at=soon, account_id=main)
    [of_spare] = night.make(state=State.QUEUED, due_at=soon, account_id=spare)
    rows.change(
        night.database, tables.accounts, main, failures=9, failing="creates", failing_since=soon - 2 * MANY
    )
    observe(night.database, main, Tally(lost=5, message="timed out"))
    assert rows.account(night.database, main).breaker == "outage"
    assert night.job(of_main).state == State.PENDING
    assert night.job(of_spare).state == State.QUEUED


# Whole nights


@pytest.fixture
def evening(tmp_path, start_sandbox):
    tokens = {f"api_token_{name}": f"token-of-{name}" for name in NAMES}
    sandbox = start_sandbox(output_size=64, creates_per_minute=300, latency=0.2)
    made = Evening(
        tmp_path, sandbox, jobs=60, accounts=",".join(NAMES), creates_per_minute=300, price="1", **tokens
    )
    del made.environment["OVERNIGHT_API_TOKEN"]
    return made


def test_a_run_with_two_accounts_buys_about_half_with_each_and_nothing_twice(evening):
    with evening.running() as child:
        evening.until_bought(20)
        child.send_signal(signal.SIGKILL)
        child.wait()
    ended = evening.run_again()
    assert ended.returncode == 0, ended.stderr
    by_account, jobs, all_sold = sold(evening.sandbox)
    assert (jobs, all_sold) == (60, 60)
    assert len(by_account) == 2
    assert min(by_account.values()) >= 15
    told = json.loads(evening.type("status", "night", "--json").stdout)
    assert sorted(one["label"] for one in told["accounts"]) == ["main", "spare"]
    kept = [path.read_bytes() for path in evening.folder.rglob("*") if path.is_file()]
    assert not any(b"token-of" in content for content in kept)


class Door(Wire):
    """Lets nobody pass who shows a certain token, once it is refused."""

    refused = None

    async def _connected(self, reader, writer, head=b""):
        """Judge a connection by its first call: each account has its own."""
        head = await reader.readuntil(b"\r\n\r\n")
        if self.refused and self.refused in head:
            writer.write(reply(b"{}", "401 Unauthorized", "Connection: close"))
            await writer.drain()
            writer.close()
            return
        await super()._connected(reader, writer, head)


def test_a_run_that_ends_for_want_of_one_account_says_which_and_why(tmp_path, start_sandbox):
    sandbox = start_sandbox(output_size=64, creates_per_minute=300, latency=2)
    tokens = {f"api_token_{name}": f"token-of-{name}" for name in NAMES}
    night = Evening(tmp_path, sandbox, 20, accounts="main,spare", creates_per_minute=300, **tokens)
    door = Door(("127.0.0.1", urlsplit(sandbox.url).port))
    try:
        night.environment["OVERNIGHT_API_TOKEN"] = None
        with night.running(OVERNIGHT_API_URL=f"http://127.0.0.1:{door.port}/v1") as child:
            night.until_bought(8)
            door.refused = b"token-of-spare"
            door.reset()
            told, words = child.communicate(timeout=90)
    finally:
        door.close()
    refused = "blocked: account spare: token: The API answered 401"
    assert child.returncode == 75, words
    assert f"\nnot finished, {refused}" in told
    assert "; mend OVERNIGHT_API_TOKEN_SPARE; to go on, type: overnight run night\n" in told
    assert refused in words


def test_a_run_goes_on_without_the_account_that_is_refused_when_it_begins(tmp_path, start_sandbox):
    sandbox = start_sandbox(output_size=64, creates_per_minute=300)
    tokens = {f"api_token_{name}": f"token-of-{name}" for name in NAMES}
    night = Evening(tmp_path, sandbox, 4, accounts="main,spare", creates_per_minute=300, **tokens)
    door = Door(("127.0.0.1", urlsplit(sandbox.url).port))
    door.refused = b"token-of-spare"
    try:
        ended = night.run_again(
            OVERNIGHT_API_TOKEN=None, OVERNIGHT_API_URL=f"http://127.0.0.1:{door.port}/v1"
        )
    finally:
        door.close()
    assert ended.returncode == 0, ended.stderr
    assert "going on without an account" in ended.stderr
    assert (night.states(), night.bought()) == ({"succeeded": 4}, 4)


def test_a_batch_keeps_to_the_account_that_it_was_loaded_for(evening):
    loaded = evening.type("load", "night.csv", "--account", "spare")
    assert loaded.returncode == 0, loaded.stderr
    other = evening.type("run", "night.csv", "--account", "main")
    assert other.returncode == 2
    assert "is bought by account spare, and stays with it" in other.stderr
    assert "--batch NAME" in other.stderr
    gone = evening.type("run", "night.csv", OVERNIGHT_ACCOUNTS="main", OVERNIGHT_API_TOKEN_SPARE=None)
    assert gone.returncode == 2
    assert gone.stderr.endswith("add it to OVERNIGHT_ACCOUNTS, and set OVERNIGHT_API_TOKEN_SPARE\n")
    ended = evening.type("run", "night.csv")
    assert ended.returncode == 0, ended.stderr
    assert len(sold(evening.sandbox)[0]) == 1
    nobody = evening.type("load", "night.csv", "--account", "mian", "--batch", "another")
    assert (nobody.returncode, evening.bought()) == (2, 60)
    assert "no account is named mian; OVERNIGHT_ACCOUNTS names main, spare" in nobody.stderr


@pytest.fixture
def elsewhere(evening, start_sandbox):
    """Give the second account an API of its own, and load a batch of four jobs for it."""
    other = start_sandbox(output_size=64, creates_per_minute=300)
    evening.environment["OVERNIGHT_API_URL_SPARE"] = other.url
    loaded = evening.type("load", "night.csv", "--account", "spare", "--limit", "4")
    assert loaded.returncode == 0, loaded.stderr
    return other


@pytest.mark.parametrize("types_api", [False, True])
def test_a_batch_at_another_accounts_api_goes_on_with_the_commands_that_are_printed(
    evening, elsewhere, types_api
):
    paused = evening.type("pause", "night", *(["--api", evening.sandbox.url] if types_api else []))
    assert paused.stderr.endswith(" overnight resume night\n"), (
        "with --api, the first account would go there too"
    )
    resumed = _type_next(evening, paused)
    ended = _type_next(evening, resumed)
    assert ended.returncode == 0, ended.stderr
    assert (sold(elsewhere)[2], evening.bought()) == (4, 0)


def test_a_manifest_goes_to_the_api_that_its_batch_was_loaded_for(evening, elsewhere):
    checked = evening.type("check", "night.csv", "--json")
    assert checked.returncode == 0, checked.stderr
    plan = json.loads(checked.stdout)["plan"]
    assert (plan["api_url"], plan["api_reason"]) == (elsewhere.url, "account spare")
    exported = evening.type("export", "night", "--manifest", "-o", "again.csv")
    ended = _type_next(evening, exported)
    assert ended.returncode == 0, ended.stderr
    more = evening.type("run", "night.csv", "--limit", "6")
    assert more.returncode == 0, more.stderr
    by_account, jobs, all_sold = sold(elsewhere)
    assert (len(by_account), jobs, all_sold, evening.bought()) == (1, 6, 6, 0)


def test_another_api_that_is_typed_is_refused_even_where_an_account_is_at_the_batchs(evening, elsewhere):
    refused = evening.type("run", "night.csv", "--api", evening.sandbox.url)
    assert refused.returncode == 2
    assert f"buys from {elsewhere.url}, and stays with it" in refused.stderr


def _type_next(evening, process):
    """Type the command that is at the end of what a process said."""
    assert process.returncode == 0, process.stderr
    return evening.type(*shlex.split(process.stderr.rpartition(" overnight ")[2]))


def test_the_limits_of_one_account_are_changed_by_its_name(evening):
    assert evening.type("run", "night.csv", "--limit", "3").returncode == 0
    changed = evening.type("quota", "--account", "spare", "--in-flight", "7", "--json")
    assert changed.returncode == 0, changed.stderr
    [told] = json.loads(changed.stdout)
    assert (told["label"], told["in_flight"]["limit"]) == ("spare", 7)
    limits = {
        one["label"]: one["in_flight"]["limit"] for one in json.loads(evening.type("quota", "--json").stdout)
    }
    assert limits == {"main": 200, "spare": 7}
    assert evening.type("quota", "--account", "third", "--in-flight", "7").returncode == 2


def test_workers_serve_two_accounts(place, start_sandbox):
    sandbox = start_sandbox(output_size=64, creates_per_minute=300)
    place.settings |= {
        "OVERNIGHT_API_URL": sandbox.url,
        "OVERNIGHT_API_TOKEN": None,
        "OVERNIGHT_ACCOUNTS": "main,spare",
        "OVERNIGHT_API_TOKEN_MAIN": "token-of-main",
        "OVERNIGHT_API_TOKEN_SPARE": "token-of-spare",
        "OVERNIGHT_CREATES_PER_MINUTE": "300",
    }
    place.start("overnight", "scheduler")
    place.start("overnight", "worker", "--concurrency", "2")
    ended = place.overnight("run", place.manifest(40), "--yes")
    assert ended.returncode == 0, ended.stderr
    by_account, jobs, all_sold = sold(sandbox)
    assert (jobs, all_sold, len(by_account)) == (40, 40, 2)
    assert min(by_account.values()) >= 8
