"""A run as the store sees it: rows written the way a worker writes them, without any copying."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.log import Level
from syncmon_ext.model.state import ENDED, State, UnitState
from syncmon_ext.model.task import Task, TaskSpec
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.store import log, runs, samples, tasks, units
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.store import Store


class SimulatedRun:
    """A run of a task whose units have 100 rows each. Making it starts it."""

    def __init__(self, store: Store, task_id: str, tables: Sequence[str] = ("t",)) -> None:
        self.store = store
        self.task_id = task_id
        self.run_id = uuid.uuid4().hex
        self.units: dict[str, UnitRuntime] = {
            name: msgspec.structs.replace(units.pending_unit(name, name, name), rows_total=100)
            for name in tables
        }
        spec = TaskSpec(source="source", target="target", tables=list(tables))
        task = Task(task_id=task_id, spec=spec, name=task_id, origin="/test/syncmon.toml")
        with store.write() as connection:
            tasks.ensure_task(connection, task)
            runs.create_run(
                connection,
                run_id=self.run_id,
                task_id=task_id,
                spec=spec,
                source=Connection(name="source", url="sqlite:////nowhere/source.db"),
                target=Connection(name="target", url="sqlite:////nowhere/target.db"),
                total_tables=len(tables),
            )
            tasks.set_newest_run(connection, task_id, self.run_id)
            units.create_units(connection, self.run_id, list(self.units.values()))
            tasks.bump(connection, task_id)

    def write(self, *messages: str, level: Level = Level.INFO, unit: str | None = None) -> int:
        """Add log entries; the position of the last one."""
        with self.store.write() as connection:
            entries = [NewEntry(level=level, message=text, unit=unit) for text in messages]
            return log.append(connection, self.task_id, self.run_id, entries)

    def commit(self, table: str, rows: int) -> None:
        """Say that a unit has so many rows committed."""
        unit = msgspec.structs.replace(
            self.units[table], state=UnitState.RUNNING, rows_committed=rows, progress=float(rows)
        )
        self.units[table] = unit
        total = sum(unit.rows_committed for unit in self.units.values())
        with self.store.write() as connection:
            runs.update_run(connection, self.run_id, rows_committed=total)
            units.save_units(connection, self.task_id, self.run_id, [unit])

    def sample(self) -> None:
        """Add a point to the history."""
        total = sum(unit.rows_committed for unit in self.units.values())
        with self.store.write() as connection:
            samples.add_sample(
                connection,
                self.run_id,
                elapsed_seconds=1.0,
                rows_committed=total,
                bytes_committed=0,
                overall_progress=None,
                speed=None,
                speed_bytes=None,
            )

    def become(self, state: State, *messages: str) -> None:
        """Change the state, with log entries in the same transaction."""
        with self.store.write() as connection:
            runs.set_state(connection, self.run_id, state, finished=state in ENDED)
            tasks.bump(connection, self.task_id)
            if messages:
                entries = [NewEntry(level=Level.INFO, message=text) for text in messages]
                log.append(connection, self.task_id, self.run_id, entries)
