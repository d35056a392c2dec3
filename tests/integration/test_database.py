"""What a transaction sees and may do, and what is done when the server breaks it off."""

import os
import shutil
import socket
import threading
from contextlib import closing

import pytest
import sqlalchemy as sa

from jobs import database as database_module
from jobs import errors
from jobs.database import Database
from jobs.tables import events
from migrations import schema
from tests.faults import wires

COUNT = sa.select(sa.func.count()).select_from(events)


def add_event(database):
    with database.write() as tx:
        tx.execute(sa.insert(events).values(at=sa.func.now(), kind="started"))


def test_a_read_is_one_snapshot_whatever_is_written_meanwhile(database):
    with database.read() as tx:
        before = tx.scalar(COUNT)
        add_event(database)
        assert tx.scalar(COUNT) == before
    with database.read() as tx:
        assert tx.scalar(COUNT) == before + 1


def test_a_thread_does_not_wait_for_ever_for_its_turn_while_others_wait_for_another_programs_lock(
    sqlite_database, monkeypatch
):
    monkeypatch.setattr(database_module, "_BUSY", 0.1)
    writes, over = threading.Event(), threading.Event()

    def write():
        with sqlite_database.write():
            writes.set()
            over.wait(20)

    other = threading.Thread(target=write)
    other.start()
    assert writes.wait(20)
    with pytest.raises(errors.Unavailable, match="database is locked"):
        add_event(sqlite_database)
    over.set()
    other.join()
    add_event(sqlite_database)


def test_a_read_on_a_server_writes_nothing(postgres_database):
    with pytest.raises(sa.exc.InternalError, match="read-only transaction"), postgres_database.read() as tx:
        tx.execute(sa.insert(events).values(at=sa.func.now(), kind="started"))


def test_a_server_shows_whose_a_connection_is_unless_the_url_names_it(postgres_url):
    for query, name in [({}, "overnight"), ({"application_name": "nightly"}, "nightly")]:
        url = sa.make_url(postgres_url).update_query_dict(query)
        with closing(Database(url.render_as_string(hide_password=False))) as database, database.read() as tx:
            assert tx.exec_driver_sql("SHOW application_name").scalar_one() == name


def test_a_connection_that_has_read_can_write_again(postgres_database):
    for _ in range(3):
        with postgres_database.read() as tx:
            held = tx.scalar(sa.text("SELECT pg_backend_pid()"))
        with postgres_database.write() as tx:
            assert tx.scalar(sa.text("SELECT pg_backend_pid()")) == held, "the same connection of the pool"
            assert tx.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
        add_event(postgres_database)


def test_a_connection_that_the_server_has_ended_is_found_before_it_is_used(postgres_database, postgres_admin):
    with postgres_database.read() as tx:
        pid = tx.scalar(sa.text("SELECT pg_backend_pid()"))
    postgres_admin.execute(sa.select(sa.func.pg_terminate_backend(pid)))
    add_event(postgres_database)


@pytest.mark.parametrize("by", ["another", None])
def test_a_file_that_is_no_longer_at_its_place_is_told_nothing_more(sqlite_database, by, tmp_path):
    add_event(sqlite_database)
    path, aside = sqlite_database.path, tmp_path / "aside"
    path.rename(aside)
    if by:
        shutil.copyfile(aside, path)
    for way in (sqlite_database.read, sqlite_database.write):
        with pytest.raises(errors.Unavailable, match=r"was moved, deleted or replaced while"), way():
            pass
    assert path.exists() == bool(by), "nothing was made in its place"
    aside.replace(path)
    add_event(sqlite_database)


def test_a_server_that_is_away_is_told_without_what_may_be_a_password():
    away = Database("postgresql+psycopg://me:secret@127.0.0.1:1/night?sslpassword=secret")
    with (
        pytest.raises(errors.Unavailable, match=r"me:\*\*\*@127\.0\.0\.1:1/night: .*refused") as told,
        away.read(),
    ):
        pass
    assert "secret" not in str(told.value)
    away.close()


