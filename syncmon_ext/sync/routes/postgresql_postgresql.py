"""PostgreSQL to PostgreSQL: COPY to COPY; bytes pass through in binary where the types are the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import throttle
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.quoting import columns, relation
from syncmon_ext.sync.routes import forwarding
from syncmon_ext.sync.routes.base import Landed, Way
from syncmon_ext.sync.routes.postgresql_source import (
    copy_statement,
    copying,
    largest_bytes,
    reading,
)
from syncmon_ext.sync.solitary import LARGE_BYTES, RunAlone

# Types whose binary form is fixed and does not hold the number of a type that servers give out.
BINARY: Final = frozenset(
    (
        "smallint",
        "integer",
        "bigint",
        "oid",
        "real",
        "double precision",
        "numeric",
        "boolean",
        "text",
        "character",
        "character varying",
        "bytea",
        "date",
        "timestamp without time zone",
        "timestamp with time zone",
        "time without time zone",
        "time with time zone",
        "interval",
        "uuid",
        "json",
        "jsonb",
        "inet",
        "cidr",
        "macaddr",
        "bit",
        "bit varying",
    )
)
# From this version on an interval may be infinite: older ones read its bits as a very long one.
ENDLESS_INTERVALS: Final = 170000
BUFFER_BYTES: Final = 131_072  # rows are joined up to here; the driver takes as much in one call
BUFFER_ROWS: Final = 10_000


@contextmanager
def opened(source: Connection, target: AnySession, snapshot: str | None) -> Iterator[Way]:
    """A way that reads ``snapshot``."""
    if not isinstance(target, PostgresSession):
        raise TypeError("this route ends in PostgreSQL")
    with reading(source, snapshot) as session:

        def copy(unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
            return _copied(session, target, unit, chunk, table)

        yield Way(copy=copy, reader=session)


def passes_binary(source: PostgresSession, target: PostgresSession, unit: UnitPlan) -> bool:
    """True where every column has the same type on both sides, from the list above."""
    known = BINARY
    if source.version >= ENDLESS_INTERVALS > target.version:
        known -= {"interval"}
    return all(
        column.source_type == column.target_type and _base(column.source_type) in known
        for column in unit.copied
    )


def _base(name: str) -> str:
    """A type without its modifier and without the brackets of an array."""
    before, parenthesis, after = name.removesuffix("[]").partition("(")
    return before + after.partition(")")[2] if parenthesis else before


def _copied(
    source: PostgresSession, target: PostgresSession, unit: UnitPlan, chunk: Chunk, table: str
) -> Landed:
    options = " (FORMAT binary)" if passes_binary(source, target, unit) else ""
    names = columns(column.name for column in unit.copied)
    into = f"COPY {relation(unit.target_schema, table)} ({names}) FROM STDIN{options}"
    select = copy_statement(source, unit, chunk, options)
    if (loops := forwarding.loops(source, target)) is not None:
        return forwarding.forwarded(loops, source, target, select, into)
    pacer = throttle.Pacer()
    clock = time.perf_counter
    target_seconds = slept = 0.0
    started = clock()
    large = not unit.large_values and largest_bytes(source, unit, chunk, LARGE_BYTES)
    if large > LARGE_BYTES:
        raise RunAlone(f"{unit.unit_id}: its values are large")
    with target.raw.cursor() as back:
        with (
            copying(source, select, in_parts=True) as reader,
            target.mapped(),
            back.copy(into.encode()) as writes,
        ):
            fault_point("chunk.read")
            while True:
                data, rows = reader.batch(pacer.batch_rows(BUFFER_ROWS), BUFFER_BYTES)
                if not data:
                    break
                mark = clock()
                with target.guard():
                    writes.write(data)
                target_seconds += clock() - mark
                slept += pacer.spend(rows, len(data))
            finishing = clock()
        ended = clock()
        rows_read, landed = reader.rows_read, back.rowcount
    target_seconds += ended - finishing
    return Landed(
        rows_read=rows_read,
        rows=landed,
        bytes=reader.size,
        source_seconds=reader.seconds,
        transfer_seconds=max(0.0, ended - started - slept - reader.seconds - target_seconds),
        target_seconds=target_seconds,
    )
