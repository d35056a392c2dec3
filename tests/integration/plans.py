"""How a database finds the rows of each statement, asked of it at the moment when the statement is run."""

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

LARGE = frozenset({"jobs", "attempts", "outputs", "events", "hints"})
# They hold what is rare or under way, however large their table is: to look through them is no scan of it.
SMALL = frozenset(
    {
        "attempts_one_open", "attempts_one_unsettled_twin", "attempts_orphaned", "attempts_surplus",
        "jobs_to_cancel",
    }
)  # fmt: skip
# All that there is may be one batch's and one account's, so that to know only these bounds nothing.
_COARSE = frozenset({"batch_id", "account_id"})
_EXPLAINED = ("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")


@dataclass(frozen=True, slots=True)
class Access:
    """One way into one table: by which index, if any, and which of its columns are bounded there."""

    table: str
    index: str | None
    bounded: frozenset[str]
    statement: str

    @property
    def is_scan(self) -> bool:
        """Whether it may read the whole of a table that grows with the jobs."""
        if self.table not in LARGE or self.index in SMALL:
            return False
        return self.index is None or self.bounded <= _COARSE

    def __str__(self):
        return f"{self.table} by {self.index or 'nothing'} {sorted(self.bounded)}: {self.statement}"


@contextmanager
def explained(database):
    """Collect the accesses of every statement that is run meanwhile."""
    found = []

    def explain(connection, _cursor, statement, values, _context, _executemany):
        if statement.startswith(_EXPLAINED):
            driver = connection.connection.driver_connection
            plan = _sqlite if database.is_sqlite else _postgresql
            found.extend(plan(driver.cursor(), statement, values[0] if isinstance(values, list) else values))

    sa.event.listen(database.engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", explain)


_SQLITE = re.compile(
    r"(?:SCAN|SEARCH) (?P<name>\w+)"
    r"(?: USING (?:COVERING )?(?:INDEX (?P<index>\w+)|INTEGER PRIMARY KEY))?"
    r"(?P<automatic> USING AUTOMATIC)?[^(]*(?:\((?P<bounds>.*)\))?"
)


def _sqlite(cursor, statement, values):
    """Read lines such as `SEARCH jobs USING INDEX jobs_due (state=? AND due_at<?)`."""
    aliases = {alias: table for table, alias in re.findall(r"\b(\w+) AS (\w+)", statement) if table in LARGE}
    for *_, line in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values):
        if (read := _SQLITE.fullmatch(line)) is None:
            continue
        bounds = frozenset(re.findall(r"(\w+)[=<>]", read["bounds"] or ""))
        # An index made for this one statement is made of the whole table.
        index = None if read["automatic"] else read["index"] or ("primary key" if bounds else None)
        yield Access(aliases.get(read["name"], read["name"]), index, bounds, statement)


def _postgresql(cursor, statement, values):
    ((plan,),) = cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", values).fetchall()
    found = json.loads(plan) if isinstance(plan, str) else plan
    yield from _nodes(found[0]["Plan"], None, statement)


def _nodes(node, table, statement):
    """Read a plan's nodes; the index below a bitmap does not say whose it is, so that the table is handed down."""
    table = node.get("Relation Name", table)
    kind = node["Node Type"]
    if kind == "Seq Scan" or "Index Name" in node:
        bounds = re.findall(r"\(+(?:\w+\.)?(\w+)\)?(?:::\w+)? (?:=|<|>|IS)", node.get("Index Cond", ""))
        yield Access(table, node.get("Index Name"), frozenset(bounds), statement)
    for child in node.get("Plans", ()):
        yield from _nodes(child, table, statement)
