"""The table of rejects in a target, and what is read of a bad row to be kept there."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Delete, Select, Table, delete, func, null, or_, select
from sqlalchemy.sql.dml import Insert

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.reject import Reject
from syncmon_ext.store.upsert import upsert
from syncmon_ext.sync import key_text, ranges
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.keys import POSTGRES_INTEGERS, packed
from syncmon_ext.sync.ledger import is_current, ledger
from syncmon_ext.sync.listing import listed
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import ident, read_column, read_columns, relation

LONGEST_VALUE: Final = 1_000  # characters that are kept of a value


def written(
    session: Session, own: Ownership, unit: UnitPlan, reject: Reject, key: KeyValue
) -> Insert:
    """Keeps a bad row; one of the same key is replaced."""
    table = ledger(session.dialect).rejects
    insert = upsert(session.dialect, table)
    row_key, row_text = key_text.named(key)
    values = {
        "run_id": own.run_id,
        "key_shown": msgspec.json.encode(reject.key).decode(),
        "column_name": reject.column,
        "error": reject.error,
        "message": reject.message,
        "row_values": msgspec.json.encode(reject.row).decode(),
        "rejected_at": reject.rejected_at,
    }
    return insert.values(
        store_id=own.store_id,
        task_id=own.task_id,
        unit_id=unit.unit_id,
        row_key=row_key,
        row_text=row_text,
        **values,
    ).on_conflict_do_update(
        index_elements=[table.c.store_id, table.c.task_id, table.c.unit_id, table.c.row_key],
        set_=values,
    )


def removed(dialect: str, own: Ownership, unit_id: str, *, key: KeyValue | None = None) -> Delete:
    """Removes the rejects of a unit, or the one with ``key``."""
    table = ledger(dialect).rejects
    statement = delete(table).where(
        table.c.store_id == own.store_id, table.c.task_id == own.task_id, table.c.unit_id == unit_id
    )
    return statement if key is None else statement.where(_named(table, key))


def of_units_removed(dialect: str, own: Ownership, unit_ids: Sequence[str]) -> Delete:
    """Removes all that was rejected of units: their rows are read anew."""
    table, ids = ledger(dialect).rejects, listed(dialect, unit_id=unit_ids)
    return delete(table).where(
        table.c.store_id == own.store_id,
        table.c.task_id == own.task_id,
        table.c.unit_id.in_(select(ids.c.unit_id)),
    )


def of_run_removed(
    dialect: str, own: Ownership, unit_id: str, *, key: KeyValue | None = None
) -> Delete:
    """Removes what this run rejected of a unit, or the one with ``key``."""
    of_run = ledger(dialect).rejects.c.run_id == own.run_id
    return removed(dialect, own, unit_id, key=key).where(of_run)


def keys_of_run(session: Session, own: Ownership, unit_id: str) -> list[KeyValue]:
    """The keys of the rows of a unit that this run has rejected."""
    table = ledger(session.dialect).rejects
    rows = session.run(
        select(table.c.row_key, table.c.row_text).where(
            table.c.store_id == own.store_id,
            table.c.task_id == own.task_id,
            table.c.unit_id == unit_id,
            table.c.run_id == own.run_id,
        )
    )
    return [key_text.of_name(name, text) or [] for name, text in rows]


def counted(
    dialect: str, own: Ownership, unit_id: str, *, key: KeyValue | None = None
) -> Select[int]:
    """How many rows of a unit this run has rejected; of the one with ``key``, whether it has."""
    table = ledger(dialect).rejects
    statement = select(func.count()).where(
        table.c.store_id == own.store_id,
        table.c.task_id == own.task_id,
        table.c.unit_id == unit_id,
        table.c.run_id == own.run_id,
    )
    return statement if key is None else statement.where(_named(table, key))


def _named(table: Table, key: KeyValue) -> ColumnElement[bool]:
    """The row of a key; before version 3 of the ledger its text was its name, however long."""
    return or_(table.c.row_key == key_text.name(key), table.c.row_key == key_text.encoded(key))


def _of_task(session: Session, store_id: str, task_id: str) -> Select[tuple[Any, ...]]:
    """All rejects of a task, the newest first."""
    table = ledger(session.dialect).rejects
    return (
        select(
            table.c.unit_id,
            table.c.run_id,
            table.c.row_key,
            table.c.row_text if is_current(session) else null(),
            table.c.key_shown,
            table.c.column_name,
            table.c.error,
            table.c.message,
            table.c.row_values,
            table.c.rejected_at,
        )
        .where(table.c.store_id == store_id, table.c.task_id == task_id)
        .order_by(table.c.rejected_at.desc(), table.c.unit_id, table.c.row_key)
    )


def found(
    session: Session, store_id: str, task_id: str, limit: int | None
) -> list[tuple[Reject, KeyValue]]:
    """The newest rejects of a task with their keys."""
    rows = session.run(_of_task(session, store_id, task_id).limit(limit))
    return [
        (
            Reject(
                unit_id=unit_id,
                run_id=run_id,
                key=msgspec.json.decode(shown),
                column=column,
                error=error,
                rejected_at=at,
                message=message,
                row=msgspec.json.decode(values),
            ),
            key_text.of_name(key, text) or [],
        )
        for unit_id, run_id, key, text, shown, column, error, message, values, at in rows
    ]


def total(session: Session, store_id: str, task_id: str) -> int:
    """How many rejects a task has."""
    table = ledger(session.dialect).rejects
    rows = session.run(
        select(func.count()).where(table.c.store_id == store_id, table.c.task_id == task_id)
    )
    return int(rows[0][0])


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
