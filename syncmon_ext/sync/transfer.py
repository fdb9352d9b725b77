"""The transfer of a whole table from one SQLite file to another, in the form in which it lies there.

An ``INSERT INTO a SELECT * FROM b`` without more moves finished records, and the finished entries of
indexes, where both tables are made alike and ``a`` is empty (SQLite, insert.c, xferOptimization). No value
is decoded and no index is sorted: it takes half the time of an INSERT with a WHERE, or less.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

from typing import Final

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import placing, ranges, staging
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import ident

# A file up to this size takes about three seconds; each of its tables is copied as one chunk.
AT_ONCE_BYTES: Final = 1 << 30
_MOVES_RECORDS: Final = {"RowCell", "RowData"}  # of SQLite's machine; a plain INSERT makes its own


def expected(source: SqliteSession, unit: UnitPlan) -> bool:
    """True where the unit's whole table should be moved as one chunk: it is small enough for that."""
    return _possible(unit) and source.size <= AT_ONCE_BYTES


def _possible(unit: UnitPlan) -> bool:
    return (
        unit.route == "sqlite_sqlite"
        and unit.swap in ("create", "rename")
        and unit.window is None
        and not unit.where
        and not unit.max_rejects
        and len(unit.copied) == len(unit.columns)
        and not any(column.no_null for column in unit.copied)  # no value is looked at
    )


def reaches_end(session: SqliteSession, schema: str, unit: UnitPlan, high: KeyValue | None) -> bool:
    """True where no row lies beyond ``high``: rows that came after the unit began are not part of it."""
    if high is None:
        return True
    bind = ranges.Binder()
    beyond = ranges.where(unit, high, None, bind)
    table = f"{ident(schema)}.{ident(unit.source_table)}"
    return not session.execute(f"SELECT EXISTS (SELECT 1 FROM {table}{beyond})", bind.values)[0][0]


def prepared(
    session: SqliteSession, schema: str, unit: UnitPlan, chunk: Chunk, table: str
) -> str | None:
    """The statement that moves the rows of ``chunk`` as they lie; None where they are not a whole table, or
    the tables are not made alike. ``table``, which is empty then, gets its indexes first."""
    if chunk.low is not None or not _possible(unit):
        return None
    place, origin = f"main.{ident(table)}", f"{ident(schema)}.{ident(unit.source_table)}"
    if session.execute(f"SELECT EXISTS (SELECT 1 FROM {place})")[0][0]:
        return None
    if not reaches_end(session, schema, unit, chunk.high):
        return None
    names = [column.name for column in unit.copied]
    if any(
        _columns(session, *at) != names for at in ((schema, unit.source_table), ("main", table))
    ):
        return None
    statement = f"{placing.inserting(session, unit, table)} {place} SELECT * FROM {origin}"
    session.change("SAVEPOINT syncmon_transfer")
    if unit.swap == "create":
        staging.build_sqlite(session, unit, table)
    steps = {row[1] for row in session.execute(f"EXPLAIN {statement}")}
    if not steps & _MOVES_RECORDS:
        session.change("ROLLBACK TO syncmon_transfer")
        statement = ""
    session.change("RELEASE syncmon_transfer")
    return statement or None


def _columns(session: SqliteSession, schema: str, table: str) -> list[str]:
    rows = session.execute("SELECT name FROM pragma_table_xinfo(?, ?)", (table, schema))
    return [row[0] for row in rows]
