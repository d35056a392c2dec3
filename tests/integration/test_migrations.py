"""An upgrade ends well whoever runs it at once and wherever it is killed, and keeps every row."""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from jobs import accounts, errors, tables
from jobs.database import Database
from migrations import schema, scripts
from tests import factory, rows

SPAWN = multiprocessing.get_context("spawn")  # as real programs: nothing inherited
NEXT = f"{int(schema.HEAD) + 1:04}"
MOMENT = datetime(2026, 11, 1, 22, tzinfo=UTC)
FRESH = {
    "creates_tokens": 0, "reads_tokens": 0, "refilled_at": MOMENT, "breaker": "closed", "failures": 0,
    "seen_at": MOMENT,
}  # fmt: skip
# Rows as the first release could write them.
FIRST_ROWS = {
    "batches": {
        "id": 1, "uuid": "a", "name": "night", "folder": "night", "api": factory.API, "state": "open",
        "options": {}, "created_at": MOMENT,
    },
    "accounts": {"id": 1, "name": "api.example-00000000", "api": factory.API, **FRESH},
    "jobs": {
        "id": 1, "batch_id": 1, "key": "a", "stem": "a", "row_digest": "d", "image": "a.png", "input": {},
        "version": "v", "own_seed": True, "labels": {}, "priority": 0, "state": "running", "due_at": MOMENT,
        "attempt_id": 1, "attempts": 1, "absences": 0, "created_at": MOMENT,
    },
    "attempts": {
        "id": 1, "job_id": 1, "number": 1, "account_id": 1, "phase": "running", "input": {}, "input_digest": "d",
        "prediction_id": "p", "intended_at": MOMENT, "possibly_paid": False,
    },
    "outputs": {"id": 1, "job_id": 1, "attempt_id": 1, "index": 0, "url": "https://example.com/0.png"},
    "events": {"id": 1, "batch_id": 1, "at": MOMENT, "kind": "started"},
}  # fmt: skip


@pytest.fixture
def empty(empty_url):
    database = Database(empty_url)
    yield database
    database.close()


def test_the_head_is_the_last_of_consecutive_numbers():
    revisions = ScriptDirectory.from_config(scripts.config()).walk_revisions()
    numbers = sorted(script.revision for script in revisions)
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)]
    assert numbers[-1] == schema.HEAD


def test_the_rows_of_the_first_tables_come_through_every_revision(empty):
    with empty.write():  # makes the SQLite file
        pass
    config = scripts.config()
    config.attributes["database"] = empty
    command.upgrade(config, "0001")
    with empty.write() as tx:
        for name, values in FIRST_ROWS.items():
            tx.execute(sa.insert(tables.metadata.tables[name]).values(values))
    for number in range(2, int(NEXT)):
        command.upgrade(config, f"{number:04}")
        with empty.read() as tx:
            assert tx.exec_driver_sql("SELECT batch, key FROM results").one() == ("night", "a")
    schema.require(empty)
    assert _row_counts(empty) == dict.fromkeys(FIRST_ROWS, 1) | {"hints": 0}
    assert rows.job(empty, 1).state == "running"
    with empty.read() as tx:
        (account,) = accounts.every(tx)
    assert account.own_limits == {}, "it goes by the settings"


def test_jobs_under_way_in_an_older_database_stay_with_the_account_of_their_attempt(database):
    batch, account = factory.make_batch(database), factory.make_account(database)
    made = {
        state: factory.make_job(database, batch, state=state).id
        for state in ("queued", "running", "succeeded")
    }
    with database.write() as tx:
        later = [("accounts", "list_shows_images"), ("accounts", "poll_at")]
        later += [("attempts", "cancel_at"), ("attempts", "cancel_refused")]
        for table, column in [("jobs", "account_id"), ("batches", "account"), ("accounts", "label"), *later]:
            tx.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0006'")
    assert schema.upgrade(database) == "0006"
    assert {state: rows.job(database, job).account_id for state, job in made.items()} == {
        "queued": None,  # handed out again after its lease
        "running": account.id,
        "succeeded": None,
    }
    with database.read() as tx:
        assert [(one.id, one.label) for one in accounts.every(tx)] == [(account.id, None)]


def test_a_second_upgrade_changes_nothing(empty):
    assert schema.current(empty) is None
    assert schema.upgrade(empty) is None
    batch = factory.make_batch(empty)
    assert schema.upgrade(empty) == schema.HEAD
    assert schema.current(empty) == schema.HEAD
    with empty.read() as connection:
        assert connection.scalar(sa.select(tables.batches.c.name)) == batch.name


