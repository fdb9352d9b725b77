"""The statements of loops: rows of ``tasks`` and ``runs`` that a Python program keeps itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select, update

from syncmon_ext.model.run import Lease, Owner, Run
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.store import runs
from syncmon_ext.store import tasks as task_rows
from syncmon_ext.store.schema import runs as run_table
from syncmon_ext.store.schema import tasks as task_table
from syncmon_ext.store.units import create_units, pending_unit, save_units, units_of_run

FIRST_TOKEN: Final = 1  # a loop has one owner for all its life


def begin(
    connection: Connection,
    *,
    task_id: str,
    run_id: str,
    name: str,
    total: int | None,
    owner: Owner,
    started_at: datetime,
) -> None:
    """Begin a run of a loop whose task is there: one unit, running, owned by its process."""
    runs.create_run(
        connection,
        run_id=run_id,
        task_id=task_id,
        spec=None,
        source=None,
        target=None,
        total_tables=1,
    )
    runs.acquire(connection, run_id, FIRST_TOKEN - 1, owner)
    runs.update_run(connection, run_id, rows_total=total, started_at=started_at)
    unit = msgspec.structs.replace(
        pending_unit(name, name, name),
        state=UnitState.RUNNING,
        attempt=1,
        rows_total=total,
        started_at=started_at,
    )
    create_units(connection, run_id, [unit])
    task_rows.set_newest_run(connection, task_id, run_id)


def rename(connection: Connection, task_id: str, name: str) -> None:
    """Show the loop under the name that its program gives it now."""
    connection.execute(update(task_table).where(task_table.c.task_id == task_id).values(name=name))


def take_report(connection: Connection, run_id: str, token: int, number: int) -> bool | None:
    """Count a report in: True for a new one, False for one that was taken already.

    None where the run has another owner, or reports are missing in between. The lease's heartbeat
    is the counter, so that a report that is sent again because its answer was lost counts once.
    """
    heartbeat = number + FIRST_TOKEN - 1  # acquiring the run was the first beat
    taken = connection.execute(
        update(run_table)
        .where(
            run_table.c.run_id == run_id,
            run_table.c.token == token,
            run_table.c.heartbeat == heartbeat,
        )
        .values(heartbeat=heartbeat + 1)
    )
    if taken.rowcount == 1:
        return True
    known = connection.execute(
        select(run_table.c.token, run_table.c.heartbeat).where(run_table.c.run_id == run_id)
    ).one_or_none()
    if known is not None and known.token == token and known.heartbeat == heartbeat + 1:
        return False
    return None


def change_unit(connection: Connection, task_id: str, run_id: str, **values: Any) -> None:
    """Write fields of the loop's one unit."""
    unit = units_of_run(connection, run_id)[0]
    save_units(connection, task_id, run_id, [msgspec.structs.replace(unit, **values)])


def paused(connection: Connection) -> list[tuple[Run, Lease]]:
    """The loops that hold still: their programs live on, unlike the workers of copies."""
    found = runs.runs_in(connection, [State.PAUSED])
    return [(run, lease) for run, lease in found if run.spec is None]
