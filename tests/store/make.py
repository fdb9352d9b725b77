"""Factories of what a store holds."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from syncmon_ext.model.state import State
from syncmon_ext.model.task import Task, TaskSpec
from syncmon_ext.store import runs, tasks, units
from syncmon_ext.store.store import Store
from tests.databases import sqlite_url

SPEC = TaskSpec(source="flights", target="warehouse", tables=["airlines", "planes"])


def make_newer_store(path: Path) -> None:
    """A SQLite store that a later version of syncmon has migrated."""
    Store(sqlite_url(path)).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def make_task(store: Store, task_id: str = "nightly") -> Task:
    """A stored task."""
    task = Task(task_id=task_id, spec=SPEC, name=task_id)
    with store.write() as connection:
        assert tasks.create_task(connection, task)
    return task


def make_run(store: Store, task: Task, state: State = State.RUNNING) -> str:
    """The newest run of ``task``, with a pending unit for each table; its id."""
    run_id = uuid.uuid4().hex
    assert task.spec is not None
    with store.write() as connection:
        runs.create_run(
            connection,
            run_id=run_id,
            task_id=task.task_id,
            spec=task.spec,
            source=None,
            target=None,
            total_tables=len(task.spec.tables),
        )
        units.create_units(
            connection,
            run_id,
            [
                units.pending_unit(t.unit_id, t.unit_id, t.target or t.name)
                for t in task.spec.table_specs()
            ],
        )
        tasks.set_newest_run(connection, task.task_id, run_id)
        if state is not State.RUNNING:
            runs.set_state(connection, run_id, state)
    return run_id
