"""The log service: the entries of a task, newest first in mind, and all of them for an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from syncmon_ext.model.log import Level, LogEntry
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.export import Columns
from syncmon_ext.store import log, tasks
from syncmon_ext.store.store import Store

EXPORT_BATCH: Final = 5_000  # entries in memory at a time
SEARCHED_AT_ONCE: Final = 250_000  # entries: some tenths of a second
COLUMN_BATCH: Final = 20_000  # likewise, of entries without an object each


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are wanted; None is no condition."""

    level: Level | None = None
    unit: str | None = None
    contains: str | None = None  # in the message, in any case
    after: int | None = None  # positions behind this one
    before: int | None = None

    @property
    def goes_through_all(self) -> bool:
        """Whether no index finds the entries: one that is rare takes a look at every one."""
        return self.contains is not None or self.unit is not None


class TaskLog:
    """Reads log entries. All methods raise TaskNotFound for an unknown task."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._closed = False

    def close(self) -> None:
        """Give up searches that are under way."""
        self._closed = True

    def entries(
        self,
        task_id: str,
        wanted: LogFilter,
        limit: int,
        given_up: Callable[[], bool] = lambda: False,
    ) -> list[LogEntry]:
        """The newest ``limit`` entries that match, oldest first; with ``after`` alone the oldest.

        A search is asked between two stretches of the log whether it was ``given_up``; what it found by
        then is all that it gives.
        """
        if wanted.goes_through_all:
            found = self._searched(task_id, wanted, limit, given_up)
        else:
            found = self._page(task_id, wanted, limit)
        if not found:  # a task that has entries is known
            self._catalog.task(task_id)
        return found

    def _page(
        self, task_id: str, wanted: LogFilter, limit: int, *, oldest: bool | None = None
    ) -> list[LogEntry]:
        fields = msgspec.structs.asdict(wanted)
        with self._store.read() as connection:
            return log.newest_entries(connection, task_id, limit, **fields, oldest=oldest)

    def _searched(
        self, task_id: str, wanted: LogFilter, limit: int, given_up: Callable[[], bool]
    ) -> list[LogEntry]:
        with self._store.read() as connection:
            position = tasks.position(connection, task_id)
        if position is None:
            return []
        forward = wanted.after is not None and wanted.before is None
        low = max(position.log_first_seq - 1, wanted.after or 0)
        high = min(position.log_seq + 1, wanted.before or position.log_seq + 1)
        found: list[LogEntry] = []
        while low + 1 < high and len(found) < limit and not self._closed and not given_up():
            if forward:
                first, last = low, min(high, low + 1 + SEARCHED_AT_ONCE)
                low = last - 1
            else:
                first, last = max(low, high - 1 - SEARCHED_AT_ONCE), high
                high = first + 1
            stretch = msgspec.structs.replace(wanted, after=first, before=last)
            page = self._page(task_id, stretch, limit - len(found), oldest=forward)
            found = found + page if forward else page + found
        return found

    def batches(self, task_id: str, wanted: LogFilter) -> Iterator[list[LogEntry]]:
        """All entries that match and are there now, oldest first, in constant memory.

        No transaction stays open between two batches: a slow reader holds nobody up.
        """
        self._catalog.task(task_id)
        with self._store.read() as connection:
            position = tasks.position(connection, task_id)
        last = position.log_seq if position else 0
        return self._batches(task_id, wanted, min(last, (wanted.before or last + 1) - 1))

    def columns(self, task_id: str, wanted: LogFilter) -> Iterator[Columns]:
        """The same entries as the columns of LogEntry: for a format that wants them so."""
        self._catalog.task(task_id)
        with self._store.read() as connection:
            position = tasks.position(connection, task_id)
        last = position.log_seq if position else 0
        return self._columns(task_id, wanted, min(last, (wanted.before or last + 1) - 1))

    def _columns(self, task_id: str, wanted: LogFilter, last: int) -> Iterator[Columns]:
        after = wanted.after or 0
        while after < last:
            with self._store.read() as connection:
                batch = log.columns_between(
                    connection,
                    task_id,
                    after,
                    last,
                    COLUMN_BATCH,
                    level=wanted.level,
                    unit=wanted.unit,
                    contains=wanted.contains,
                )
            if not batch:
                return
            yield Columns(batch)
            after = batch[0][-1]  # seq is the first field
            if len(batch[0]) < COLUMN_BATCH:
                return

    def _batches(self, task_id: str, wanted: LogFilter, last: int) -> Iterator[list[LogEntry]]:
        after = wanted.after or 0
        while after < last:
            page = msgspec.structs.replace(wanted, after=after, before=None)
            with self._store.read() as connection:
                batch = log.newest_entries(
                    connection, task_id, EXPORT_BATCH, **msgspec.structs.asdict(page)
                )
            full = len(batch) == EXPORT_BATCH
            batch = [entry for entry in batch if entry.seq <= last]
            if batch:
                yield batch
                after = batch[-1].seq
            if not full or not batch:
                return
