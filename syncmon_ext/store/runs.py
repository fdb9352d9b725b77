"""The statements of the table ``runs``: a run's record and its lease."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from syncmon_ext.model.connection import Connection as DatabaseConnection
from syncmon_ext.model.plan import Plan
from syncmon_ext.model.run import Lease, Owner, Run, RunSummary
from syncmon_ext.model.state import State
from syncmon_ext.model.task import TaskSpec, Throttle
from syncmon_ext.model.webhook import Webhook
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.schema import runs

_RUN_FIELDS = [runs.c[name] for name in Run.__struct_fields__]
_SUMMARY_FIELDS = [runs.c[name] for name in RunSummary.__struct_fields__]

# A worker sends these several times a second: to build them anew would cost more than SQLite takes.
_OF_RUN = runs.c.run_id == bindparam("b_run_id")
_COMMAND = select(runs.c.state, runs.c.throttle).where(_OF_RUN)
_UPDATE = update(runs).where(_OF_RUN)
_HOLDS = (
    _UPDATE.where(runs.c.token == bindparam("b_token"))
    .values(heartbeat=runs.c.heartbeat + 1)
    .returning(runs.c.state, runs.c.throttle)
)


class FrozenRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run froze when it began: all that a worker needs, however the files change later."""

    run_id: str
    task_id: str
    spec: TaskSpec
    source: DatabaseConnection
    target: DatabaseConnection
    plan: Plan | None
    only_units: list[str] | None


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told."""

    state: State  # that the run should be in, or come to
    throttle: Throttle | None


def create_run(
    connection: Connection,
    *,
    run_id: str,
    task_id: str,
    spec: TaskSpec | None,
    source: DatabaseConnection | None,
    target: DatabaseConnection | None,
    total_tables: int,
    only_units: list[str] | None = None,
) -> None:
    """Begin a run: running, with no owner yet."""
    now = utc_now()
    connection.execute(
        insert(runs).values(
            run_id=run_id,
            task_id=task_id,
            state=State.RUNNING,
            spec=spec,
            source_connection=source,
            target_connection=target,
            throttle=spec.throttle if spec else None,
            total_tables=total_tables,
            only_units=only_units,
            started_at=now,
            updated_at=now,
        )
    )


def run_by_id(connection: Connection, run_id: str) -> Run | None:
    """The run, or None."""
    row = connection.execute(select(*_RUN_FIELDS).where(runs.c.run_id == run_id)).one_or_none()
    return None if row is None else _run(row)


def _run(row: Row[Any]) -> Run:
    return Run(**{**row._mapping, "state": State(row.state)})


def run_state(connection: Connection, run_id: str) -> State:
    """The state of a run that exists."""
    return State(
        connection.execute(select(runs.c.state).where(runs.c.run_id == run_id)).scalar_one()
    )


def error_code(connection: Connection, run_id: str) -> str | None:
    """The code of the error that a run ended or paused with."""
    code: str | None = connection.execute(
        select(runs.c.error_code).where(runs.c.run_id == run_id)
    ).scalar_one()
    return code


_FROZEN_FIELDS = [
    runs.c.run_id,
    runs.c.task_id,
    runs.c.spec,
    runs.c.source_connection,
    runs.c.target_connection,
    runs.c.plan,
    runs.c.only_units,
]


def frozen_run(connection: Connection, run_id: str) -> FrozenRun:
    """What the run froze."""
    return _frozen(connection.execute(select(*_FROZEN_FIELDS).where(runs.c.run_id == run_id)).one())


def planned_runs(connection: Connection, task_id: str, limit: int) -> Iterator[FrozenRun]:
    """What the newest ``limit`` runs of a task froze that came to a plan, newest first."""
    rows = connection.execute(
        select(*_FROZEN_FIELDS)
        .where(runs.c.task_id == task_id, runs.c.plan.is_not(None))
        .order_by(runs.c.started_at.desc(), runs.c.run_id)
        .limit(limit)
    )
    return map(_frozen, rows)


def _frozen(row: Row[Any]) -> FrozenRun:
    return FrozenRun(
        run_id=row.run_id,
        task_id=row.task_id,
        spec=row.spec,
        source=row.source_connection,
        target=row.target_connection,
        plan=row.plan,
        only_units=row.only_units,
    )


def frozen_connections(
    connection: Connection, run_id: str
) -> tuple[DatabaseConnection | None, DatabaseConnection | None]:
    """The source and the target that the run was begun with; a loop has none."""
    row = connection.execute(
        select(runs.c.source_connection, runs.c.target_connection).where(runs.c.run_id == run_id)
    ).one()
    return row.source_connection, row.target_connection


def runs_of_task(connection: Connection, task_id: str, limit: int) -> list[RunSummary]:
    """The task's newest ``limit`` runs, newest first."""
    rows = connection.execute(
        select(*_SUMMARY_FIELDS)
        .where(runs.c.task_id == task_id)
        .order_by(runs.c.started_at.desc(), runs.c.run_id)
        .limit(limit)
    )
    return [RunSummary(**{**r._mapping, "state": State(r.state)}) for r in rows]


