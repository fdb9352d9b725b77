"""Checkpoints: the markers of committed chunks, written in the chunks' own transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Delete, Select, Update, delete, insert, literal, select, update
from sqlalchemy.sql.dml import Insert

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.store.upsert import upsert
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.digest import Digest
from syncmon_ext.sync.ledger import ledger
from syncmon_ext.sync.listing import listed
from syncmon_ext.sync.ownership import Ownership

_OPEN: Final = "null"  # an open bound


def encoded(key: KeyValue | None) -> str:
    """A bound as the text that names it: equal bounds have equal texts."""
    return msgspec.json.encode(key).decode() if key is not None else _OPEN


def decoded(text: str) -> KeyValue | None:
    """The bound that ``encoded`` wrote."""
    value: KeyValue | None = msgspec.json.decode(text)
    return value


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
    return statement.values(
        store_id=own.store_id,
        run_id=own.run_id,
        unit_id=unit_id,
        low_key=encoded(chunk.low),
        high_key=encoded(chunk.high),
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
            table.c.low_key == encoded(chunk.low),
            table.c.high_key == encoded(chunk.high),
        )
        .values(rows=chunk.rows, bytes=chunk.bytes, digest=None if digest is None else str(digest))
    )


def one(dialect: str, own: Ownership, unit_id: str, chunk: Chunk) -> Select[tuple[Any, ...]]:
    """Rows and bytes of a committed chunk."""
    table = ledger(dialect).checkpoints
    return select(table.c.rows, table.c.bytes).where(
        *_of(dialect, own, unit_id),
        table.c.low_key == encoded(chunk.low),
        table.c.high_key == encoded(chunk.high),
    )


def of_unit(dialect: str, own: Ownership, unit_id: str) -> Select[tuple[Any, ...]]:
    """All checkpoints of a unit."""
    table = ledger(dialect).checkpoints
    return select(table.c.low_key, table.c.high_key, table.c.rows, table.c.bytes).where(
        *_of(dialect, own, unit_id)
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
        literal(_OPEN),
        literal(_OPEN),
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
        table.c.low_key == encoded(chunk.low),
        table.c.high_key == encoded(chunk.high),
    )


def digests(session: Session, own: Ownership, unit_id: str) -> list[tuple[Chunk, Digest]]:
    """The committed chunks of a unit with the digests of what was read, in no order."""
    table = ledger(session.dialect).checkpoints
    rows = session.run(
        select(
            table.c.low_key, table.c.high_key, table.c.rows, table.c.bytes, table.c.digest
        ).where(*_of(session.dialect, own, unit_id))
    )
    return [
        (Chunk(low=decoded(low), high=decoded(high), rows=n, bytes=size), Digest.parsed(text))
        for low, high, n, size, text in rows
    ]


def committed(session: Session, own: Ownership, unit_id: str) -> list[Chunk]:
    """The committed chunks of a unit, in no order."""
    return [
        Chunk(low=decoded(low), high=decoded(high), rows=rows, bytes=size)
        for low, high, rows, size in session.run(of_unit(session.dialect, own, unit_id))
    ]
