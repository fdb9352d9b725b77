"""Checkpoints: the markers of committed chunks, written in the chunks' own transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Delete,
    Select,
    Table,
    Update,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.sql.dml import Insert

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.store.upsert import upsert
from syncmon_ext.sync import key_text
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.digest import Digest
from syncmon_ext.sync.ledger import ledger
from syncmon_ext.sync.listing import listed
from syncmon_ext.sync.ownership import Ownership


def _of(dialect: str, own: Ownership, unit_id: str) -> tuple[Any, ...]:
    table = ledger(dialect).checkpoints
    return (
        table.c.store_id == own.store_id,
        table.c.run_id == own.run_id,
        table.c.unit_id == unit_id,
    )


def begun(dialect: str, own: Ownership, unit_id: str, chunk: Chunk) -> Insert:
    """Claims a chunk at the start of its transaction; no row changes where it is committed already.

    Where an older transaction of the same chunk is still open, this waits for its end.
    """
    table = ledger(dialect).checkpoints
    statement = upsert(dialect, table)
    (low_key, low_text), (high_key, high_text) = (
        key_text.named(chunk.low),
        key_text.named(chunk.high),
    )
    return statement.values(
        store_id=own.store_id,
        run_id=own.run_id,
        unit_id=unit_id,
        low_key=low_key,
        high_key=high_key,
        low_text=low_text,
        high_text=high_text,
        rows=0,
        bytes=0,
    ).on_conflict_do_nothing()


def completed(
    dialect: str, own: Ownership, unit_id: str, chunk: Chunk, digest: Digest | None = None
) -> Update:
    """Writes what the chunk held, before its transaction commits."""
    table = ledger(dialect).checkpoints
    return (
        update(table)
        .where(
            *_of(dialect, own, unit_id),
            table.c.low_key == key_text.name(chunk.low),
            table.c.high_key == key_text.name(chunk.high),
        )
        .values(rows=chunk.rows, bytes=chunk.bytes, digest=None if digest is None else str(digest))
    )


def one(dialect: str, own: Ownership, unit_id: str, chunk: Chunk) -> Select[tuple[Any, ...]]:
    """Rows and bytes of a committed chunk."""
    table = ledger(dialect).checkpoints
    return select(table.c.rows, table.c.bytes).where(
        *_of(dialect, own, unit_id),
        table.c.low_key == key_text.name(chunk.low),
        table.c.high_key == key_text.name(chunk.high),
    )


def removed(dialect: str, own: Ownership, unit_ids: Sequence[str]) -> Delete:
    """Removes the checkpoints of units."""
    table, ids = ledger(dialect).checkpoints, listed(dialect, unit_id=unit_ids)
    return delete(table).where(
        table.c.store_id == own.store_id,
        table.c.run_id == own.run_id,
        table.c.unit_id.in_(select(ids.c.unit_id)),
    )


def whole(
    dialect: str, own: Ownership, unit_ids: Sequence[str], rows: Sequence[int], sizes: Sequence[int]
) -> Insert:
    """Writes the checkpoints of units that were copied in one chunk each, with its rows and bytes."""
    done = listed(dialect, unit_id=unit_ids, rows=rows, bytes=sizes)
    values = select(
        literal(own.store_id),
        literal(own.run_id),
        done.c.unit_id,
        literal(key_text.OPEN),
        literal(key_text.OPEN),
        done.c.rows,
        done.c.bytes,
    )
    names = ["store_id", "run_id", "unit_id", "low_key", "high_key", "rows", "bytes"]
    return insert(ledger(dialect).checkpoints).from_select(names, values)


def undone(dialect: str, own: Ownership, unit_id: str, chunk: Chunk) -> Delete:
    """Removes one checkpoint: its rows are gone."""
    table = ledger(dialect).checkpoints
    return delete(table).where(
        *_of(dialect, own, unit_id),
        table.c.low_key == key_text.name(chunk.low),
        table.c.high_key == key_text.name(chunk.high),
    )


def digests(session: Session, own: Ownership, unit_id: str) -> list[tuple[Chunk, Digest]]:
    """The committed chunks of a unit with the digests of what was read, in no order."""
    table = ledger(session.dialect).checkpoints
    rows = session.run(
        select(*_bounds(table), table.c.rows, table.c.bytes, table.c.digest).where(
            *_of(session.dialect, own, unit_id)
        )
    )
    return [
        (_chunk(*bounds, rows=n, size=size), Digest.parsed(text)) for *bounds, n, size, text in rows
    ]


def committed(session: Session, own: Ownership, unit_id: str) -> list[Chunk]:
    """The committed chunks of a unit, in no order."""
    table = ledger(session.dialect).checkpoints
    rows = session.run(
        select(*_bounds(table), table.c.rows, table.c.bytes).where(
            *_of(session.dialect, own, unit_id)
        )
    )
    return [_chunk(*bounds, rows=n, size=size) for *bounds, n, size in rows]


def _bounds(table: Table) -> tuple[Column[Any], ...]:
    return table.c.low_key, table.c.low_text, table.c.high_key, table.c.high_text


def _chunk(
    low: str, low_text: str | None, high: str, high_text: str | None, *, rows: int, size: int
) -> Chunk:
    return Chunk(
        low=key_text.of_name(low, low_text),
        high=key_text.of_name(high, high_text),
        rows=rows,
        bytes=size,
    )
