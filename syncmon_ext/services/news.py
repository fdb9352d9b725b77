"""The one reader of the store for all streams of a server: what changed, encoded once."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import Connection

from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.task import Task
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.progress_text import ProgressText, ProgressTexts
from syncmon_ext.store import log, tasks
from syncmon_ext.store.changes import Changes
from syncmon_ext.store.store import Store
from syncmon_ext.store.tasks import TaskPosition

PAGE_ENTRIES: Final = 1_000  # of one log event
PAGE_BYTES: Final = 262_144  # of one log event, unless a single entry is longer
WHOLE_UNITS: Final = 500  # units up to which each progress event carries all

_encode = msgspec.json.Encoder().encode


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Log entries in a row, as a JSON array; ``last`` is the position of the newest."""

    last: int
    data: bytes


class TaskNews(msgspec.Struct, frozen=True, kw_only=True):
    """What is new of a task, of one moment."""

    progress: ProgressText
    page: Page | None  # the first entries that are new
    seq: int  # the position before ``page``


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """All tasks by id; ``error`` tells one fault of the configuration from another and from none."""

    tasks: dict[str, Task] = {}
    error: str = ""


class News:
    """Reads what streams send. All methods block and are called from one thread."""

    def __init__(self, store: Store, catalog: Catalog, texts: ProgressTexts) -> None:
        self._store = store
        self._catalog = catalog
        self._texts = texts

    @property
    def store_id(self) -> str:
        """The identity of the store that is read."""
        return self._store.store_id

    def changes(self) -> Changes:
        """What tells when to read; for a thread of its own."""
        return Changes(self._store)

    def positions(self) -> dict[str, TaskPosition]:
        """Where all tasks stand now."""
        with self._store.read() as connection:
            return tasks.positions(connection)

    def listing(self) -> Listing:
        """All tasks, and what is wrong with their file."""
        error = self._catalog.configuration_error
        return Listing(
            tasks={task.task_id: task for task in self._catalog.tasks()},
            error="" if error is None else f"{error.code}\n{error.message}\n{error.hint}",
        )

    def read(self, task: Task, before: ProgressText | None, after: int | None) -> TaskNews:
        """The progress of a task and its entries behind ``after``; None: behind the newest.

        Of many units the progress has only those that changed since ``before``. A task that was
        removed and made again is read from its first entry.
        """
        with self._store.read() as connection:
            progress = None
            if before is not None and before.unit_count > WHOLE_UNITS:
                progress = self._texts.read_changes(connection, task, before)
            progress = progress or self._texts.read(connection, task)
            position = progress.position
            if position is None:
                return TaskNews(progress=progress, page=None, seq=0)
            if after is None:
                return TaskNews(progress=progress, page=None, seq=position.log_seq)
            known = before.position if before is not None else None
            if known is not None and known.created_at != position.created_at:
                after = 0
            seq = max(after, position.log_first_seq - 1)
            page = None
            if seq < position.log_seq:
                page = _read_page(connection, task.task_id, seq, position.log_seq)
        return TaskNews(progress=progress, page=page, seq=seq)

    def progress(self, task: Task) -> bytes:
        """The progress of a task with all its units."""
        with self._store.read() as connection:
            return self._texts.read(connection, task).data

    def page(self, task_id: str, after: int, upto: int) -> Page:
        """The entries ``(after, upto]``, or the first of them that make one event."""
        with self._store.read() as connection:
            return _read_page(connection, task_id, after, upto)


def _read_page(connection: Connection, task_id: str, after: int, upto: int) -> Page:
    limit = min(PAGE_ENTRIES, upto - after)
    return _page(log.newest_entries(connection, task_id, limit, after=after), upto)


def _page(entries: list[LogEntry], upto: int) -> Page:
    parts: list[bytes] = []
    size, last = 0, upto
    for entry in entries:
        if entry.seq > upto:
            break
        data = _encode(entry)
        if parts and size + len(data) > PAGE_BYTES:
            break
        parts.append(data)
        size += len(data)
        last = entry.seq
    return Page(last=last, data=b"[%b]" % b",".join(parts))