def test_five_upgrades_at_once_all_succeed(empty, empty_url):
    start = SPAWN.Barrier(5)
    programs = [SPAWN.Process(target=_upgrade_at_once, args=(empty_url, start)) for _ in range(5)]
    for program in programs:
        program.start()
    for program in programs:
        program.join(60)
    assert [program.exitcode for program in programs] == [0] * 5
    schema.require(empty)
    factory.make_job(empty, factory.make_batch(empty))


@pytest.mark.parametrize(
    "moment", ["CREATE TABLE jobs", "CREATE UNIQUE INDEX attempts_one_open", "CREATE VIEW", "COMMIT"]
)
def test_an_upgrade_that_is_killed_leaves_nothing_and_the_next_one_finishes(empty, empty_url, moment):
    program = SPAWN.Process(target=_upgrade_and_die, args=(empty_url, moment))
    program.start()
    program.join(60)
    assert program.exitcode == -signal.SIGKILL
    assert schema.current(empty) is None
    with empty.read() as connection:
        assert sa.inspect(connection).get_table_names() == []
    schema.upgrade(empty)
    schema.require(empty)


def test_a_rebuilt_table_keeps_its_rows_and_those_that_hang_on_it(database, tmp_path):
    batch = factory.make_batch(database)
    factory.make_job(database, batch, state="succeeded")
    before = _row_counts(database)
    _upgrade_with(
        database,
        tmp_path,
        'with op.batch_alter_table("batches") as batches:\n'
        '        batches.alter_column("name", new_column_name="title")',
        view="CREATE VIEW results AS SELECT title FROM batches",
    )
    assert schema.current(database) == NEXT
    assert _row_counts(database) == before
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT title FROM results").scalar_one() == batch.name
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        connection.execute(sa.delete(tables.batches))


def test_what_a_person_built_on_the_view_and_who_may_read_it_outlast_an_upgrade(postgres_database, tmp_path):
    batch = factory.make_batch(postgres_database)
    factory.make_job(postgres_database, batch, state="succeeded")
    with postgres_database.write() as tx:
        tx.exec_driver_sql("CREATE VIEW done AS SELECT batch FROM results WHERE state = 'succeeded'")
        tx.exec_driver_sql("GRANT SELECT ON results TO PUBLIC")
    _upgrade_with(postgres_database, tmp_path, 'op.execute("ALTER TABLE jobs ADD COLUMN colour TEXT")')
    assert schema.current(postgres_database) == NEXT
    with postgres_database.read() as tx:
        assert tx.exec_driver_sql("SELECT batch FROM done").scalar_one() == batch.name
        assert tx.exec_driver_sql("SELECT has_table_privilege('public', 'results', 'SELECT')").scalar_one()


def test_an_upgrade_gives_way_to_a_program_that_reads_for_long_and_says_so(postgres_database):
    with postgres_database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE accounts DROP COLUMN poll_at")
    rows.stamp(postgres_database, "0009")
    with postgres_database.read() as reader:
        reader.execute(sa.select(tables.accounts.c.id))
        with pytest.raises(errors.Unavailable, match=r"nothing was changed: another program, .* is reading"):
            schema.upgrade(postgres_database)
    assert schema.upgrade(postgres_database) == "0009"


def test_a_revision_that_orphans_rows_on_sqlite_is_taken_back(sqlite_database, tmp_path):
    factory.make_job(sqlite_database, factory.make_batch(sqlite_database), state="succeeded")
    before = _row_counts(sqlite_database)
    with pytest.raises(errors.OvernightError, match="without what they belong to"):
        _upgrade_with(sqlite_database, tmp_path, 'op.execute("DELETE FROM batches")')
    assert schema.current(sqlite_database) == schema.HEAD
    assert _row_counts(sqlite_database) == before


def test_foreign_keys_are_on_again_after_an_upgrade(empty_sqlite_url):
    database = Database(empty_sqlite_url)
    schema.upgrade(database)
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    database.close()


def test_an_empty_database_is_refused_with_the_command_that_helps(empty):
    schema.current(empty)  # makes the SQLite file, as a run does that is killed before its tables are there
    refusal, said = (
        (errors.Mistake, r"no database yet in .*; `overnight run MANIFEST` makes one")
        if empty.is_sqlite
        else (errors.Unavailable, r"has no tables yet.*; type: overnight db upgrade")
    )
    with pytest.raises(refusal, match=said):
        schema.require(empty)


