"""A batch with so many jobs that what looks at all of them shows: rows that the database itself makes.

They stand as the life cycle leaves them: bought at an even pace until now, in the manifest's order, one in a hundred
failed, one in fifty at its second attempt, an image for each that succeeded.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from jobs import database as databases
from jobs.database import Database
from jobs.tables import batches

_SERIES = {
    "postgresql": "generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS numbers(n)",
    "sqlite": "(WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)"
    " SELECT n FROM numbers)",
}
_DIGEST = {"postgresql": "md5(CAST({} AS text))", "sqlite": "lower(hex(randomblob(16)))"}
_MOMENT = {
    "postgresql": "CAST(:began AS timestamptz) + ({}) * interval '1 second'",
    # As the driver writes a moment: six digits behind the point.
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', :began, ({}) || ' seconds') || '000'",
}
_JSON = {"postgresql": "CAST({} AS jsonb)", "sqlite": "{}"}

_JOBS = """
INSERT INTO jobs (batch_id, key, stem, "row", row_digest, image, input, version, own_seed, labels, priority, state,
                  due_at, attempt_id, account_id, attempts, absences, error_class, error_message, created_at,
                  finished_at)
SELECT :batch, 'crowd-' || n, 'crowd-' || n, n, {row_digest}, 'https://images.example/photo-' || n || '.jpg',
       {input}, 'stability-ai/stable-diffusion-img2img', true, {labels}, 0, state,
       CASE state WHEN 'pending' THEN {began} WHEN 'running' THEN {now} END,
       CASE WHEN state <> 'pending' THEN :attempts + 2 * n END, CASE WHEN state <> 'pending' THEN :account END,
       CASE WHEN state = 'pending' THEN 0 WHEN n % 50 = 1 THEN 2 ELSE 1 END, 0,
       CASE WHEN state = 'failed' THEN CASE n % 300 WHEN 0 THEN 'nsfw' ELSE 'timed-out' END END,
       CASE WHEN state = 'failed' THEN 'it did not work out, number ' || n END,
       {began}, CASE WHEN state IN ('succeeded', 'failed') THEN {ended} END
FROM (SELECT n, CASE WHEN n > :ended + :running THEN 'pending' WHEN n > :ended THEN 'running'
                     WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END AS state
      FROM {series}) AS made
"""
# The earlier attempt of one in fifty has the odd number, every job's current one the even number behind it.
_ATTEMPTS = """
INSERT INTO attempts (id, job_id, number, account_id, phase, input, input_digest, prediction_id, intended_at, sent_at,
                      accepted_at, produced_at, finished_at, predict_time, possibly_paid, error_class)
SELECT attempt_id - :back, id, CASE WHEN "row" % 50 = 1 THEN 2 - :back ELSE 1 END, :account,
       CASE :back WHEN 1 THEN 'failed' ELSE state END, input, {input_digest}, 'crowd-' || (attempt_id - :back),
       {sent}, {sent}, {accepted}, CASE WHEN :back = 0 AND state = 'succeeded' THEN {produced} END,
       CASE WHEN :back = 1 OR state <> 'running' THEN {ended} END, 2.5, false,
       CASE WHEN :back = 1 OR state = 'failed' THEN COALESCE(error_class, 'interrupted') END
FROM jobs WHERE batch_id = :batch AND attempt_id > :attempts AND (:back = 0 OR "row" % 50 = 1)
"""
_OUTPUTS = """
INSERT INTO outputs (job_id, attempt_id, "index", url, path, media_type, bytes, width, height, sha256, collected_at)
SELECT id, attempt_id, 0, 'https://files.example/' || attempt_id || '.png', 'crowd/' || key || '-0.png', 'image/png',
       300000, 768, 512, row_digest || row_digest, finished_at
FROM jobs WHERE batch_id = :batch AND attempt_id > :attempts AND state = 'succeeded'
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many jobs there are of each kind; one in a hundred of the ended ones has failed."""

    ended: int
    running: int = 200
    pending: int = 0
    pace: int = 600  # jobs a minute

    @property
    def size(self) -> int:
        return self.ended + self.running + self.pending


def gather(database: Database, batch: int, account: int, crowd: Crowd) -> None:
    """Add a crowd to a batch, bought by one account; the batch is opened when the first of them was."""
    with database.write() as tx:
        now = databases.now(tx)
        began = now - timedelta(seconds=crowd.ended * 60 / crowd.pace + 60)
        attempts = tx.execute(sa.text("SELECT COALESCE(max(id), 0) FROM attempts")).scalar_one()
        given = {
            "first": 1, "last": crowd.size, "ended": crowd.ended, "running": crowd.running, "pace": crowd.pace,
            "batch": batch, "account": account, "attempts": attempts,
            "began": str(began.replace(tzinfo=None)) if database.is_sqlite else began,
        }  # fmt: skip
        tx.execute(sa.update(batches).where(batches.c.id == batch).values(opened_at=began))
        _run(tx, _JOBS, given)
        for back in (0, 1):
            _run(tx, _ATTEMPTS, given | {"back": back})
        _run(tx, _OUTPUTS, given)
        if not database.is_sqlite:  # what was numbered by us, the database numbers on
            tx.exec_driver_sql(
                "SELECT setval(pg_get_serial_sequence('attempts', 'id'), max(id)) FROM attempts"
            )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # What the database does by and by, were so much not written at once.
        connection.exec_driver_sql(
            "PRAGMA wal_checkpoint(TRUNCATE)" if database.is_sqlite else "VACUUM ANALYZE"
        )


def _run(tx: sa.Connection, statement: str, given: dict[str, Any]) -> None:
    kind = tx.dialect.name

    def moment(seconds: str) -> str:
        return _MOMENT[kind].format(seconds)

    number = "n" if statement is _JOBS else '"row"'
    done = f"{number} * 60.0 / :pace"
    text = statement.format(
        series=_SERIES[kind],
        row_digest=_DIGEST[kind].format("n"),
        input_digest=_DIGEST[kind].format("attempt_id"),
        input=_JSON[kind].format(
            """'{"prompt": "The same scene as an oil painting, number ' || n || '", "seed": ' || n || '}'"""
        ),
        labels=_JSON[kind].format("""'{"camera": "' || (n % 17) || '"}'"""),
        began=moment("0"),
        sent=moment(f"{done} - 6 * (1 + :back)"),
        accepted=moment(f"{done} - 5 * (1 + :back)"),
        produced=moment(f"{done} - 1"),
        ended=moment(f"{done} - 6 * :back") if statement is _ATTEMPTS else moment(done),
        now=moment(":ended * 60.0 / :pace"),
    )
    tx.execute(sa.text(text), given)
