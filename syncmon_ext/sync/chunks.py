"""Chunk bounds: found by one walk of the key's index, in its own order and collation."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import key_text, ranges, sampling
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.keys import packed, selected, unpacked
from syncmon_ext.sync.quoting import ident, relation, shown

# A range of a key's first column costs a tenth less to read than one of all its columns. A chunk ends with
# all rows of a value of that column where they are no more than this part of it.
ROOM: Final = 64
WALKED: Final = 8  # chunks of a walk where a sample was hoped for


def upper(session: AnySession, unit: UnitPlan) -> KeyValue | None:
    """The last key that is there now; None for an empty table and for a unit of one chunk."""
    if unit.chunk_method == "whole":
        return None
    if unit.chunk_method == "ctid":
        pages = sampling.pages(session, unit)
        return [pages - 1] if pages else None
    return _keys(session, unit, None, None, descending=True, skip=0)


def following(
    session: AnySession,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
    sizes: Sequence[int],
    *,
    roughly: bool = False,
) -> list[Chunk]:
    """The next chunks after ``low`` up to ``high``, one per entry of ``sizes`` (rows); the last that is
    reached ends at ``high`` itself. ``roughly``: of about so many rows, and as many as are found at once."""
    if unit.chunk_method == "whole":
        return [Chunk(low=None, high=None)]
    if unit.chunk_method == "ctid":
        return _blocks(session, unit, low, high, sizes)
    if roughly and isinstance(session, PostgresSession):
        if ends := sampling.bounds(session, unit, low, high, sizes):
            return _between(session, unit, low, high, sizes, ends)
        sizes = sizes[:WALKED]
    chunks: list[Chunk] = []
    counted = not unit.where
    for size in sizes:
        room = _room(unit, size)
        rows = size - room
        end = _keys(session, unit, low, high, descending=False, skip=rows - 1)
        if end is None or end == high:
            return [
                *chunks,
                Chunk(low=low, high=high, rows=rows if end is not None and counted else None),
            ]
        if room and (whole := _whole(session, unit, end, high, room)):
            end, more = whole
            rows += more
        if end == high:
            return [*chunks, Chunk(low=low, high=high, rows=rows if counted else None)]
        if end == low:
            raise CopyFailed(
                f"table {shown(unit.source_schema, unit.source_table)}: rows that lie behind the key "
                f"{key_text.shortened(end)} have that very key: the database compares it otherwise than it "
                "gives it",
                hint="correct that key in the source, or name another with key = [...]",
            )
        chunks.append(Chunk(low=low, high=end, rows=rows if counted else None))
        low = end
    return chunks


def _between(
    session: AnySession,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
    sizes: Sequence[int],
    ends: Sequence[KeyValue],
) -> list[Chunk]:
    """The chunks that end at ``ends``; up to ``high`` where there are fewer of them than sizes."""
    chunks: list[Chunk] = []
    for end, size in zip(ends, sizes, strict=False):
        if low is not None and len(low) < len(end) and not _goes_beyond(session, unit, end, low):
            continue  # its value is whole already
        room = _room(unit, size)
        if room and (whole := _whole(session, unit, end, high, room)):
            end, _ = whole
        if end == high:
            return [*chunks, Chunk(low=low, high=high)]
        chunks.append(Chunk(low=low, high=end))
        low = end
    return [*chunks, Chunk(low=low, high=high)] if len(ends) < len(sizes) else chunks


def _whole(
    session: AnySession, unit: UnitPlan, end: KeyValue, high: KeyValue | None, room: int
) -> tuple[KeyValue, int] | None:
    """Behind all rows that have the first value of ``end``, but not beyond ``high``, and how many rows that
    adds; None where they are more than ``room``."""
    value = end[:1]
    more = _count(session, unit, end, value, room + 1)
    if more > room:
        return None
    if high is None or _goes_beyond(session, unit, high, value):
        return value, more
    return high, _count(session, unit, end, high, room)


def _goes_beyond(session: AnySession, unit: UnitPlan, key: KeyValue, value: KeyValue) -> bool:
    """Whether ``key`` stands behind all rows whose first value is ``value``.

    The database says so where they are no integers: 1.0 and 1.00, or 'a' and 'A', may be one value.
    """
    if type(key[0]) is int and type(value[0]) is int:
        return key[0] > value[0]
    return _count(session, unit, value, key, 1) > 0


def _room(unit: UnitPlan, size: int) -> int:
    """How many rows a chunk may have fewer, so that it ends with all rows of a value."""
    return size // ROOM if len(unit.key) > 1 else 0


def middle(
    session: AnySession, unit: UnitPlan, low: KeyValue | None, high: KeyValue | None, rows: int
) -> KeyValue | None:
    """The key of the range's row number ``rows``, from 1; its upper end where it has fewer."""
    return _keys(session, unit, low, high, descending=False, skip=rows - 1) or high


def _count(session: AnySession, unit: UnitPlan, low: KeyValue, high: KeyValue, most: int) -> int:
    """The rows of the range, counted up to ``most``."""
    binder = ranges.Binder()
    bind = session.literal if isinstance(session, PostgresSession) else binder
    parts = ranges.conditions(unit, low, high, bind)
    table = relation(unit.source_schema, unit.source_table)
    some = f"SELECT 1 FROM {table} WHERE {' AND '.join(parts)} LIMIT {most}"
    return int(session.execute(f"SELECT count(*) FROM ({some}) AS r", binder.values)[0][0])


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
        parts = ranges.conditions(unit, low, high, session.literal)
        where = f" WHERE {' AND '.join(parts)}" if parts else ""
        rows = session.execute(
            f"SELECT {selected(unit)} FROM {table} AS t{where} ORDER BY {order} LIMIT 1 OFFSET {skip}"
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
    pages = max(1, sampling.pages(session, unit))
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
    # What a bound leaves out stands behind all values, as NULL does in PostgreSQL.
    if isinstance(session, PostgresSession):
        # An empty selection of the table itself gives the rows its columns' types and collations.
        bind: Any = session.literal
        nothing = f"SELECT -1, {', '.join(map(ident, unit.key))} FROM {table} WHERE false"
        order = ", ".join(columns)
    else:
        bind = ranges.Binder()
        nothing = "SELECT -1" + ", NULL" * len(columns) + " WHERE 0"
        order = ", ".join(
            f"{column} IS NULL, {column}" + (f" COLLATE {ident(collation)}" if collation else "")
            for column, collation in zip(columns, unit.key_collations, strict=True)
        )
    lines = []
    for number, chunk in enumerate(rest):
        values = [bind(value) for value in unpacked(chunk.low or [])]
        nulls = ["NULL"] * (len(columns) - len(values))
        lines.append(f"SELECT {', '.join([str(number), *values, *nulls])}")
    statement = (
        f"WITH lows (n, {', '.join(columns)}) AS ({' UNION ALL '.join([nothing, *lines])}) "
        f"SELECT n FROM lows ORDER BY {order}"
    )
    bound = bind.values if isinstance(bind, ranges.Binder) else ()
    return first + [rest[row[0]] for row in session.execute(statement, bound)]
