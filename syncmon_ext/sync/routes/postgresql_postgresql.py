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
from syncmon_ext.sync.routes.base import Copier, Landed
from syncmon_ext.sync.routes.postgresql_source import copy_statement, reading

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
BUFFER_BYTES: Final = (
    65_536  # rows are joined up to here: a call of the driver costs as much as a row
)
PACE_BYTES: Final = 1 << 20


@contextmanager
def opened(source: Connection, target: AnySession, snapshot: str | None) -> Iterator[Copier]:
    """A copier that reads ``snapshot``."""
    if not isinstance(target, PostgresSession):
        raise TypeError("this route ends in PostgreSQL")
    with reading(source, snapshot) as session:

        def copy(unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
            return _copied(session, target, unit, chunk, table)

        yield copy


def passes_binary(unit: UnitPlan) -> bool:
    """True where every column has the same type on both sides, from the list above."""
    return all(
        column.source_type == column.target_type and _base(column.source_type) in BINARY
        for column in unit.copied
    )


def _base(name: str) -> str:
    """A type without its modifier and without the brackets of an array."""
    before, parenthesis, after = name.removesuffix("[]").partition("(")
    return before + after.partition(")")[2] if parenthesis else before


def _copied(
    source: PostgresSession, target: PostgresSession, unit: UnitPlan, chunk: Chunk, table: str
) -> Landed:
    options = " (FORMAT binary)" if passes_binary(unit) else ""
    names = columns(column.name for column in unit.copied)
    into = f"COPY {relation(unit.target_schema, table)} ({names}) FROM STDIN{options}"
    pacer = throttle.Pacer()
    clock = time.perf_counter
    size, source_seconds, target_seconds, slept = 0, 0.0, 0.0, 0.0
    buffer, held, pending, pending_bytes = [], 0, 0, 0
    pace_rows = pacer.batch_rows(1_000_000)
    started = clock()
    with source.guard(), source.raw.cursor() as out, target.raw.cursor() as back:
        with out.copy(copy_statement(source, unit, chunk, options).encode()) as reads:
            fault_point("chunk.read")
            with target.guard(), back.copy(into.encode()) as writes:
                mark = clock()
                for data in reads:
                    buffer.append(bytes(data))
                    held += len(data)
                    pending += 1
                    if held < BUFFER_BYTES and pending < pace_rows:
                        continue
                    now = clock()
                    source_seconds += now - mark
                    writes.write(b"".join(buffer))
                    mark = clock()
                    target_seconds += mark - now
                    size, pending_bytes = size + held, pending_bytes + held
                    buffer, held = [], 0
                    if pending >= pace_rows or pending_bytes >= PACE_BYTES:
                        slept += pacer.spend(pending, pending_bytes)
                        pending = pending_bytes = 0
                        pace_rows = pacer.batch_rows(1_000_000)
                        mark = clock()
                writes.write(b"".join(buffer))
                size += held
                slept += pacer.spend(pending, pending_bytes + held)
                finishing = clock()
        rows_read, landed = out.rowcount, back.rowcount
    ended = clock()
    return Landed(
        rows_read=rows_read,
        rows=landed,
        bytes=size,
        source_seconds=source_seconds,
        transfer_seconds=max(
            0.0, ended - started - slept - source_seconds - target_seconds - (ended - finishing)
        ),
        target_seconds=target_seconds + ended - finishing,
    )
