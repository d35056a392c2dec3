"""Every move of every job, recorded by a trigger in the database: in the end, the rows only show the last one."""

from dataclasses import dataclass

import sqlalchemy as sa

from jobs.database import Database
from jobs.states import State

_TABLE = """CREATE TABLE seen_moves (
    id {key}, job_id BIGINT, from_state TEXT, to_state TEXT, from_attempt BIGINT, to_attempt BIGINT)"""
_INSERT = """INSERT INTO seen_moves (job_id, from_state, to_state, from_attempt, to_attempt)
    VALUES (NEW.id, OLD.state, NEW.state, OLD.attempt_id, NEW.attempt_id);"""
_SQLITE = (
    _TABLE.format(key="INTEGER PRIMARY KEY"),
    f"""CREATE TRIGGER see_moves AFTER UPDATE ON jobs
    WHEN OLD.state <> NEW.state OR OLD.attempt_id IS NOT NEW.attempt_id BEGIN {_INSERT} END""",
)
_POSTGRES = (
    _TABLE.format(key="BIGSERIAL PRIMARY KEY"),
    f"CREATE FUNCTION see_move() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {_INSERT} RETURN NULL; END$$",
    """CREATE TRIGGER see_moves AFTER UPDATE ON jobs FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.attempt_id IS DISTINCT FROM NEW.attempt_id)
    EXECUTE FUNCTION see_move()""",
)


@dataclass(frozen=True)
class Move:
    """One update of a job that changed its state or its attempt."""

    job: int
    source: State
    target: State
    before: int | None  # attempts
    after: int | None


def keep(db: Database) -> None:
    """Have the database record every move from now on."""
    with db.write() as tx:
        for statement in _SQLITE if db.is_sqlite else _POSTGRES:
            tx.exec_driver_sql(statement)


def moves(db: Database) -> list[Move]:
    """Return the moves in their order, which is that of the jobs' locks; none if they were not recorded."""
    with db.read() as tx:
        if not sa.inspect(tx).has_table("seen_moves"):
            return []
        rows = tx.exec_driver_sql(
            "SELECT job_id, from_state, to_state, from_attempt, to_attempt FROM seen_moves ORDER BY id"
        )
        return [Move(job, State(source), State(target), old, new) for job, source, target, old, new in rows]
