"""The statements of the table ``tasks``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from syncmon_ext.model.state import ACTIVE, RESUMABLE, State
from syncmon_ext.model.task import Kind, Task, TaskSpec
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.schema import (
    idempotency_keys,
    log_entries,
    progress_samples,
    runs,
    task_unit_runtimes,
    tasks,
)
from syncmon_ext.store.upsert import upsert

NEWS_CHANNEL: Final = "syncmon_news"  # of PostgreSQL's NOTIFY


class TaskPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task's news stand: what a reader compares to know whether something changed."""

    task_id: str
    run_id: str | None
    revision: int
    log_seq: int
    log_first_seq: int
    state: State | None  # of the newest run; None before the first one
    created_at: datetime  # tells a task from an earlier one with the same id


_POSITION = select(
    tasks.c.task_id,
    tasks.c.run_id,
    tasks.c.revision,
    tasks.c.log_seq,
    tasks.c.log_first_seq,
    tasks.c.created_at,
    runs.c.state,
).outerjoin(runs, runs.c.run_id == tasks.c.run_id)


# These are sent several times a second: to build them anew would cost more than SQLite takes.
_OF_TASK = tasks.c.task_id == bindparam("b_task_id")
_POSITION_OF_TASK = _POSITION.where(_OF_TASK)
_NOTICE = func.pg_notify(NEWS_CHANNEL, "")
_BUMP = (
    update(tasks).where(_OF_TASK).values(revision=tasks.c.revision + 1).returning(tasks.c.revision)
)
_BUMP_AND_TELL = _BUMP.returning(_NOTICE)


def _position(row: Row[*tuple[Any, ...]]) -> TaskPosition:
    state = None if row.state is None else State(row.state)
    return TaskPosition(**{**row._mapping, "state": state})


def stored_task(connection: Connection, task_id: str) -> Task | None:
    """The task that was made over the API, or the loop, with this id."""
    row = connection.execute(
        select(tasks).where(tasks.c.task_id == task_id, _is_stored())
    ).one_or_none()
    return None if row is None else _task(row)


def stored_tasks(connection: Connection) -> list[Task]:
    """The tasks made over the API and the loops, by id."""
    return [
        _task(r)
        for r in connection.execute(select(tasks).where(_is_stored()).order_by(tasks.c.task_id))
    ]


def _is_stored() -> Any:
    return tasks.c.origin == "store"


def _task(row: Row[Any]) -> Task:
    return Task(
        task_id=row.task_id, kind=Kind(row.kind), spec=row.spec, name=row.name, origin=row.origin
    )


def create_task(connection: Connection, task: Task) -> bool:
    """Add a task; False where the id is taken."""
    # Not the row count: an INSERT has none on PostgreSQL.
    made = connection.execute(_insert_ignore(connection, task).returning(tasks.c.task_id))
    return made.scalar_one_or_none() is not None


def ensure_task(connection: Connection, task: Task) -> None:
    """Make sure that a task of a file has its row, under which its log and its runs stand."""
    connection.execute(_insert_ignore(connection, task))
    connection.execute(
        update(tasks)
        .where(tasks.c.task_id == task.task_id)
        .values(name=task.name, origin=task.origin, kind=task.kind)
    )


def _insert_ignore(connection: Connection, task: Task) -> Any:
    now = utc_now()
    values = {
        "task_id": task.task_id,
        "kind": task.kind,
        "name": task.name,
        "origin": task.origin,
        "spec": None if task.read_only else task.spec,
        "created_at": now,
        "updated_at": now,
    }
    insert = upsert(connection.dialect.name, tasks)
    return insert.values(**values).on_conflict_do_nothing(index_elements=["task_id"])


def change_task(connection: Connection, task_id: str, spec: TaskSpec, name: str) -> None:
    """Replace a stored task's spec."""
    connection.execute(
        update(tasks)
        .where(tasks.c.task_id == task_id)
        .values(spec=spec, name=name, updated_at=utc_now(), revision=tasks.c.revision + 1)
    )


def delete_task(connection: Connection, task_id: str) -> None:
    """Remove a task with its runs, its log and its history."""
    own_runs = select(runs.c.run_id).where(runs.c.task_id == task_id)
    connection.execute(delete(progress_samples).where(progress_samples.c.run_id.in_(own_runs)))
    connection.execute(delete(task_unit_runtimes).where(task_unit_runtimes.c.run_id.in_(own_runs)))
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.task_id == task_id))
    connection.execute(delete(runs).where(runs.c.task_id == task_id))
    connection.execute(delete(log_entries).where(log_entries.c.task_id == task_id))
    connection.execute(delete(tasks).where(tasks.c.task_id == task_id))


def bump(connection: Connection, task_id: str) -> int:
    """Say that something about the task changed; the new revision. Locks the task's row."""
    statement = _BUMP_AND_TELL if connection.dialect.name == "postgresql" else _BUMP
    return int(connection.execute(statement, {"b_task_id": task_id}).scalar_one())