def test_a_server_whose_machine_is_gone_is_not_waited_for_as_long_as_the_system_would(postgres_url):
    """Hours for an answer, a quarter of one for a question to arrive; a cut in between sends no word of itself."""
    url = sa.make_url(postgres_url)
    wire = wires.Wire(f"{url.query['host']}/.s.PGSQL.5432")
    over_tcp = Database(url.set(host="127.0.0.1", port=wire.port, query={}).render_as_string(False))
    with (
        over_tcp.read() as tx,
        closing(socket.socket(fileno=os.dup(tx.connection.driver_connection.fileno()))) as line,
    ):
        kept = [
            line.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        unheard = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    over_tcp.close()
    wire.close()
    assert kept[0] + kept[1] * kept[2] <= 60
    assert 0 < unheard <= 60


# Units of work

REFUSE = """
CREATE SEQUENCE refused;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('refused') <= {times} THEN RAISE EXCEPTION 'not now' USING ERRCODE = '{state}'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def refuse(database, times, state="40001"):
    """Have the next inserts of an event refused, so many of them."""
    with database.write() as tx:
        tx.exec_driver_sql(REFUSE.format(times=times, state=state))


def insert(tx):
    tx.execute(sa.insert(events).values(at=sa.func.now(), kind="started"))


def count(database):
    with database.read() as tx:
        return tx.scalar(COUNT)


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_unit_that_the_server_breaks_off_is_done_again_from_its_beginning(postgres_database, state):
    refuse(postgres_database, 3, state)
    begun = []

    def work(tx):
        begun.append(1)
        insert(tx)
        insert(tx)
        return "done"

    assert postgres_database.unit(work) == "done"
    assert len(begun) == 4
    assert count(postgres_database) == 2


def test_a_unit_that_is_broken_off_for_ever_ends_after_five_tries(postgres_database):
    refuse(postgres_database, 1000)
    with pytest.raises(errors.Unavailable, match="not now"):
        postgres_database.unit(insert)
    with postgres_database.read() as tx:
        assert tx.scalar(sa.text("SELECT last_value FROM refused")) == 5


@pytest.mark.parametrize("state", ["XX000", "XX001", "XX002"])
def test_a_server_that_cannot_read_its_own_pages_is_out_of_reach_and_no_bug_of_ours(postgres_database, state):
    """Else whoever holds ids that are recorded nowhere yet would drop them."""
    refuse(postgres_database, 1, state)
    with pytest.raises(errors.Unavailable, match="not now"):
        postgres_database.unit(insert)
    postgres_database.unit(insert)


def test_a_unit_whose_connection_is_lost_is_not_repeated_here(postgres_database, postgres_admin):
    begun = []

    def work(tx):
        begun.append(1)
        insert(tx)
        postgres_admin.execute(
            sa.select(sa.func.pg_terminate_backend(tx.scalar(sa.text("SELECT pg_backend_pid()"))))
        )
        insert(tx)

    with pytest.raises(errors.Unavailable):
        postgres_database.unit(work)
    assert len(begun) == 1
    assert count(postgres_database) == 0


def test_two_units_that_lock_each_other_out_are_both_done(postgres_database):
    for _ in range(2):
        add_event(postgres_database)
    both_hold_one = threading.Barrier(2)
    tries = []

    def touch(first, second):
        def work(tx):
            tries.append(first)
            tx.execute(sa.update(events).where(events.c.id == first).values(detail="seen"))
            if len(tries) <= 2:
                both_hold_one.wait(10)
            tx.execute(sa.update(events).where(events.c.id == second).values(detail="seen"))

        return work

    threads = [
        threading.Thread(target=postgres_database.unit, args=(touch(*pair),)) for pair in ((1, 2), (2, 1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(tries) in ([1, 1, 2], [1, 2, 2])


def test_a_server_that_only_reads_any_more_is_waited_for(postgres_database):
    def work(tx):
        tx.exec_driver_sql("SET TRANSACTION READ ONLY")
        insert(tx)

    with pytest.raises(errors.Unavailable, match="read-only"):
        postgres_database.unit(work)


def test_a_role_that_may_not_write_is_told_so(postgres_url, postgres_admin):
    postgres_admin.exec_driver_sql("CREATE ROLE reader LOGIN")
    url = sa.make_url(postgres_url).set(username="reader").render_as_string(hide_password=False)
    try:
        with closing(Database(url)) as database:
            with pytest.raises(errors.Unavailable, match="permission denied for table events"):
                database.unit(lambda tx: tx.execute(sa.delete(events)))
            with (
                pytest.raises(errors.Unavailable, match="permission denied for table events"),
                database.read() as tx,
            ):
                tx.execute(sa.select(events))
    finally:
        postgres_admin.exec_driver_sql("DROP ROLE reader")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_server_that_cannot_hold_every_text_is_refused(postgres_server, postgres_admin, encoding):
    postgres_admin.exec_driver_sql(
        f"CREATE DATABASE narrow TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    url = postgres_server.set(database="narrow").render_as_string(hide_password=False)
    try:
        with (
            closing(Database(url)) as database,
            pytest.raises(errors.Mistake, match=f"/narrow holds .* {encoding}"),
        ):
            schema.upgrade(database)
    finally:
        postgres_admin.exec_driver_sql("DROP DATABASE narrow WITH (FORCE)")


def test_dates_are_read_whatever_the_role_writes_them_like(postgres_url):
    with (
        closing(Database(postgres_url + "&options=-cdatestyle%3DSQL,DMY")) as database,
        database.read() as tx,
    ):
        assert database_module.now(tx).tzinfo


def test_a_pool_without_a_free_connection_is_waited_for(postgres_url):
    crowded = Database(postgres_url)
    crowded.engine.dispose()
    crowded.engine = sa.create_engine(crowded.url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with crowded.read(), pytest.raises(errors.Unavailable, match="QueuePool"), crowded.write():
        pass
    crowded.close()


ONE = sa.update(events).values(kind="paused")
MANY = sa.update(events).where(events.c.id == sa.bindparam("of")).values(kind="paused")


@pytest.mark.parametrize(
    ("update", "values"), [(ONE, None), (MANY, [{"of": 1}, {"of": 2}])], ids=["one", "many"]
)
def test_who_stands_still_inside_a_transaction_loses_it_and_its_locks(
    postgres_url, monkeypatch, update, values
):
    monkeypatch.setattr(database_module, "_IDLE", 0.1)
    with closing(Database(postgres_url)) as still, closing(Database(postgres_url)) as other:
        add_event(other)

        def stand_still(tx):
            tx.execute(update, values)
            with other.write() as going_on:
                going_on.execute(sa.update(events).values(kind="resumed"))
            tx.execute(COUNT)

        with pytest.raises(errors.Unavailable, match="idle-in-transaction"):
            still.unit(stand_still)
        with other.read() as tx:
            assert tx.scalar(sa.select(events.c.kind)) == "resumed"
