"""The statements of the table ``log_entries``: gapless positions, bounded growth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    delete,
    insert,
    select,
    type_coerce,
    update,
)

from syncmon_ext.model.log import Level, LogEntry, clean_message
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.schema import log_entries, tasks
from syncmon_ext.store.tasks import news_notice

KEEP_ENTRIES: Final = 10_000_000  # of a task; about 1 GiB
TRIM_EVERY: Final = 1_000  # entries; a trim is a range delete at the old end of the key
EXPORT_BATCH: Final = 5_000

LEVEL_INDEX: Final = "ix_log_entries_task_id_level_seq"

_NAMES = LogEntry.__struct_fields__
_FIELDS = [log_entries.c[name] for name in _NAMES]
_LEVELS = {str(level): level for level in Level}


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry before it has its position."""

    level: Level
    message: str
    unit: str | None = None
    time: datetime = msgspec.field(default_factory=utc_now)


def append(
    connection: Connection,
    task_id: str,
    run_id: str | None,
    entries: Sequence[NewEntry],
    keep: int = KEEP_ENTRIES,
) -> int:
    """Add entries; the position of the last one.

    Positions are given under the lock of the task's row in this transaction, so they are gapless and
    become visible in their own order.
    """
    if not entries:
        raise ValueError("no entries to add")
    last = int(
        connection.execute(
            update(tasks)
            .where(tasks.c.task_id == task_id)
            .values(log_seq=tasks.c.log_seq + len(entries), revision=tasks.c.revision + 1)
            .returning(tasks.c.log_seq, *news_notice(connection))
        ).scalar_one()
    )
    first = last - len(entries) + 1
    connection.execute(
        insert(log_entries),
        [
            {
                "task_id": task_id,
                "seq": first + offset,
                "run_id": run_id,
                "time": entry.time,
                "level": entry.level,
                "unit": entry.unit,
                "message": clean_message(entry.message),
            }
            for offset, entry in enumerate(entries)
        ],
    )
    if last // TRIM_EVERY != (first - 1) // TRIM_EVERY and last > keep:
        trim(connection, task_id, last - keep + 1)
    return last


def trim(connection: Connection, task_id: str, first_seq: int) -> None:
    """Remove the entries before ``first_seq``."""
    connection.execute(
        delete(log_entries).where(log_entries.c.task_id == task_id, log_entries.c.seq < first_seq)
    )
    connection.execute(
        update(tasks)
        .where(tasks.c.task_id == task_id, tasks.c.log_first_seq < first_seq)
        .values(log_first_seq=first_seq)
    )


def newest_entries(
    connection: Connection,
    task_id: str,
    limit: int,
    *,
    level: Level | None = None,
    unit: str | None = None,
    contains: str | None = None,
    after: int | None = None,
    before: int | None = None,
    oldest: bool | None = None,
) -> list[LogEntry]:
    """The newest ``limit`` entries that match, oldest first.

    With ``after`` alone, or where it is asked for, the ``oldest``: so that a reader can page forward
    without a gap. ``contains`` ignores case.
    """
    query = select(*_FIELDS).where(log_entries.c.task_id == task_id)
    if level is not None:
        # SQLite would walk the whole log backwards for a level that is rare.
        query = query.where(log_entries.c.level == level).with_hint(
            log_entries, f"INDEXED BY {LEVEL_INDEX}", "sqlite"
        )
    if unit is not None:
        query = query.where(log_entries.c.unit == unit)
    if contains:
        query = query.where(log_entries.c.message.icontains(contains, autoescape=True))
    if after is not None:
        query = query.where(log_entries.c.seq > after)
    if before is not None:
        query = query.where(log_entries.c.seq < before)
    forward = after is not None and before is None if oldest is None else oldest
    order = log_entries.c.seq.asc() if forward else log_entries.c.seq.desc()
    found = [_entry(row) for row in connection.execute(query.order_by(order).limit(limit))]
    return found if forward else found[::-1]


def columns_between(
    connection: Connection,
    task_id: str,
    after: int,
    upto: int,
    limit: int,
    *,
    level: Level | None = None,
    unit: str | None = None,
    contains: str | None = None,
) -> list[Sequence[Any]]:
    """The oldest ``limit`` entries of ``(after, upto]`` that match, as the columns of LogEntry.

    Times are microseconds since 1970, as they are kept: no object is made for an entry, so that a
    million of them can be exported in seconds. Empty where there are none.
    """
    fields = [type_coerce(f, BigInteger) if f.name == "time" else f for f in _FIELDS]
    query = select(*fields).where(
        log_entries.c.task_id == task_id, log_entries.c.seq > after, log_entries.c.seq <= upto
    )
    if level is not None:
        query = query.where(log_entries.c.level == level)
    if unit is not None:
        query = query.where(log_entries.c.unit == unit)
    if contains:
        query = query.where(log_entries.c.message.icontains(contains, autoescape=True))
    rows = connection.execute(query.order_by(log_entries.c.seq).limit(limit)).fetchall()
    return list(zip(*rows, strict=True))


def all_entries(
    connection: Connection,
    task_id: str,
    *,
    level: Level | None = None,
    unit: str | None = None,
    contains: str | None = None,
    run_id: str | None = None,
) -> Iterator[list[LogEntry]]:
    """Every entry that matches, oldest first, in batches: constant memory for any length."""
    after = 0
    while True:
        query = select(*_FIELDS).where(log_entries.c.task_id == task_id, log_entries.c.seq > after)
        if level is not None:
            query = query.where(log_entries.c.level == level)
        if unit is not None:
            query = query.where(log_entries.c.unit == unit)
        if run_id is not None:
            query = query.where(log_entries.c.run_id == run_id)
        if contains:
            query = query.where(log_entries.c.message.icontains(contains, autoescape=True))
        batch = [
            _entry(row)
            for row in connection.execute(query.order_by(log_entries.c.seq).limit(EXPORT_BATCH))
        ]
        if batch:
            yield batch
            after = batch[-1].seq
        if len(batch) < EXPORT_BATCH:
            return


def _entry(row: Row[Any]) -> LogEntry:
    values = dict(zip(_NAMES, row, strict=True))
    values["level"] = _LEVELS[values["level"]]
    return LogEntry(**values)