def news_notice(connection: Connection) -> tuple[ColumnElement[Any], ...]:
    """A column to return that tells all who listen, at the commit; it costs no statement of its own."""
    return (_NOTICE,) if connection.dialect.name == "postgresql" else ()


def name(connection: Connection, task_id: str) -> str:
    """The name that the task is shown by."""
    found: str = connection.execute(
        select(tasks.c.name).where(tasks.c.task_id == task_id)
    ).scalar_one()
    return found


def lock_task(connection: Connection, task_id: str) -> None:
    """Hold the task's row until the transaction ends: commands come one after another."""
    bump(connection, task_id)


def set_newest_run(connection: Connection, task_id: str, run_id: str) -> None:
    """Make ``run_id`` the run whose state the task shows."""
    connection.execute(
        update(tasks).where(tasks.c.task_id == task_id).values(run_id=run_id, updated_at=utc_now())
    )


def positions(connection: Connection) -> dict[str, TaskPosition]:
    """Where the news of all tasks that have a row stand, by id."""
    return {row.task_id: _position(row) for row in connection.execute(_POSITION)}


def position(connection: Connection, task_id: str) -> TaskPosition | None:
    """Where the news of one task stand; None before its first run."""
    row = connection.execute(_POSITION_OF_TASK, {"b_task_id": task_id}).one_or_none()
    return None if row is None else _position(row)


def claim_idempotency_key(
    connection: Connection, key: str, task_id: str, run_id: str
) -> tuple[str, str]:
    """Tie ``key`` to a run, unless it is tied already; the (task_id, run_id) that it stands for."""
    connection.execute(
        upsert(connection.dialect.name, idempotency_keys)
        .values(key=key, task_id=task_id, run_id=run_id, created_at=utc_now())
        .on_conflict_do_nothing(index_elements=["key"])
    )
    row = connection.execute(
        select(idempotency_keys.c.task_id, idempotency_keys.c.run_id).where(
            idempotency_keys.c.key == key
        )
    ).one()
    return row.task_id, row.run_id


def run_of_idempotency_key(connection: Connection, key: str) -> tuple[str, str] | None:
    """The (task_id, run_id) that ``key`` stands for already."""
    row = connection.execute(
        select(idempotency_keys.c.task_id, idempotency_keys.c.run_id).where(
            idempotency_keys.c.key == key
        )
    ).one_or_none()
    return None if row is None else (row.task_id, row.run_id)


_REMEMBERED: Sequence[Column[Any]] = [
    tasks.c.task_id,
    tasks.c.kind,
    tasks.c.name,
    tasks.c.origin,
    runs.c.spec,
]


def remembered_tasks(connection: Connection, task_id: str | None = None) -> list[Task]:
    """The tasks of files that have a row, each as its newest run froze it; of one id, or all.

    Whether the file still defines them is not known here.
    """
    query = (
        select(*_REMEMBERED)
        .join(runs, runs.c.run_id == tasks.c.run_id)
        .where(~_is_stored())
        .order_by(tasks.c.task_id)
    )
    if task_id is not None:
        query = query.where(tasks.c.task_id == task_id)
    return [_task(row) for row in connection.execute(query)]


def adopt_task(connection: Connection, task: Task) -> None:
    """Make the row of a task that its file no longer defines the row of this stored task."""
    connection.execute(
        update(tasks)
        .where(tasks.c.task_id == task.task_id)
        .values(kind=task.kind, name=task.name, origin=task.origin, spec=task.spec)
        .values(updated_at=utc_now(), revision=tasks.c.revision + 1)
    )


def lock_stored_task(connection: Connection, task_id: str) -> Task | None:
    """The stored task, held until the transaction ends; None where there is none."""
    locked = connection.execute(
        update(tasks)
        .where(tasks.c.task_id == task_id, _is_stored())
        .values(revision=tasks.c.revision + 1)
    )
    return stored_task(connection, task_id) if locked.rowcount == 1 else None


def row_origin(connection: Connection, task_id: str) -> str | None:
    """``store``, or the file that the row's task is from; None where the id has no row."""
    origin: str | None = connection.execute(
        select(tasks.c.origin).where(tasks.c.task_id == task_id)
    ).scalar_one_or_none()
    return origin


def other_origins(connection: Connection, origin: str) -> dict[str, str]:
    """The files, but for ``origin``, that tasks with a row are from, by task."""
    query = select(tasks.c.task_id, tasks.c.origin).where(~_is_stored(), tasks.c.origin != origin)
    return {row.task_id: row.origin for row in connection.execute(query)}


def run_in_the_way(connection: Connection, task_id: str) -> State | None:
    """The state of a run that is active, or can go on from what it holds in the target.

    None where nothing would be lost or left behind when the task goes.
    """
    found = connection.execute(
        select(runs.c.state)
        .where(
            runs.c.task_id == task_id,
            or_(
                runs.c.state.in_([str(state) for state in ACTIVE]),
                and_(runs.c.state.in_([str(state) for state in RESUMABLE]), runs.c.target_held),
            ),
        )
        .order_by(runs.c.started_at.desc())
        .limit(1)
    ).scalar_one_or_none()
    return None if found is None else State(found)
