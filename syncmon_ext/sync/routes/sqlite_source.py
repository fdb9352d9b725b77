"""Reading a chunk of SQLite: by the table's own order where that holds the same rows."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import ranges
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import ident, read_column

_ROWIDS: Final = ("rowid", "_rowid_", "oid")
FEW_ROWS: Final = 20_000  # a chunk of more of them is not looked through for large values
# The bytes of a value, of which a text need not be read.
_SIZE: Final = "octet_length" if sqlite3.sqlite_version_info >= (3, 43) else "length"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a chunk: how many, and the FROM and WHERE that give them."""

    rows: int
    clause: str
    values: list[Any]


def selection(session: SqliteSession, schema: str, unit: UnitPlan, chunk: Chunk) -> Selection:
    """The rows of ``chunk`` in the state that the session's open transaction reads.

    The index of the key tells how many rows there are and between which rowids they lie. Where as many
    rowids lie there, these are the chunk's rows and no others; they are then read one after the other,
    which takes less than half of the time of looking each one up from the index.
    """
    bind = ranges.Binder()
    table = f"{ident(schema)}.{ident(unit.source_table)}"
    where = ranges.where(unit, chunk.low, chunk.high, bind)
    rowid = None if unit.where else _rowid(session, schema, unit.source_table)
    if rowid is None:
        rows = session.execute(f"SELECT count(*) FROM {table}{where}", bind.values)[0][0]
        return Selection(rows=rows, clause=f"{table}{where}", values=bind.values)
    rows, first, last = session.execute(
        f"SELECT count(*), min({rowid}), max({rowid}) FROM {table}{where}", bind.values
    )[0]
    if rows and last - first + 1 == rows:
        clause = f"{table} WHERE {rowid} BETWEEN ? AND ?"
        return Selection(rows=rows, clause=clause, values=[first, last])
    return Selection(rows=rows, clause=f"{table}{where}", values=bind.values)


def all_rows(session: SqliteSession, schema: str, unit: UnitPlan) -> Selection:
    """The table with every row that it has."""
    table = f"{ident(schema)}.{ident(unit.source_table)}"
    rows = session.execute(f"SELECT count(*) FROM {table}")[0][0]
    return Selection(rows=rows, clause=table, values=[])


def largest_bytes(session: SqliteSession, unit: UnitPlan, chosen: Selection) -> int:
    """The size of the largest value of a chunk of few rows; 0 where there are many."""
    if not 0 < chosen.rows <= FEW_ROWS:
        return 0
    sizes = ", ".join(f"max({_SIZE}({read_column(column.name)}))" for column in unit.copied)
    found = session.execute(f"SELECT {sizes} FROM {chosen.clause}", chosen.values)[0]
    return max((size for size in found if size is not None), default=0)


def _rowid(session: SqliteSession, schema: str, table: str) -> str | None:
    """The name that the table's own row numbers go by; None where it has none."""
    found = session.execute(
        "SELECT type = 'table' AND NOT wr FROM pragma_table_list(?) WHERE schema = ?",
        (table, schema),
    )
    if not found or not found[0][0]:
        return None
    columns = session.execute("SELECT lower(name) FROM pragma_table_xinfo(?, ?)", (table, schema))
    taken = {row[0] for row in columns}
    return next((name for name in _ROWIDS if name not in taken), None)
