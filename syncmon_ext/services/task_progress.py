"""The progress service: how far tasks are, their past runs and the samples of these."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from syncmon_ext.model.errors import RunNotFound
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.run import RunSummary
from syncmon_ext.model.sample import HistorySample
from syncmon_ext.model.task import Task
from syncmon_ext.model.view import TaskView
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.progress_text import ProgressTexts
from syncmon_ext.store import runs, samples, snapshots, tasks
from syncmon_ext.store.store import Store

ALL_RUNS = 1_000_000  # more than a task will ever have


class TaskProgress:
    """Reads progress from the store. All methods raise TaskNotFound for an unknown task."""

    def __init__(self, store: Store, catalog: Catalog, texts: ProgressTexts | None = None) -> None:
        self._store = store
        self._catalog = catalog
        self._texts = texts or ProgressTexts()

    def progress(self, task_id: str) -> Progress:
        """The progress of a task, with all its units."""
        return self._progress_of(self._catalog.task(task_id))

    def progress_json(self, task_id: str) -> bytes:
        """The same as JSON, of units that are encoded when they change and not when one asks."""
        task = self._catalog.task(task_id)
        with self._store.read() as connection:
            return self._texts.read(connection, task).data

    def view(self, task_id: str) -> TaskView:
        """The task with its progress and all its units."""
        task = self._catalog.task(task_id)
        return _view(task, self._progress_of(task))

    def views(self) -> list[TaskView]:
        """All tasks with their progress, without the units."""
        all_tasks = self._catalog.tasks()
        with self._store.read() as connection:
            newest = {
                task_id: position.run_id
                for task_id, position in tasks.positions(connection).items()
                if position.run_id is not None
            }
            found = snapshots.progress_of_runs(
                connection, {newest[t.task_id]: t for t in all_tasks if t.task_id in newest}
            )
        return [
            _view(task, found.get(newest.get(task.task_id, "")) or _idle_without_units(task))
            for task in all_tasks
        ]

    def runs(self, task_id: str, limit: int) -> list[RunSummary]:
        """The newest ``limit`` runs of a task, newest first."""
        self._catalog.task(task_id)
        with self._store.read() as connection:
            return runs.runs_of_task(connection, task_id, limit)

    def history(self, task_id: str, run_id: str | None, limit: int) -> list[HistorySample]:
        """The newest ``limit`` samples of one run or of all, oldest first."""
        found: list[HistorySample] = []
        for run in self._runs(task_id, run_id):
            with self._store.read() as connection:
                found = samples.history(connection, task_id, run) + found
            if len(found) >= limit:
                break
        return found[-limit:]

    def history_batches(self, task_id: str, run_id: str | None) -> Iterator[list[HistorySample]]:
        """All samples of one run or of all, oldest first, one run at a time."""
        chosen = self._runs(task_id, run_id)
        return self._batches(task_id, chosen)

    def _batches(self, task_id: str, chosen: list[str]) -> Iterator[list[HistorySample]]:
        for run in reversed(chosen):
            with self._store.read() as connection:
                batch = samples.history(connection, task_id, run)
            if batch:
                yield batch

    def _runs(self, task_id: str, run_id: str | None) -> list[str]:
        """The runs, newest first; raises RunNotFound."""
        known = [summary.run_id for summary in self.runs(task_id, ALL_RUNS)]
        if run_id is None:
            return known
        if run_id not in known:
            raise RunNotFound(
                f"task {task_id!r} has no run {run_id!r}", hint="list its runs with GET …/runs"
            )
        return [run_id]

    def _progress_of(self, task: Task) -> Progress:
        with self._store.read() as connection:
            position = tasks.position(connection, task.task_id)
            found = (
                snapshots.run_progress(connection, task, position.run_id)
                if position and position.run_id
                else None
            )
        return found or snapshots.idle_progress(task)


def _view(task: Task, progress: Progress) -> TaskView:
    return TaskView(
        task_id=task.task_id,
        kind=task.kind,
        name=task.name,
        origin=task.origin,
        read_only=task.read_only,
        spec=task.spec,
        state=progress.state,
        progress=progress,
    )


def _idle_without_units(task: Task) -> Progress:
    return msgspec.structs.replace(snapshots.idle_progress(task), units=[], units_partial=True)
