"""Chunk bounds: found by one walk of the key's index, in its own order and collation."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import ranges
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.keys import POSTGRES_INTEGERS, packed, unpacked
from syncmon_ext.sync.quoting import ident, relation


def upper(session: AnySession, unit: UnitPlan) -> KeyValue | None:
    """The last key that is there now; None for an empty table and for a unit of one chunk."""
    if unit.chunk_method == "whole":
        return None
    if unit.chunk_method == "ctid":
        pages = _pages(session, unit)
        return [pages - 1] if pages else None
    return _keys(session, unit, None, None, descending=True, skip=0)


def following(
    session: AnySession,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
    sizes: Sequence[int],
) -> list[Chunk]:
    """The next chunks after ``low`` up to ``high``, one per entry of ``sizes`` (rows); the last that is
    reached ends at ``high`` itself."""
    if unit.chunk_method == "whole":
        return [Chunk(low=None, high=None)]
    if unit.chunk_method == "ctid":
        return _blocks(session, unit, low, high, sizes)
    chunks: list[Chunk] = []
    counted = not unit.where
    for size in sizes:
        end = _keys(session, unit, low, high, descending=False, skip=size - 1)
        if end is None or end == high:
            rows = size if end is not None and counted else None
            return [*chunks, Chunk(low=low, high=high, rows=rows)]
        chunks.append(Chunk(low=low, high=end, rows=size if counted else None))
        low = end
    return chunks


def _keys(
    session: AnySession,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
    *,
    descending: bool,
    skip: int,
) -> KeyValue | None:
    """The key ``skip`` places after the first one of the range."""
    # Qualified, since ORDER BY would take a bare name for the text that is selected under it.
    order = ", ".join(
        term + (" DESC" if descending else "") for term in ranges.key_terms(unit, "t")
    )
    table = relation(unit.source_schema, unit.source_table)
    if isinstance(session, PostgresSession):
        selected = ", ".join(
            ident(name) if kind in POSTGRES_INTEGERS else f"{ident(name)}::text"
            for name, kind in zip(unit.key, unit.key_types, strict=True)
        )
        parts = ranges.conditions(unit, low, high, session.literal)
        where = f" WHERE {' AND '.join(parts)}" if parts else ""
        rows = session.execute(
            f"SELECT {selected} FROM {table} AS t{where} ORDER BY {order} LIMIT 1 OFFSET {skip}"
        )
        return list(rows[0]) if rows else None
    bind = ranges.Binder()
    parts = ranges.conditions(unit, low, high, bind)
    where = f" WHERE {' AND '.join(parts)}" if parts else ""
    names = ", ".join(map(ident, unit.key))
    rows = session.execute(
        f"SELECT {names} FROM {table} AS t{where} ORDER BY {order} LIMIT 1 OFFSET {skip}",
        bind.values,
    )
    return packed(rows[0]) if rows else None


def _pages(session: AnySession, unit: UnitPlan) -> int:
    rows = session.execute(
        "SELECT pg_relation_size(c.oid) / current_setting('block_size')::int FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        (unit.source_schema, unit.source_table),
    )
    return int(rows[0][0]) if rows else 0


def _blocks(
    session: AnySession,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
    sizes: Sequence[int],
) -> list[Chunk]:
    """Ranges of whole pages, as many as the statistics say hold the rows that are asked for."""
    if high is None:
        return [Chunk(low=low, high=None)]
    pages = max(1, _pages(session, unit))
    per_page = max(1.0, (unit.rows_total or pages * 50) / pages)
    chunks: list[Chunk] = []
    start = low[0] if low is not None else -1
    for size in sizes:
        end = start + max(1, int(size / per_page))
        if end >= high[0]:
            return [*chunks, Chunk(low=low, high=high)]
        chunks.append(Chunk(low=low, high=[end]))
        start, low = end, [end]
    return chunks


def ordered(session: AnySession, unit: UnitPlan, chunks: Sequence[Chunk]) -> list[Chunk]:
    """``chunks`` in the order of the key, as the source's own collation has it."""
    first = [chunk for chunk in chunks if chunk.low is None]
    rest = [chunk for chunk in chunks if chunk.low is not None]
    if len(rest) < 2:
        return first + rest
    if all(len(chunk.low or ()) == 1 and type((chunk.low or [""])[0]) is int for chunk in rest):
        return first + sorted(rest, key=lambda chunk: int((chunk.low or [0])[0]))
    columns = [f"k{n}" for n in range(len(unit.key))]
    table = relation(unit.source_schema, unit.source_table)
    if isinstance(session, PostgresSession):
        # An empty selection of the table itself gives the rows its columns' types and collations.
        bind: Any = session.literal
        nothing = f"SELECT -1, {', '.join(map(ident, unit.key))} FROM {table} WHERE false"
        order = ", ".join(columns)
    else:
        bind = ranges.Binder()
        nothing = "SELECT -1" + ", NULL" * len(columns) + " WHERE 0"
        order = ", ".join(
            column + (f" COLLATE {ident(collation)}" if collation else "")
            for column, collation in zip(columns, unit.key_collations, strict=True)
        )
    lines = [
        f"SELECT {number}, {', '.join(bind(v) for v in unpacked(chunk.low or []))}"
        for number, chunk in enumerate(rest)
    ]
    statement = (
        f"WITH lows (n, {', '.join(columns)}) AS ({' UNION ALL '.join([nothing, *lines])}) "
        f"SELECT n FROM lows ORDER BY {order}"
    )
    values = bind.values if isinstance(bind, ranges.Binder) else ()
    return first + [rest[row[0]] for row in session.execute(statement, values)]
