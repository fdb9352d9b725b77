"""Chunk bounds from a sample of a table's pages, where walking its index costs more than they are worth.

A walk reads each entry of the index: a fortieth of what a copy between PostgreSQL servers costs. A sample of
24 pages for each chunk takes some milliseconds, and gives bounds that miss the rows asked for by a fifth, as
the mean of so many does.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from syncmon_ext.model.chunk import KeyValue
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import ranges
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.keys import selected
from syncmon_ext.sync.quoting import ident, relation

LEAST_ROWS: Final = 1_000_000  # of a table: a smaller one is walked as quickly
LEAST_CHUNK: Final = 50_000  # rows
AHEAD: Final = 64  # chunks that are cut at once
PAGES: Final = 24  # of the sample, for each chunk of the table
MOST_PAGES: Final = 4_096
PART: Final = 8  # of the table at most: else the sample costs more than a walk
NOISE: Final = 0.25  # of the sample's own size, four standard deviations of that of 288 pages
_IN_ONE: Final = (
    " AND c.relkind IN ('r', 'm') AND NOT c.relhassubclass"  # else each part is sampled
)
_POSITION: Final = "_syncmon_position"


def fits(unit: UnitPlan, chunk_rows: int) -> bool:
    """Whether the unit's chunks, of about so many rows, can be cut by a sample."""
    return (
        unit.route.startswith("postgresql_")
        and unit.chunk_method == "key"
        and not unit.where
        and unit.window is None
        and (unit.rows_total or 0) >= LEAST_ROWS
        and chunk_rows >= LEAST_CHUNK
    )


def bounds(
    session: PostgresSession,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
    sizes: Sequence[int],
) -> list[KeyValue]:
    """Keys of ``(low, high]`` between which there are about ``sizes`` rows, as many as there are; none where
    the table cannot be sampled, or too little of it lies in the range."""
    there = pages(session, unit, _IN_ONE)
    wanted = min(MOST_PAGES, PAGES * (unit.rows_total or 0) // max(sizes))
    if not wanted or there < PART * wanted:
        return []
    share = wanted / there
    names = ", ".join(map(ident, unit.key))
    order = ", ".join(ranges.key_terms(unit))
    parts = ranges.conditions(unit, low, high, session.literal)
    where = f" WHERE {' AND '.join(parts)}" if parts else ""
    # How many rows one of the sample stands for is told by all of it, since its pages are not just the number
    # asked for; by that number where statistics are so old that they contradict it.
    rows = session.execute(
        f"WITH sample AS MATERIALIZED (SELECT {names} "
        f"FROM {relation(unit.source_schema, unit.source_table)} "
        f"TABLESAMPLE SYSTEM ({100 * share:.9f})), "
        f"placed AS (SELECT {names}, row_number() OVER (ORDER BY {order}) AS {_POSITION} "
        f"FROM sample{where}) "
        f"SELECT {selected(unit)} FROM placed WHERE {_POSITION} = ANY(ARRAY("
        f"SELECT greatest(1, floor(total * CASE WHEN abs(found / {share!r} - 1) < {NOISE} "
        f"THEN found ELSE {share!r} END))::bigint FROM unnest(%s::bigint[]) AS total, "
        f"(SELECT count(*)::float8 / {unit.rows_total} AS found FROM sample) AS whole)) "
        f"ORDER BY {_POSITION}",
        (list(accumulate(sizes)),),
    )
    return [list(row) for row in rows]


def pages(session: AnySession, unit: UnitPlan, condition: str = "") -> int:
    """The pages of the source's table; 0 where it does not meet ``condition``."""
    rows = session.execute(
        "SELECT pg_relation_size(c.oid) / current_setting('block_size')::int FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"
        + condition,
        (unit.source_schema, unit.source_table),
    )
    return int(rows[0][0]) if rows else 0