def test_an_older_database_is_refused_with_the_command_that_helps(database):
    rows.stamp(database, "0000")
    with pytest.raises(errors.Unavailable, match=r"is at revision 0000.*; type: overnight db upgrade"):
        schema.require(database)


@pytest.mark.parametrize("use", [schema.require, schema.upgrade])
def test_a_newer_database_is_refused_and_left_alone(database, use):
    rows.stamp(database, "9999")
    with pytest.raises(errors.Unavailable, match=r"made by a newer overnight .*; upgrade this program"):
        use(database)
    assert schema.current(database) == "9999"


def test_a_missing_file_is_refused_with_its_path_and_not_made(tmp_path):
    path = tmp_path / "nowhere" / "overnight.db"
    database = Database(f"sqlite:///{path}")
    with pytest.raises(errors.Mistake, match=re.escape(str(path))):
        schema.require(database)
    with pytest.raises(errors.Mistake, match=re.escape(str(path.parent))):
        schema.upgrade(database)
    assert not path.parent.exists()


def test_a_path_that_cannot_be_opened_is_told_in_one_line(tmp_path):
    database = Database(f"sqlite:///{tmp_path}")
    for use in (schema.require, schema.upgrade):
        with pytest.raises(
            errors.Unavailable, match=rf"^database {re.escape(str(tmp_path))}.*unable to open"
        ):
            use(database)


def test_the_next_revision_is_drafted_under_the_next_number(tmp_path):
    for package in ("jobs", "migrations"):
        shutil.copytree(scripts.FOLDER.parent / package, tmp_path / package)
    drafted = [sys.executable, "-m", "migrations", "Jobs learn a colour"]
    subprocess.run(drafted, cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "migrations" / "versions" / f"{NEXT}_jobs_learn_a_colour.py").read_text()
    assert f'revision = "{NEXT}"\ndown_revision = "{schema.HEAD}"\n' in text
    compile(text, "draft", "exec")


@pytest.mark.parametrize("use", [schema.require, schema.upgrade])
def test_another_programs_tables_are_left_alone(empty, use):
    with empty.write() as connection:
        connection.exec_driver_sql("CREATE TABLE outputs (what TEXT)")
    with pytest.raises(
        errors.Mistake, match="holds another program's tables, and stays as it is; name another"
    ):
        use(empty)
    with empty.read() as connection:
        assert sa.inspect(connection).get_table_names() == ["outputs"]


@pytest.mark.parametrize("use", [schema.require, schema.upgrade])
def test_another_programs_file_is_left_alone_whatever_its_tables_are_called(tmp_path, use):
    database = Database(f"sqlite:///{tmp_path / 'people.db'}")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE people (name TEXT)")
    with pytest.raises(errors.Mistake, match="holds another program's tables"):
        use(database)
    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == ["people"]
    database.close()


def test_another_programs_revision_is_no_newer_one_of_ours(database):
    rows.stamp(database, "1975ea83b712")
    with pytest.raises(errors.Mistake, match="holds another program's tables"):
        schema.require(database)
    assert schema.outgrown(database) is None


def _row_counts(database):
    with database.read() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in tables.metadata.sorted_tables
        }


def _upgrade_with(database, folder: Path, step, view=None):
    """Upgrade by one revision more than the program has."""
    text = (
        f'from alembic import op\nrevision = "{NEXT}"\ndown_revision = "{schema.HEAD}"\n'
        f"def upgrade():\n    {step}\n" + (f"RESULTS_VIEW = {view!r}\n" if view else "")
    )
    (folder / f"{NEXT}_one_more.py").write_text(text)
    config = scripts.config()
    config.set_main_option(
        "version_locations", os.pathsep.join([str(scripts.FOLDER / "versions"), str(folder)])
    )
    config.attributes["database"] = database
    command.upgrade(config, "head")


def _upgrade_at_once(url, start):
    start.wait(60)
    schema.upgrade(Database(url))


def _upgrade_and_die(url, moment):
    """Upgrade, and be killed just before the given statement, or the commit."""
    database = Database(url)

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _kill_at_statement(_connection, _cursor, sql, *_rest):
        if sql.lstrip().startswith(moment):
            os.kill(os.getpid(), signal.SIGKILL)

    @sa.event.listens_for(database.engine, "commit")
    def _kill_at_commit(connection):
        if moment == "COMMIT" and sa.inspect(connection).get_view_names():
            os.kill(os.getpid(), signal.SIGKILL)

    schema.upgrade(database)
