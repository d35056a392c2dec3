"""Which accounts are worked for, and that nothing another one has under way is left alone."""

from datetime import timedelta

import sqlalchemy as sa

from jobs import accounts, settings, tables
from jobs.accounts import attendance
from scheduler import duties
from tests import factory, rows
from worker import app

API = "https://api.example/v1"
OTHER = "https://other.example/v1"
HOUR = timedelta(hours=1)


def start(database, *named, api=API):
    """A worker starts that has these accounts, each (name, label); return their ids."""
    with database.write() as tx:
        moment = rows.now(database)
        return [accounts.register(tx, moment, name, api, label) for name, label in named]


def seated(database):
    with database.read() as tx:
        return {seat.account.id: set(seat.answers_for) for seat in attendance.seats(tx)}


def test_the_accounts_that_a_worker_names_are_worked_for_together(database):
    main, spare = start(database, ("one", "main"), ("two", "spare"))
    assert seated(database) == {main: {main}, spare: {spare}}
    assert start(database, ("one", "main"), ("two", "spare")) == [main, spare]
    assert seated(database) == {main: {main}, spare: {spare}}


def test_a_new_token_answers_for_the_old_one_of_its_name(database):
    old, spare = start(database, ("one", "main"), ("two", "spare"))
    new, _ = start(database, ("three", "main"), ("two", "spare"))
    assert seated(database) == {new: {new, old}, spare: {spare}}


def test_what_an_account_has_under_way_that_is_named_no_more_is_the_first_ones(database):
    main, spare = start(database, ("one", "main"), ("two", "spare"))
    elsewhere = start(database, ("four", "far"), api=OTHER)[0]
    start(database, ("one", "main"))
    assert seated(database) == {main: {main, spare}, elsewhere: {elsewhere}}
    start(database, ("one", "main"), ("two", "spare"))
    assert seated(database) == {main: {main}, spare: {spare}, elsewhere: {elsewhere}}


def test_one_that_has_lost_its_place_answers_for_itself(database):
    [old] = start(database, ("one", None))
    [new] = start(database, ("two", None))
    with database.read() as tx:
        assert set(attendance.seat(tx, new).answers_for) == {old, new}
        assert attendance.seat(tx, old).answers_for == (old,)


def test_two_workers_that_tell_at_the_same_moment_that_they_live_keep_their_account(postgres_database):
    """The other tells it between our look at our own rows and our look at the latest."""
    start(postgres_database, ("one", None))
    now = rows.now(postgres_database)

    def tell(moment):
        with postgres_database.write() as tx:
            return accounts.attended(tx, moment, ["one"], moment - HOUR)

    others = iter([now + HOUR])
    told = []

    def other(_connection, _cursor, statement, *_):
        if "max(" in statement:
            told.extend(map(tell, others))

    sa.event.listen(postgres_database.engine, "before_cursor_execute", other)
    assert not tell(now + HOUR)
    assert told == [False], "the other came between"
    [account] = rows.rows(postgres_database, tables.accounts)
    assert account.seen_at == now + HOUR


def test_a_task_for_an_account_that_is_not_here_leaves_its_rows_alone(monkeypatch):
    monkeypatch.setattr(app, "_held", {1: "the one", 2: "the other"})
    assert app.held(2) == "the other"
    assert app.held(3) is None


def test_each_message_says_whose_calls_it_asks_for(sqlite_database):
    account = factory.make_account(
        sqlite_database, refilled_at=rows.now(sqlite_database) - timedelta(hours=1)
    )
    batch = factory.make_batch(sqlite_database)
    job = factory.make_job(sqlite_database, batch)
    running = factory.make_job(sqlite_database, batch, state="running")
    configured = settings.Settings(OVERNIGHT_API_URL=API, api_token="made-up", _env_file=None)
    scope = duties.Scope(factory.seat(sqlite_database))
    [submit] = duties.release(sqlite_database, configured, scope)
    [poll] = duties.poll(sqlite_database, configured, scope)
    assert submit.args == [[job.id], account.id]
    assert poll.args == [[running.id], 0, account.id]


# Whose place it is


def attended(database, *names):
    """A worker of these accounts lives; whether it is to register them, since nobody was heard of for an hour."""
    moment = rows.now(database)
    with database.write() as tx:
        return accounts.attended(tx, moment, names, moment - HOUR)


def hours_pass(database):
    with database.write() as tx:
        for account in tx.execute(sa.select(tables.accounts)).all():
            this = tables.accounts.c.id == account.id
            earlier = account.seen_at - 2 * HOUR
            tx.execute(sa.update(tables.accounts).where(this).values(seen_at=earlier))


def test_who_started_last_keeps_the_place_while_it_has_a_worker(database):
    [old] = start(database, ("one", None))
    [new] = start(database, ("two", None))
    hours_pass(database)
    assert not attended(database, "two")
    assert not attended(database, "one")
    assert seated(database) == {new: {new, old}}


def strangers(database, api=API):
    with database.read() as tx:
        return attendance.strangers(tx, api, rows.now(database))


def test_a_worker_that_lives_without_a_place_is_a_stranger_to_those_that_buy(database):
    start(database, ("one", None))
    start(database, ("two", None))
    hours_pass(database)
    assert strangers(database) == ()
    attended(database, "two")
    assert strangers(database) == ()
    attended(database, "one")
    assert strangers(database) == ("one",)


def test_a_worker_for_another_api_is_a_stranger_unless_it_works_here_too(database):
    start(database, ("one", None))
    start(database, ("three", "far"), api=OTHER)
    assert strangers(database) == ("far (three)",)
    attended(database, "one", "three")
    assert strangers(database) == strangers(database, OTHER) == ()


def test_a_place_without_a_worker_is_free(database):
    start(database, ("one", None))
    start(database, ("two", None))
    elsewhere = start(database, ("three", None), api=OTHER)[0]
    hours_pass(database)
    assert not attended(database, "three")
    assert attended(database, "one", "three"), "the other API's worker does not speak for this one"
    assert elsewhere in seated(database)


def test_accounts_that_buy_together_keep_their_place_together(database):
    main, spare = start(database, ("one", "main"), ("two", "spare"))
    assert not attended(database, "one")
    assert seated(database) == {main: {main}, spare: {spare}}


def test_a_child_that_replaces_another_ousts_nobody(database):
    [old] = start(database, ("one", None))
    [new] = start(database, ("two", None))
    moment = rows.now(database)
    with database.write() as tx:
        assert accounts.register(tx, moment, "one", API, anew=False) == old
    assert seated(database) == {new: {new, old}}
