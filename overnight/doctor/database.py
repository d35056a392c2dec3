"""Check the database: is it there, at our revision, undamaged, on a local disk, and worked on? Creates none."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import REGCLASS

from jobs import database, errors, figures, hints, tables
from jobs.database import Database
from jobs.reports import desertion, status
from jobs.settings import Settings, places
from migrations import schema
from overnight import flags, onlooker, opened
from overnight.doctor import api, findings, mounts
from overnight.doctor.findings import Finding
from overnight.run import lock

_MOUNTS = Path("/proc/self/mounts")
_EMPTIED = {"attempts", "hints", "jobs", "outputs"}  # tables from which a run deletes rows
_ROOM = 1000  # numbers
_RIGHTS = {"SELECT": "SELECT from", "INSERT": "INSERT into", "UPDATE": "UPDATE", "DELETE": "DELETE from"}


def look(settings: Settings) -> Iterator[Finding]:
    """Check the existing database; none is created."""
    path = settings.database_path
    if path is not None:
        _refuse_network_disk(path)
        opened.require_writable(settings)
        if not path.exists():
            yield _to_be_made(path, settings)
            return
    with opened.database(settings) as db:
        _require_rights(db)
        _require_free_numbers(db)
        yield findings.ok("database", f"{places.shown(settings.database_url)} is at revision {schema.HEAD}")
        yield _whole(db, path) if path else _clock(db)


def look_at_work(settings: Settings) -> Iterator[Finding]:
    """Say whether somebody works on what is under way; say nothing if the database cannot be opened."""
    try:
        with opened.database(settings) as db:
            left = _left_behind(db, settings)
            unlike = _unlike_workers(db) if settings.database_path is None else []
            yield from _webhooks(db) if settings.webhook_url else []
    except errors.OvernightError:  # already reported by `look`
        return
    path = settings.database_path
    if path is None:
        onlooker.probe(settings)
        yield from unlike or [findings.ok("work", "nothing that is due stands still")]
    elif holder := lock.holder(path):
        yield findings.ok("work", f"process {holder[0]} works on batch {holder[1]}")
    elif left:
        yield from left
    else:
        yield findings.ok("work", "nothing is under way")


def _webhooks(db: Database) -> Iterator[Finding]:
    with db.read() as tx:
        missed = hints.missed(tx, database.now(tx))
    if missed:
        yield findings.warning("webhooks", missed)


def _unlike_workers(db: Database) -> list[Finding]:
    """Return a warning if a worker cannot do what others are to do."""
    with db.read() as tx:
        told = {desertion.unlike_workers(status.progress(tx, batch.id)) for batch in status.unfinished(tx)}
    return [findings.warning("work", words) for words in sorted(told - {""})]


def _left_behind(db: Database, settings: Settings) -> list[Finding]:
    """Return a warning for each batch with jobs under way; nobody works on them if nobody holds the lock."""
    with db.read() as tx:
        rows = status.overview(tx)
    return [
        findings.warning(
            "work",
            f"a run that has ended left {figures.counted(count, 'job')} of {row.batch.name} under way; to take over: "
            + flags.command(settings, "run", row.batch.name, batch=row.batch),
        )
        for row in rows
        if (count := row.counts.under_way)
    ]


def _to_be_made(path: Path, settings: Settings) -> Finding:
    make = flags.command(settings, "run", "MANIFEST")
    return findings.ok("database", f"there is none at {path} yet; `{make}` makes it")


def _refuse_network_disk(path: Path) -> None:
    """Refuse a network disk: SQLite's locks and shared memory only work within one machine."""
    try:
        table = _MOUNTS.read_text("utf-8", "replace")
    except OSError:  # not Linux
        return
    if (kind := mounts.kind(path, table)) in mounts.NETWORK:
        raise errors.Mistake(
            f"{path} is on a network disk ({kind}), where SQLite can lose what it wrote; "
            "name a file on a disk of this machine, or use postgresql://…"
        )


def _require_rights(db: Database) -> None:
    """Raise Unavailable if a server takes no writes, or not all of ours from this role; no row is touched."""
    if db.path:
        return
    with db.read() as tx:
        lacking = next(_lacking(tx), None)
        role, schema_ = tx.execute(
            sa.select(sa.func.quote_ident(sa.func.current_user()), sa.func.current_schema())
        ).one()
    if lacking:
        raise errors.Unavailable(
            f"{database.shown(db.url)}: role {role} may not {lacking}; as the owner of the tables, type: "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema_} TO {role}; "
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema_} TO {role}"
        )
    with db.write() as tx:  # a server that only reads refuses this from any role
        for table in tables.metadata.sorted_tables:
            [key] = table.primary_key
            tx.execute(sa.insert(table).from_select([key.name], sa.select(key).where(sa.false())))


def _lacking(tx: sa.Connection) -> Iterator[str]:
    """Yield what the role may not do, but a run does; a table's ids come from a sequence with rights of its own."""
    for table in tables.metadata.sorted_tables:
        for right, words in _RIGHTS.items():
            if right == "DELETE" and table.name not in _EMPTIED:
                continue
            if not tx.scalar(sa.select(sa.func.has_table_privilege(table.name, right))):
                yield f"{words} table {table.name}"
        [key] = table.primary_key
        sequence = sa.func.pg_get_serial_sequence(table.name, key.name)
        name, usable = tx.execute(
            sa.select(sequence, sa.func.has_sequence_privilege(sequence, "USAGE"))
        ).one()
        if name and not usable:
            yield f"use sequence {name}"


def _require_free_numbers(db: Database) -> None:
    """Raise Unavailable if a sequence is behind its table; logical replication, for one, copies only the rows."""
    if db.path:
        return
    with db.read() as tx:
        behind = list(_behind(tx))
    if behind:
        raise errors.Unavailable(
            f"{database.shown(db.url)} would give numbers again that are taken, and refuse what has them, so nothing "
            f"could be bought or recorded; as the owner of the tables, type: {'; '.join(behind)}"
        )


def _behind(tx: sa.Connection) -> Iterator[str]:
    """Yield what to type for each sequence, with room for rows that are written meanwhile."""
    for table in tables.metadata.sorted_tables:
        [key] = table.primary_key
        name = tx.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, key.name)))
        if name is None:
            continue
        last = sa.func.pg_sequence_last_value(sa.cast(name, REGCLASS))
        given, taken = tx.execute(sa.select(last, sa.func.max(key))).one()
        if taken is not None and (given or 0) < taken:
            yield f"SELECT setval('{name}', {taken + _ROOM})"


def _whole(db: Database, path: Path) -> Finding:
    with db.read() as tx:
        said = str(tx.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    if said != "ok":
        raise errors.Unavailable(
            f"{path} is damaged ({' '.join(said.split())}); put a copy of it in its place, "
            "with its -wal file if that was copied too"
        )
    return findings.ok("integrity", "SQLite finds no damage")


def _clock(db: Database) -> Finding:
    """Compare the clocks: leases are measured by the server's, and deadlines of the API's dates by ours."""
    with db.read() as tx:
        theirs = database.now(tx)
    return api.clock(datetime.now(UTC), theirs, "the database's")
