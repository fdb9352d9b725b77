"""The progress object of a task, read from the store in one go."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, select

from syncmon_ext.model.progress import Progress, totals
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Task
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.store.schema import runs
from syncmon_ext.store.units import (
    joined_texts,
    pending_unit,
    unit_texts,
    units_changed_since,
    units_of_run,
)

_RUN_FIELDS = [
    runs.c[name]
    for name in Progress.__struct_fields__
    if name in runs.c and name not in ("task_id", "run_id", "state")
]


def idle_progress(task: Task) -> Progress:
    """The progress of a task that has never run: its tables, waiting."""
    units = [
        pending_unit(t.unit_id, t.unit_id, t.target or t.name)
        for t in (task.spec.table_specs() if task.spec else [])
    ]
    sums = totals(units)
    return Progress(
        task_id=task.task_id,
        run_id=None,
        name=task.name,
        state=State.IDLE,
        overall_progress=None,
        total_tables=sums.total_tables,
        completed_tables=0,
        failed_tables=0,
        current_table=None,
        current_table_progress=None,
        rows_total=None,
        rows_total_is_estimate=False,
        rows_committed=0,
        bytes_committed=0,
        speed=None,
        speed_bytes=None,
        eta_seconds=None,
        eta_low_seconds=None,
        eta_high_seconds=None,
        elapsed_seconds=0.0,
        stalled_seconds=0.0,
        waiting_for=None,
        consistency=None,
        limited_by=None,
        started_at=None,
        finished_at=None,
        updated_at=None,
        error=None,
        hint=None,
        units=units,
        kind=task.kind,
    )


def run_progress(
    connection: Connection,
    task: Task,
    run_id: str,
    *,
    changed_since: int | None = None,
    with_units: bool = True,
) -> Progress | None:
    """The progress of a run, with all units, or those changed after a revision, or none.

    None where the run is not there (any more).
    """
    row = connection.execute(
        select(runs.c.state, *_RUN_FIELDS).where(
            runs.c.run_id == run_id, runs.c.task_id == task.task_id
        )
    ).one_or_none()
    if row is None:
        return None
    units: list[UnitRuntime] = []
    whole = False
    if with_units:
        units, whole = units_since(connection, run_id, changed_since)
    values = {field.name: getattr(row, field.name) for field in _RUN_FIELDS}
    return Progress(
        task_id=task.task_id,
        run_id=run_id,
        name=task.name,
        state=State(row.state),
        units=units,
        units_partial=not whole,
        kind=task.kind,
        **values,
    )


def units_since(
    connection: Connection, run_id: str, revision: int | None
) -> tuple[list[UnitRuntime], bool]:
    """The units that changed after a revision, and False; or all of them, and True.

    All, where there is no revision, and where the run has ended and keeps its units itself.
    """
    final = _final_units(connection, run_id)
    if final is not None:
        return final, True
    if revision is None:
        return units_of_run(connection, run_id), True
    return units_changed_since(connection, run_id, revision), False


def unit_texts_since(
    connection: Connection, run_id: str, revision: int | None
) -> tuple[dict[str, bytes], bool]:
    """The same as JSON by unit_id: of many units much sooner than the units themselves."""
    final = _final_units(connection, run_id)
    if final is not None:
        return {unit.unit_id: msgspec.json.encode(unit) for unit in final}, True
    return unit_texts(connection, run_id, revision), revision is None


def joined_unit_texts(connection: Connection, run_id: str) -> tuple[bytes, int]:
    """All units as JSON with commas between, and how many they are."""
    found = joined_texts(connection, run_id)
    if found is None or not found[1]:
        texts, _ = unit_texts_since(connection, run_id, None)
        found = b",".join(texts.values()), len(texts)
    return found


def _final_units(connection: Connection, run_id: str) -> list[UnitRuntime] | None:
    found: list[UnitRuntime] | None = connection.scalar(
        select(runs.c.final_units).where(runs.c.run_id == run_id, runs.c.final_units.is_not(None))
    )
    return found


def progress_of_runs(connection: Connection, tasks: Mapping[str, Task]) -> dict[str, Progress]:
    """The progress of many runs, without their units, by run id; ``tasks`` are theirs, likewise."""
    found: dict[str, Progress] = {}
    names = list(tasks)
    for start in range(0, len(names), 500):
        rows = connection.execute(
            select(runs.c.run_id, runs.c.task_id, runs.c.state, *_RUN_FIELDS).where(
                runs.c.run_id.in_(names[start : start + 500])
            )
        )
        for row in rows:
            found[row.run_id] = Progress(
                task_id=row.task_id,
                run_id=row.run_id,
                name=tasks[row.run_id].name,
                state=State(row.state),
                units=[],
                units_partial=True,
                kind=tasks[row.run_id].kind,
                **{field.name: getattr(row, field.name) for field in _RUN_FIELDS},
            )
    return found
