"""PostgreSQL to SQLite: COPY in text form, split and typed, written with one prepared INSERT."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import msgspec

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync import placing, rowid_nulls, throttle, types, wide_texts
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import UTF8, SqliteSession
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.quoting import columns, ident
from syncmon_ext.sync.reflect.sqlite import affinity
from syncmon_ext.sync.routes import big_values, compiled
from syncmon_ext.sync.routes.base import Landed, Way
from syncmon_ext.sync.routes.postgresql_source import copy_statement, copying, reading

BATCH_ROWS: Final = 5_000
BATCH_BYTES: Final = 1 << 20
MISFIT: Final = 1  # a state of the compiled loop
# The escapes of COPY's text format (PostgreSQL, "COPY", File Formats).
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@contextmanager
def opened(source: Connection, target: AnySession, snapshot: str | None) -> Iterator[Way]:
    """A way that reads ``snapshot``."""
    if not isinstance(target, SqliteSession):
        raise TypeError("this route ends in SQLite")
    with reading(source, snapshot) as session:

        def copy(unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
            return _copied(session, target, unit, chunk, table)

        yield Way(copy=copy, reader=session)


def parsed(line: str, converters: Sequence[tuple[int, Callable[[str], Any]]]) -> list[Any]:
    """The values of a row in COPY's text format."""
    fields: list[Any] = line.split("\t")
    if "\\" in line:
        fields = [
            field if "\\" not in field else None if field == "\\N" else unescaped(field)
            for field in fields
        ]
    for number, convert in converters:
        if fields[number] is not None:
            fields[number] = convert(fields[number])
    return fields


def unescaped(field: str) -> str:
    """A field of COPY's text format without its escapes."""
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), field)


def _real(column: ColumnPlan) -> Callable[[str], float]:
    signless = affinity(column.target_type) == "REAL"

    def convert(text: str) -> float:
        value = float(text)
        if value != value or (signless and text == "-0"):
            what = "a column REAL of SQLite" if value == value else "SQLite"
            raise BadRow(
                f"column {column.name} holds {text}, which {what} cannot store",
                hint="leave the rows out with where, or make the target column TEXT",
                column=column.name,
                reason=f"the value is one that {what} cannot store",
            )
        return value

    return convert


def _converters(unit: UnitPlan) -> list[tuple[int, Callable[[str], Any]]]:
    found: list[tuple[int, Callable[[str], Any]]] = []
    for number, column in enumerate(unit.copied):
        if column.check == types.REAL:
            found.append((number, _real(column)))
        elif column.check == types.BOOLEAN:
            found.append((number, {"t": 1, "f": 0}.__getitem__))
        elif column.check == types.BLOB:
            found.append((number, lambda text: bytes.fromhex(text[2:])))
        elif column.check == types.INTEGER:
            found.append((number, int))
    return found


class RowWriter:
    """Splits and types the rows in Python."""

    def __init__(self, target: SqliteSession, unit: UnitPlan, insert: str) -> None:
        self._target = target
        self._insert = insert
        self._converters = _converters(unit)
        self.refuse: Callable[[bytes], None] | None = None  # raises where a row cannot be kept
        self.rows = 0

    def prepared(self, data: bytes) -> Any:
        """What ``write`` takes."""
        return [parsed(line, self._converters) for line in str(data, "utf-8").split("\n")[:-1]]

    def write(self, prepared: Any) -> None:
        """Insert the rows."""
        self.rows += self._target.raw.executemany(self._insert, prepared).rowcount


class LoopWriter(RowWriter):
    """Leaves plain rows to the compiled loop: it splits, types and inserts them in one go."""

    def __init__(
        self,
        target: SqliteSession,
        unit: UnitPlan,
        insert: str,
        land: Callable[[bytes, int], tuple[int, int, int]],
    ) -> None:
        super().__init__(target, unit, insert)
        self._land = land

    def prepared(self, data: bytes) -> Any:
        """The data as they came."""
        return data

    def write(self, prepared: Any) -> None:
        """Insert the rows; one that is not plain goes the longer way."""
        offset, state = 0, MISFIT
        while True:
            rows, offset, state = self._land(prepared, offset)
            self.rows += rows
            if state != MISFIT:
                return
            end = prepared.index(b"\n", offset) + 1
            super().write(super().prepared(prepared[offset:end]))
            offset = end


@contextmanager
def _writer(target: SqliteSession, unit: UnitPlan, insert: str) -> Iterator[RowWriter]:
    loops, kinds = compiled.for_sqlite(), compiled.landing_kinds(unit.copied)
    handle = compiled.handle(target) if loops is not None and kinds is not None else None
    if loops is None or kinds is None or handle is None:
        yield RowWriter(target, unit, insert)
        return
    with target.mapped():
        statement = loops.prepare(handle, insert, [])
    try:
        yield LoopWriter(target, unit, insert, partial(loops.land, statement, kinds))
    finally:
        loops.end(statement)


def _copied(
    source: PostgresSession, target: SqliteSession, unit: UnitPlan, chunk: Chunk, table: str
) -> Landed:
    names = columns(column.name for column in unit.copied)
    insert = (
        f"{placing.inserting(target, unit, table)} main.{ident(table)} ({names}) "
        f"VALUES ({rowid_nulls.marks(unit)})"
    )
    pacer = throttle.Pacer()
    big = big_values.found(source, target, unit, chunk, table)
    with rowid_nulls.refused(target, unit), _writer(target, unit, insert) as writer:
        utf16 = target.encoding != UTF8
        writer.refuse = partial(wide_texts.refuse_in_copy, unit) if utf16 else None
        others = copy_statement(source, unit, chunk, "", big.others if big else "")
        landed = _all_read(source, target, others, writer, pacer)
        for row in big.rows if big else ():
            part = _all_read(source, target, big_values.statement(unit, row), writer, pacer)
            started = time.perf_counter()
            size = big_values.write(source, target, unit, row, table, pacer)
            landed = Landed(
                rows_read=landed.rows_read + part.rows_read,
                rows=0,
                bytes=landed.bytes + part.bytes + size,
                source_seconds=landed.source_seconds + part.source_seconds,
                transfer_seconds=landed.transfer_seconds + part.transfer_seconds,
                target_seconds=landed.target_seconds + time.perf_counter() - started,
            )
        return msgspec.structs.replace(landed, rows=writer.rows)


def _all_read(
    source: PostgresSession,
    target: SqliteSession,
    statement: str,
    writer: RowWriter,
    pacer: throttle.Pacer,
) -> Landed:
    """What the COPY ``statement`` gives, written; the writer counts the rows."""
    clock = time.perf_counter
    transfer_seconds = target_seconds = 0.0
    with copying(source, statement) as reader:
        fault_point("chunk.read")
        while True:
            data, rows = reader.batch(pacer.batch_rows(BATCH_ROWS), BATCH_BYTES)
            if not data:
                break
            started = clock()
            if writer.refuse is not None:
                writer.refuse(data)
            prepared = writer.prepared(data)
            between = clock()
            with target.guard():
                writer.write(prepared)
            transfer_seconds += between - started
            target_seconds += clock() - between
            pacer.spend(rows, len(data))
    return Landed(
        rows_read=reader.rows_read,
        rows=writer.rows,
        bytes=reader.size,
        source_seconds=reader.seconds,
        transfer_seconds=transfer_seconds,
        target_seconds=target_seconds,
    )
