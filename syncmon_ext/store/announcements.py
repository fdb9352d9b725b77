"""The statements by which servers find out what runs came to, and tell each change of state once."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, and_, func, or_, select, update

from syncmon_ext.model.state import State
from syncmon_ext.store.schema import runs, tasks

# The states on the way to others are no news.
NEWS: Final = frozenset(
    {
        State.RUNNING,
        State.PAUSED,
        State.COMPLETED,
        State.FAILED,
        State.STOPPED,
        State.INTERRUPTED,
    }
)
MOST: Final = 200  # in one look
LOST: Final = "lost"  # in place of a told state: the worker was lost, and nobody was told yet


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """A run's change of state; ``before`` is the state that was told of last.

    ``lost``: it lost its worker since, and was taken over before anyone looked.
    """

    task_id: str
    run_id: str
    kind: str
    state: State
    before: State | None
    lost: bool
    rows_committed: int
    bytes_committed: int
    total_tables: int
    completed_tables: int
    failed_tables: int
    elapsed_seconds: float
    started_at: datetime
    updated_at: datetime
    error_code: str | None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has committed."""

    rows: int
    bytes: int
    started_at: datetime


_OF_RUN: Final = [
    runs.c[name]
    for name in Announcement.__struct_fields__
    if name not in ("kind", "state", "before", "lost")
]


def pending(connection: Connection) -> list[Announcement]:
    """The runs whose state was not told of, the oldest change first."""
    rows = connection.execute(
        select(*_OF_RUN, runs.c.state, runs.c.announced, tasks.c.kind)
        .join(tasks, tasks.c.task_id == runs.c.task_id)
        .where(
            or_(runs.c.announced.is_(None), runs.c.announced != runs.c.state),
            runs.c.state.in_([str(state) for state in NEWS]),
        )
        .order_by(runs.c.updated_at, runs.c.run_id)
        .limit(MOST)
    )
    return [
        Announcement(
            **{column.name: getattr(row, column.name) for column in _OF_RUN},
            kind=row.kind,
            state=State(row.state),
            before=None if row.announced in (None, LOST) else State(row.announced),
            lost=row.announced == LOST,
        )
        for row in rows
    ]


def claim(connection: Connection, found: Announcement) -> bool:
    """Note that the state is told of; False where another server was faster or it changed again."""
    told = LOST if found.lost else found.before
    same = runs.c.announced.is_(None) if told is None else runs.c.announced == told
    result = connection.execute(
        update(runs)
        .where(runs.c.run_id == found.run_id, runs.c.state == found.state, same)
        .values(announced=found.state)
    )
    return result.rowcount == 1


def note_loss(connection: Connection, run_id: str) -> None:
    """Note that the run lost its worker, so that somebody tells of it although it goes on at once."""
    connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id, runs.c.announced.is_not(None))
        .values(announced=LOST)
    )


def runs_by_state(connection: Connection) -> dict[State, int]:
    """How many runs there are in each state."""
    rows = connection.execute(select(runs.c.state, func.count()).group_by(runs.c.state))
    return {State(state): count for state, count in rows}


def totals(connection: Connection, since: datetime) -> dict[str, Totals]:
    """What was committed by the run of each task that is its newest, and by all begun ``since``."""
    columns = select(
        runs.c.run_id, runs.c.rows_committed, runs.c.bytes_committed, runs.c.started_at
    )
    newest = columns.join(tasks, tasks.c.run_id == runs.c.run_id)
    # By the index of each task's runs: there may be many more that are long over.
    begun = columns.select_from(tasks).join(
        runs, and_(runs.c.task_id == tasks.c.task_id, runs.c.started_at >= since)
    )
    return {
        row.run_id: Totals(
            rows=row.rows_committed, bytes=row.bytes_committed, started_at=row.started_at
        )
        for query in (newest, begun)
        for row in connection.execute(query)
    }
