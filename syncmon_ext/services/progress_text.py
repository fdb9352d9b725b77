"""The progress object as JSON: each unit is read once, and again when it changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import msgspec
from sqlalchemy import Connection

from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Task
from syncmon_ext.store import snapshots, tasks
from syncmon_ext.store.tasks import TaskPosition

MOST_UNITS: Final = 100_000  # kept of all runs together; some 400 bytes each

_NO_UNITS: Final = b'"units":[]'
_encode = msgspec.json.Encoder().encode


class ProgressText(msgspec.Struct, frozen=True, kw_only=True):
    """A progress object as JSON, and where the task's news stood when it was read."""

    data: bytes
    partial: bool  # only changed units: of use to who has the one before
    position: TaskPosition | None
    state: State
    unit_count: int


class _RunUnits(msgspec.Struct, frozen=True):
    """A run's units in the order of copying: all in one piece until one of them changes."""

    revision: int  # of the task: the units are as they were then
    count: int
    joined: bytes = b""
    encoded: dict[str, bytes] | None = None  # by unit_id

    @property
    def pieces(self) -> list[bytes]:
        """What goes between the brackets, with commas between."""
        return [self.joined] if self.encoded is None else list(self.encoded.values())


class ProgressTexts:
    """Reads progress as JSON and remembers units; any thread may ask."""

    def __init__(self, most_units: int = MOST_UNITS) -> None:
        self._most_units = most_units
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _RunUnits] = OrderedDict()

    def read(self, connection: Connection, task: Task) -> ProgressText:
        """The progress of a task with all its units."""
        position = tasks.position(connection, task.task_id)
        progress = _of_newest_run(connection, task, position)
        if position is None or position.run_id is None or progress is None:
            idle = snapshots.idle_progress(task)
            return _text(idle, position, _encode(idle), len(idle.units))
        units = self._units(connection, position.run_id, position.revision)
        data = _with_units(progress, units.pieces, partial=False)
        return _text(progress, position, data, units.count)

    def read_changes(
        self, connection: Connection, task: Task, before: ProgressText
    ) -> ProgressText | None:
        """The progress with the units that changed since ``before``; None where all are needed."""
        position = tasks.position(connection, task.task_id)
        known = before.position
        if position is None or position.run_id is None or known is None:
            return None
        if known.run_id != position.run_id:
            return None
        progress = _of_newest_run(connection, task, position)
        units, whole = snapshots.unit_texts_since(connection, position.run_id, known.revision)
        if progress is None or whole:
            return None
        data = _with_units(progress, list(units.values()), partial=True)
        return _text(progress, position, data, before.unit_count, partial=True)

    def _units(self, connection: Connection, run_id: str, revision: int) -> _RunUnits:
        with self._lock:
            known = self._runs.get(run_id)
        if known is None:
            joined, count = snapshots.joined_unit_texts(connection, run_id)
            found = _RunUnits(revision, count, joined=joined)
        elif known.revision >= revision:
            found = known
        else:
            since = None if known.encoded is None else known.revision
            encoded, whole = snapshots.unit_texts_since(connection, run_id, since)
            if known.encoded is not None and not whole:
                encoded = known.encoded | encoded
            found = _RunUnits(revision, len(encoded), encoded=encoded)
        self._keep(run_id, found)
        return found

    def _keep(self, run_id: str, units: _RunUnits) -> None:
        with self._lock:
            newer = self._runs.get(run_id)
            if newer is None or newer.revision < units.revision:
                self._runs[run_id] = units
            self._runs.move_to_end(run_id)
            count = sum(run.count for run in self._runs.values())
            while count > self._most_units:
                _, oldest = self._runs.popitem(last=False)
                count -= oldest.count


def _of_newest_run(
    connection: Connection, task: Task, position: TaskPosition | None
) -> Progress | None:
    if position is None or position.run_id is None:
        return None
    return snapshots.run_progress(connection, task, position.run_id, with_units=False)


def _with_units(progress: Progress, pieces: list[bytes], *, partial: bool) -> bytes:
    """The progress as JSON around units that are JSON already, which are copied once: megabytes."""
    bare = _encode(msgspec.structs.replace(progress, units=[], units_partial=partial))
    # Within a text the quotes would be escaped.
    head, _, tail = bare.partition(_NO_UNITS)
    head, tail = head + _NO_UNITS[:-1], _NO_UNITS[-1:] + tail
    if len(pieces) <= 1:
        return b"".join([head, *pieces, tail])
    return b",".join([head + pieces[0], *pieces[1:-1], pieces[-1] + tail])


def _text(
    progress: Progress,
    position: TaskPosition | None,
    data: bytes,
    unit_count: int,
    *,
    partial: bool = False,
) -> ProgressText:
    return ProgressText(
        data=data,
        partial=partial,
        position=position,
        state=progress.state,
        unit_count=unit_count,
    )
