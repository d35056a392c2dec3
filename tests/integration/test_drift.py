"""A migrated database has the tables of `jobs.tables`: compared object by object, because Alembic sees no CHECK
and no index condition. The view `results` is the migrations' own."""

import pytest

from jobs import tables
from jobs.database import Database


def test_migrated_sqlite_is_what_the_tables_say(tmp_path, sqlite_database):
    made = Database(f"sqlite:///{tmp_path / 'made.db'}")
    with made.write() as connection:
        tables.metadata.create_all(connection)
    assert _sqlite_schema(sqlite_database) == _sqlite_schema(made)
    made.close()


def test_migrated_postgresql_is_what_the_tables_say(empty_postgres_url, postgres_database):
    made = Database(empty_postgres_url)
    with made.write() as connection:
        tables.metadata.create_all(connection)
    assert _postgres_schema(postgres_database) == _postgres_schema(made)
    made.close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE accounts DROP COLUMN probe_at",
        "DROP INDEX jobs_due",
        "DROP INDEX jobs_to_cancel; CREATE INDEX jobs_to_cancel ON jobs (cancel_requested_at)",
    ],
)
def test_the_comparison_sees_every_kind_of_drift(database, change):
    picture = _sqlite_schema if database.is_sqlite else _postgres_schema
    before = picture(database)
    with database.write() as connection:
        for statement in change.split(";"):
            connection.exec_driver_sql(statement)
    assert picture(database) != before


def test_the_comparison_sees_a_missing_check(postgres_database):
    before = _postgres_schema(postgres_database)
    with postgres_database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs DROP CONSTRAINT jobs_failed_has_a_class")
    assert _postgres_schema(postgres_database) != before


def _sqlite_schema(database):
    """Every object's SQL, its clauses sorted: where a revision had to append a column is no difference."""
    with database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master "
            "WHERE sql IS NOT NULL AND type <> 'view' AND tbl_name <> 'alembic_version'"
        ).all()
    return {name: _clauses(sql) for name, sql in rows}


def _clauses(sql):
    """Split at the commas between columns and constraints, not at those inside parentheses."""
    text = " ".join(sql.replace('"', "").split())
    if not text.startswith("CREATE TABLE"):
        return [text]
    head, _, body = text.partition("(")
    return sorted([head + "(", *(part.strip() for part in _split(body.removesuffix(")")))])


def _split(body):
    depth, start = 0, 0
    for at, sign in enumerate(body):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            yield body[start:at]
            start = at + 1
    yield body[start:]


_POSTGRES_OBJECTS = """
SELECT 'column', c.relname, a.attname,
       format('%%s not null: %%s default: %%s', format_type(a.atttypid, a.atttypmod), a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a JOIN ours c ON c.oid = a.attrelid AND c.relkind = 'r'
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'index', c.relname, i.relname, pg_get_indexdef(x.indexrelid)
FROM pg_index x JOIN ours c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
UNION ALL
SELECT 'constraint', c.relname, k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN ours c ON c.oid = k.conrelid
UNION ALL
SELECT 'sequence', '', relname, '' FROM ours WHERE relkind = 'S'
"""


def _postgres_schema(database):
    """What the catalogue says of each column, index, constraint and sequence."""
    ours = (
        "WITH ours AS (SELECT * FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%%')"
    )
    with database.read() as connection:
        return {tuple(row) for row in connection.exec_driver_sql(ours + _POSTGRES_OBJECTS)}
