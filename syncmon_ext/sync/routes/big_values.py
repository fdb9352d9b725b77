"""Values of PostgreSQL that go to SQLite in slices: the driver holds a row whole, in two digits a byte.

A row with such a value is left out of the chunk's COPY. It is inserted without the value, SQLite is asked
for the room, and the slices are written into it; at no time is more than a few of them in memory.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from typing import Final

import msgspec

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync import ranges, throttle, types
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sqlite import UTF8, SqliteSession
from syncmon_ext.sync.quoting import ident, relation
from syncmon_ext.sync.reflect.sqlite import affinity
from syncmon_ext.sync.routes.postgresql_source import MOST_COMPRESSED, kept_elsewhere, read

BIG_BYTES: Final = 8 << 20  # from here on a value goes in slices
SLICE_BYTES: Final = 2 << 20
# A table whose big values, if any, are kept elsewhere in fewer bytes has none.
LEAST_KEPT: Final = BIG_BYTES // MOST_COMPRESSED
_SOURCES: Final = {"bytea": types.BLOB, "text": types.TEXT, "character varying": types.TEXT}
_AFFINITIES: Final = {types.BLOB: ("BLOB",), types.TEXT: ("TEXT", "BLOB")}
_ROOM: Final = {types.BLOB: "zeroblob(?)", types.TEXT: "CAST(zeroblob(?) AS TEXT)"}


_EXPRESSION: Final = -2  # in place of a column's number, in an index


class BigRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where the source has a row, and the bytes of its values that are big."""

    place: str  # a condition that finds it, within the snapshot
    sizes: dict[str, int]


class BigRows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a chunk that go in slices."""

    rows: list[BigRow]
    others: str  # a condition that all other rows meet


def found(
    source: PostgresSession, target: SqliteSession, unit: UnitPlan, chunk: Chunk, table: str
) -> BigRows | None:
    """The rows of ``chunk`` with big values; None where there are none, or they cannot go in slices."""
    texts = _one_encoding(source, target)
    sliced = [
        column
        for column in unit.copied
        if _can_be_sliced(column) and (texts or column.check == types.BLOB)
    ]
    if not sliced or kept_elsewhere(source, unit) < LEAST_KEPT:
        return None
    sliced = [column for column in sliced if column.name in _writable(target, table)]
    if not sliced:
        return None
    sizes = [f"octet_length({ident(column.name)})" for column in sliced]
    big = " OR ".join(f"{size} > {BIG_BYTES}" for size in sizes)
    where = ranges.where(unit, chunk.low, chunk.high, source.literal)
    rows = source.execute(
        f"SELECT tableoid::bigint, ctid::text, {', '.join(sizes)} "
        f"FROM {relation(unit.source_schema, unit.source_table)}"
        f"{where} {'AND' if where else 'WHERE'} ({big})"
    )
    if not rows:
        return None
    return BigRows(
        rows=[
            BigRow(
                place=f"tableoid = {int(owner)} AND ctid = {source.literal(at)}::tid",
                sizes={
                    column.name: size
                    for column, size in zip(sliced, found_sizes, strict=True)
                    if size is not None and size > BIG_BYTES
                },
            )
            for owner, at, *found_sizes in rows
        ],
        others=f"({big}) IS NOT TRUE",
    )


def _one_encoding(source: PostgresSession, target: SqliteSession) -> bool:
    """True where both sides keep texts in the same bytes."""
    server = source.raw.info.parameter_status("server_encoding")
    return server == "UTF8" and target.encoding == UTF8


def _can_be_sliced(column: ColumnPlan) -> bool:
    kind = _SOURCES.get(column.source_type.partition("(")[0])
    return kind == column.check and affinity(column.target_type) in _AFFINITIES.get(
        column.check, ()
    )


def _writable(target: SqliteSession, table: str) -> set[str]:
    """The columns of the landing table whose values can be written piece by piece."""
    listed = target.execute(
        "SELECT l.wr, s.sql FROM pragma_table_list(?) l JOIN sqlite_schema s ON s.name = l.name "
        "WHERE l.schema = 'main'",
        (table,),
    )
    if not listed or listed[0][0] or "CHECK" in listed[0][1].upper():
        return set()  # no rowids, or a check that the value must pass when it is inserted
    looked_at = target.execute(
        "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE "
        "UNION ALL SELECT 1 FROM pragma_table_xinfo(?) WHERE hidden IN (2, 3) "
        "UNION ALL SELECT 1 FROM pragma_index_list(?) i, pragma_index_xinfo(i.name) x "
        f"WHERE i.partial OR x.cid = {_EXPRESSION} LIMIT 1",
        (table,) * 3,
    )
    if looked_at:
        return set()  # by what is not told that the value comes later
    rows = target.execute(
        "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 AND NOT pk AND name NOT IN "
        "(SELECT x.name FROM pragma_index_list(?) i, pragma_index_xinfo(i.name) x "
        " WHERE x.name IS NOT NULL)",
        (table, table),
    )
    return {row[0] for row in rows}


def statement(unit: UnitPlan, row: BigRow) -> str:
    """The COPY of ``row`` without its big values."""
    listed = ", ".join(
        f"''::{column.source_type} AS {ident(column.name)}"
        if column.name in row.sizes
        else read(column)
        for column in unit.copied
    )
    table = relation(unit.source_schema, unit.source_table)
    return f"COPY (SELECT {listed} FROM {table} WHERE {row.place}) TO STDOUT"


def write(
    source: PostgresSession,
    target: SqliteSession,
    unit: UnitPlan,
    row: BigRow,
    table: str,
    pacer: throttle.Pacer,
) -> int:
    """Write the big values of the row that was inserted last; gives their bytes."""
    rowid = int(target.execute("SELECT last_insert_rowid()")[0][0])
    by_name = {column.name: column for column in unit.copied}
    origin = relation(unit.source_schema, unit.source_table)
    for name, size in row.sizes.items():
        text = by_name[name].check == types.TEXT
        make_room = f"UPDATE main.{ident(table)} SET {ident(name)} = {_ROOM[by_name[name].check]}"
        value = f"convert_to({ident(name)}, 'UTF8')" if text else ident(name)
        with target.small_cache():  # SQLite makes the record as a whole, once
            target.change(f"{make_room} WHERE rowid = ?", (size, rowid))
            with target.mapped(), target.raw.blobopen(table, name, rowid) as room:
                for start in range(0, size, SLICE_BYTES):
                    select = (
                        f"SELECT substring({value} FROM {start + 1} FOR {SLICE_BYTES}) "
                        f"FROM {origin} WHERE {row.place}"
                    )
                    with source.guard(), source.raw.cursor(binary=True) as cursor:
                        [(data,)] = cursor.execute(select.encode()).fetchall()
                    room.write(data)
                    pacer.spend(0, len(data))
    return sum(row.sizes.values())
