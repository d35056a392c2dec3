"""The account's row, as processes that start at the same moment make it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from jobs import accounts
from jobs.tables import accounts as rows
from tests.integration import rehearsal


def register(database):
    with database.write() as tx:
        return accounts.register(tx, "api.example-00000000", "https://api.example/v1")


def is_waited_for(database):
    with database.read() as tx:
        return tx.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted"))


def test_two_workers_that_start_at_once_share_one_row(postgres_database):
    with ThreadPoolExecutor(1) as second:
        with postgres_database.write() as tx:
            first = accounts.register(tx, "api.example-00000000", "https://api.example/v1")
            other = second.submit(register, postgres_database)
            rehearsal.eventually(lambda: is_waited_for(postgres_database))
        assert other.result(timeout=30) == first
    assert register(postgres_database) == first


@pytest.mark.parametrize("times", [1, 3])
def test_a_token_has_one_row_however_often_it_is_registered(times, database):
    ids = {register(database) for _ in range(times)}
    with database.read() as tx:
        assert tx.execute(sa.select(rows.c.id)).scalars().all() == list(ids)