def runs_in(connection: Connection, states: Collection[State]) -> list[tuple[Run, Lease]]:
    """The runs in ``states`` with their leases: what a supervisor watches."""
    rows = connection.execute(
        select(runs).where(runs.c.state.in_([str(state) for state in states]))
    )
    return [(_run_of_all(r), _lease(r)) for r in rows]


def runs_to_forget(connection: Connection) -> list[tuple[Run, Lease]]:
    """Runs that ended, with their leases, while their target may still hold their checkpoints."""
    rows = connection.execute(
        select(runs).where(
            runs.c.target_held, runs.c.state.in_([str(State.COMPLETED), str(State.STOPPED)])
        )
    )
    return [(_run_of_all(r), _lease(r)) for r in rows]


def _run_of_all(row: Row[Any]) -> Run:
    values = {name: getattr(row, name) for name in Run.__struct_fields__}
    return Run(**{**values, "state": State(row.state)})


def lease(connection: Connection, run_id: str) -> Lease:
    """Who owns the run."""
    return _lease(connection.execute(select(runs).where(runs.c.run_id == run_id)).one())


def _lease(row: Row[Any]) -> Lease:
    owner = (
        None
        if row.owner_pid is None
        else Owner(
            host=row.owner_host,
            boot_id=row.owner_boot_id,
            pid=row.owner_pid,
            process_started=row.owner_started,
        )
    )
    return Lease(run_id=row.run_id, token=row.token, owner=owner, heartbeat=row.heartbeat)


def set_state(
    connection: Connection,
    run_id: str,
    state: State,
    *,
    error: tuple[str, str, str] | None = None,
    finished: bool = False,
) -> None:
    """Move a run; ``error`` is (code, message, hint). Leaving an error state clears the error."""
    now = utc_now()
    code, message, hint = error or (None, None, None)
    values: dict[str, Any] = {
        "state": state,
        "updated_at": now,
        "error_code": code,
        "error": message,
        "hint": hint,
        "finished_at": now if finished else None,
    }
    if state is not State.RUNNING:
        values |= {
            "speed": None,
            "speed_bytes": None,
            "eta_seconds": None,
            "eta_low_seconds": None,
            "eta_high_seconds": None,
            "stalled_seconds": 0.0,
            "waiting_for": None,
        }
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(**values))


def acquire(connection: Connection, run_id: str, token: int, owner: Owner) -> bool:
    """Take the run over from the owner with ``token``: the next token is ours, or False."""
    result = connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id, runs.c.token == token)
        .values(
            token=token + 1,
            owner_host=owner.host,
            owner_boot_id=owner.boot_id,
            owner_pid=owner.pid,
            owner_started=owner.process_started,
            heartbeat=runs.c.heartbeat + 1,
        )
    )
    return result.rowcount == 1


