"""What a transaction sees and may do."""

import pytest
import sqlalchemy as sa

from jobs import errors
from jobs.database import Database
from jobs.tables import events

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


def test_a_read_on_a_server_writes_nothing(postgres_database):
    with pytest.raises(sa.exc.InternalError, match="read-only transaction"), postgres_database.read() as tx:
        tx.execute(sa.insert(events).values(at=sa.func.now(), kind="started"))


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


def test_a_server_that_is_away_is_told_without_what_may_be_a_password():
    away = Database("postgresql+psycopg://me:secret@127.0.0.1:1/night?sslpassword=secret")
    with (
        pytest.raises(errors.Unavailable, match=r"me:\*\*\*@127\.0\.0\.1:1/night: .*refused") as told,
        away.read(),
    ):
        pass
    assert "secret" not in str(told.value)
    away.close()
