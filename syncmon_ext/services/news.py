"""The one reader of the store for all streams of a server: what changed, encoded once."""

from __future__ import annotations

from typing import Final

import msgspec

from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Task
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.store import log, snapshots, tasks
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


class ProgressNews(msgspec.Struct, frozen=True, kw_only=True):
    """A progress object as JSON, and what the next one builds on."""

    data: bytes
    partial: bool  # only changed units: of use to who has the one before
    position: TaskPosition | None
    state: State
    unit_count: int


class News:
    """Reads what streams send. All methods block and are called from one thread."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._changes = Changes(store)

    @property
    def store_id(self) -> str:
        """The identity of the store that is read."""
        return self._store.store_id

    def look(self) -> dict[str, TaskPosition] | None:
        """Where all tasks stand now; None where nothing was written since the last look."""
        if not self._changes.seen():
            return None
        with self._store.read() as connection:
            return tasks.positions(connection)

    def tasks(self) -> dict[str, Task]:
        """All tasks by id."""
        return {task.task_id: task for task in self._catalog.tasks()}

    def progress(self, task: Task, before: ProgressNews | None = None) -> ProgressNews:
        """The progress of a task: all units, or those changed since ``before`` where they are many."""
        with self._store.read() as connection:
            position = tasks.position(connection, task.task_id)
            known = before.position if before else None
            since = (
                known.revision
                if before
                and known
                and position
                and known.run_id == position.run_id
                and before.unit_count > WHOLE_UNITS
                else None
            )
            progress: Progress | None = None
            if position and position.run_id:
                progress = snapshots.run_progress(
                    connection, task, position.run_id, changed_since=since
                )
        if progress is None:
            progress = snapshots.idle_progress(task)
        return ProgressNews(
            data=_encode(progress),
            partial=progress.units_partial,
            position=position,
            state=progress.state,
            unit_count=max(len(progress.units), progress.total_tables),
        )

    def page(self, task_id: str, after: int, upto: int) -> Page:
        """The entries ``(after, upto]``, or the first of them that make one event."""
        limit = min(PAGE_ENTRIES, upto - after)
        with self._store.read() as connection:
            entries = log.newest_entries(connection, task_id, limit, after=after)
        return _page(entries, upto)

    def close(self) -> None:
        """Give the connection back."""
        self._changes.close()


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