def release(connection: Connection, run_id: str, token: int) -> None:
    """Say that no process executes the run any more; every observer's patience begins anew."""
    connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id, runs.c.token == token)
        .values(
            owner_host=None,
            owner_boot_id=None,
            owner_pid=None,
            owner_started=None,
            heartbeat=runs.c.heartbeat + 1,
        )
    )


def holds(connection: Connection, run_id: str, token: int) -> Command | None:
    """Count the heartbeat up and give what the worker is told; None where a newer owner holds the run."""
    row = connection.execute(_HOLDS, {"b_run_id": run_id, "b_token": token}).one_or_none()
    return None if row is None else Command(state=State(row.state), throttle=row.throttle)


def command(connection: Connection, run_id: str) -> Command:
    """What the worker of a run is told."""
    row = connection.execute(_COMMAND, {"b_run_id": run_id}).one()
    return Command(state=State(row.state), throttle=row.throttle)


def update_run(connection: Connection, run_id: str, **values: Any) -> None:
    """Write what the worker knows about the run's progress."""
    connection.execute(_UPDATE, {"b_run_id": run_id, **values, "updated_at": utc_now()})


def set_target_held(connection: Connection, run_id: str, held: bool) -> None:
    """Note whether the run may have something in its target that must be cleared one day."""
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(target_held=held))


def runs_to_clear(connection: Connection, task_id: str, but: str) -> list[tuple[str, State, int]]:
    """(run_id, state, token) of the task's other runs that may have left something in the target."""
    rows = connection.execute(
        select(runs.c.run_id, runs.c.state, runs.c.token).where(
            runs.c.task_id == task_id, runs.c.run_id != but, runs.c.target_held
        )
    )
    return [(row.run_id, State(row.state), row.token) for row in rows]


def ended_runs_to_forget(connection: Connection) -> list[tuple[str, int]]:
    """(run_id, token) of ended runs, of any task, whose worker died before it cleared the target."""
    rows = connection.execute(
        select(runs.c.run_id, runs.c.token).where(
            runs.c.target_held, runs.c.state.in_([State.COMPLETED, State.STOPPED])
        )
    )
    return [(row.run_id, row.token) for row in rows]


def set_webhooks(connection: Connection, run_id: str, webhooks: list[Webhook]) -> None:
    """Say who is told of the run's end."""
    connection.execute(
        update(runs).where(runs.c.run_id == run_id).values(webhooks=webhooks or None)
    )


def webhooks(connection: Connection, run_id: str) -> list[Webhook]:
    """Who is told of the run's end."""
    found: list[Webhook] | None = connection.scalar(
        select(runs.c.webhooks).where(runs.c.run_id == run_id)
    )
    return found or []


def summary(connection: Connection, run_id: str) -> RunSummary:
    """A run that exists, in short."""
    row = connection.execute(select(*_SUMMARY_FIELDS).where(runs.c.run_id == run_id)).one()
    return RunSummary(**{**row._mapping, "state": State(row.state)})


def set_throttle(connection: Connection, run_id: str, throttle: Throttle | None) -> None:
    """Change the pace of a run; its worker reads it within a second."""
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(throttle=throttle))


def throttle(connection: Connection, run_id: str) -> Throttle | None:
    """The pace that a run must keep."""
    pace: Throttle | None = connection.execute(
        select(runs.c.throttle).where(runs.c.run_id == run_id)
    ).scalar_one()
    return pace


def reset_takeovers(connection: Connection, run_id: str) -> None:
    """Forget the takeovers: a person started the run again."""
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(takeovers=0))


def count_takeover(connection: Connection, run_id: str) -> int:
    """Count a takeover; the count starts again when rows were committed since the last one."""
    row = connection.execute(
        select(runs.c.takeovers, runs.c.takeover_rows, runs.c.rows_committed).where(
            runs.c.run_id == run_id
        )
    ).one()
    count = 1 if row.rows_committed > row.takeover_rows else row.takeovers + 1
    connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id)
        .values(takeovers=count, takeover_rows=row.rows_committed)
    )
    return count
