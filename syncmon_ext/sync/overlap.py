"""Targets of a task that hold rows which it reads, within one database, or writes as another table."""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import Mode
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import relation

_READ: int = sqlite3.SQLITE_READ


def found(session: AnySession, units: Sequence[UnitPlan]) -> dict[str, str]:
    """By the id of a unit whose target holds rows that a unit reads: the name of that unit's source.

    A table is read through its views, its partitions and those that inherit from it; it is written
    through the last two.
    """
    sound = [unit for unit in units if not unit.errors]
    if isinstance(session, PostgresSession):
        return _found_in_postgresql(session, sound)
    return _found_in_sqlite(session, sound)


def _found_in_postgresql(session: PostgresSession, units: Sequence[UnitPlan]) -> dict[str, str]:
    sources = [relation(unit.source_schema, unit.source_table) for unit in units]
    targets = [relation(unit.target_schema, unit.target_table) for unit in units]
    rows = session.execute(
        "WITH RECURSIVE reads AS ("
        "  SELECT ordinality AS number, to_regclass(name)::oid AS oid "
        "  FROM unnest(%s::text[]) WITH ORDINALITY AS given (name, ordinality) "
        "  UNION SELECT reads.number, next.oid FROM reads CROSS JOIN LATERAL ("
        "    SELECT d.refobjid AS oid FROM pg_class v JOIN pg_rewrite r ON r.ev_class = v.oid "
        "    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid "
        "         AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid "
        "    WHERE v.oid = reads.oid AND v.relkind = 'v' "
        "    UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = reads.oid) AS next"
        "), writes AS ("
        "  SELECT ordinality AS number, to_regclass(name)::oid AS oid "
        "  FROM unnest(%s::text[]) WITH ORDINALITY AS given (name, ordinality) "
        "  UNION SELECT writes.number, i.inhrelid FROM writes "
        "  JOIN pg_inherits i ON i.inhparent = writes.oid"
        ") SELECT DISTINCT writes.number, min(reads.number) FROM writes JOIN reads USING (oid) "
        "GROUP BY writes.number",
        (sources, targets),
    )
    return {units[w - 1].unit_id: units[r - 1].source_table for w, r in rows}


def shared(session: AnySession, units: Sequence[UnitPlan]) -> dict[str, str]:
    """By the id of a unit that replaces rows of another unit's target: the name of that target.

    Only PostgreSQL has tables whose rows are those of others: their partitions.
    """
    replaced = [unit for unit in units if unit.mode is Mode.REPLACE and not unit.errors]
    if not isinstance(session, PostgresSession) or len(replaced) < 2:  # it takes two
        return {}
    rows = session.execute(
        "WITH RECURSIVE writes AS ("
        "  SELECT ordinality AS number, to_regclass(name)::oid AS oid "
        "  FROM unnest(%s::text[]) WITH ORDINALITY AS given (name, ordinality) "
        "  UNION SELECT writes.number, i.inhrelid FROM writes "
        "  JOIN pg_inherits i ON i.inhparent = writes.oid"
        ") SELECT a.number, min(b.number) FROM writes a JOIN writes b USING (oid) "
        "WHERE a.number <> b.number GROUP BY a.number",
        ([relation(unit.target_schema, unit.target_table) for unit in replaced],),
    )
    return {replaced[a - 1].unit_id: replaced[b - 1].target_table for a, b in rows}


def _found_in_sqlite(session: SqliteSession, units: Sequence[UnitPlan]) -> dict[str, str]:
    read: dict[str, str] = {}
    views = {
        row[0].lower()
        for row in session.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")
    }
    for unit in units:
        tables = {unit.source_table.lower()}
        if tables & views:
            tables |= _tables_of_view(session, unit.source_table)
        for table in tables:
            read.setdefault(table, unit.source_table)
    return {
        unit.unit_id: read[unit.target_table.lower()]
        for unit in units
        if unit.target_table.lower() in read
    }


def _tables_of_view(session: SqliteSession, view: str) -> set[str]:
    """What SQLite says that it would read."""
    tables: set[str] = set()

    def note(action: int, table: str | None, *_: str | None) -> int:
        if action == _READ and table:
            tables.add(table.lower())
        return sqlite3.SQLITE_OK

    with session.guard():
        session.raw.set_authorizer(note)
        try:
            session.raw.execute(f"EXPLAIN SELECT * FROM {relation(None, view)}").fetchall()
        finally:
            session.raw.set_authorizer(None)
    return tables
