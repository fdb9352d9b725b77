"""A bad row as it is in the source: what is kept of it among the rejects."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.reject import Reject
from syncmon_ext.sync import ranges
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.keys import POSTGRES_INTEGERS, packed
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import ident, read_column, read_columns, relation

LONGEST_VALUE: Final = 1_000  # characters that are kept of a value


def described(
    source: AnySession, own: Ownership, unit: UnitPlan, chunk: Chunk, error: BadRow
) -> tuple[Reject, KeyValue] | None:
    """The one row of ``chunk`` in the source as a reject, with its key; None where it is gone."""
    found = _read(source, source_schema(source, unit), unit, chunk)
    if found is None:
        return None
    key, row = found
    reject = Reject(
        unit_id=unit.unit_id,
        run_id=own.run_id,
        key=dict(zip(unit.key, key, strict=True)),
        column=error.column or None,
        error=error.reason or "the row was refused",
        rejected_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        message=error.message,
        row=row,
    )
    return reject, key


def values_of(
    session: AnySession, schema: str | None, row: UnitPlan
) -> dict[str, str | None] | None:
    """What would be kept of the one row that ``row`` reads; None where it is not there."""
    found = _read(session, schema, row, Chunk(low=None, high=None))
    return None if found is None else found[1]


def _read(
    source: AnySession, schema: str | None, unit: UnitPlan, chunk: Chunk
) -> tuple[KeyValue, dict[str, str | None]] | None:
    """The key of the first row of ``chunk``, and its values as texts that are cut where they are long."""
    wanted = [*unit.key, *(column.name for column in unit.copied)]
    table = relation(schema, unit.source_table)
    values: list[Any] = []
    if isinstance(source, PostgresSession):
        where = ranges.where(unit, chunk.low, chunk.high, source.literal)
        selected = ", ".join(
            ident(name) if kind in POSTGRES_INTEGERS else f"{ident(name)}::text"
            for name, kind in zip(unit.key, unit.key_types, strict=True)
        )
        cut = f"left(CASE WHEN {{0}} IS DISTINCT FROM NULL THEN format('%s', {{0}}) END, {LONGEST_VALUE})"
        texts = ", ".join(cut.format(ident(name)) for name in wanted[len(unit.key) :])
    else:
        bind = ranges.Binder()
        where, values = ranges.where(unit, chunk.low, chunk.high, bind), bind.values
        selected = read_columns(unit.key)
        # quote() would read the whole of a long value; a text that is no UTF-8 cannot be read otherwise.
        cut = (
            f"CASE typeof({{0}}) WHEN 'blob' THEN '\\x' || hex(substr({{0}}, 1, {LONGEST_VALUE // 2})) "
            f"WHEN 'text' THEN hex(substr({{0}}, 1, {LONGEST_VALUE})) ELSE CAST({{0}} AS TEXT) END, "
            "typeof({0})"
        )
        texts = ", ".join(cut.format(read_column(name)) for name in wanted[len(unit.key) :])
    parts = ", ".join(part for part in (selected, texts) if part)
    rows = source.execute(f"SELECT {parts} FROM {table}{where} LIMIT 1", values)
    if not rows:
        return None
    key = list(rows[0][: len(unit.key)])
    rest = list(rows[0][len(unit.key) :])
    if source.dialect == "sqlite":
        rest = [_decoded(text, kind) for text, kind in zip(rest[::2], rest[1::2], strict=True)]
        key = packed(key)
    return key, dict(zip(wanted[len(unit.key) :], rest, strict=True))


def source_schema(session: AnySession, unit: UnitPlan) -> str | None:
    """The schema that the source's table goes by."""
    return unit.source_schema if isinstance(session, PostgresSession) else None


def _decoded(text: str | None, kind: str) -> str | None:
    if text is None or kind != "text":
        return text
    return bytes.fromhex(text).decode("utf-8", "replace")
