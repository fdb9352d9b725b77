"""The control service: start, pause and stop, each one transaction that the table of states allows."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection

from syncmon_ext.model import words
from syncmon_ext.model.errors import (
    ConfigChanged,
    ConnectionNotFound,
    InvalidConfig,
    RunNotFound,
    SyncmonError,
    TaskNotFound,
    WrongState,
)
from syncmon_ext.model.log import Level
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.run import Run
from syncmon_ext.model.state import ACTIVE, RESUMABLE, Action, State, UnitState, allowed, next_state
from syncmon_ext.model.task import Executor, Kind, Task, TaskSpec, Throttle, ThrottleChange
from syncmon_ext.model.webhook import Webhook
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.store import log, runs, snapshots, tasks, units
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.shown_url import masked
from syncmon_ext.store.store import Store
from syncmon_ext.sync import engine_url, executors


class TaskControl:
    """Commands for the tasks of a catalog. Every method is synchronous and may block on the store."""

    def __init__(
        self, store: Store, catalog: Catalog, supervisor: Supervisor, *, on_finish: str = ""
    ) -> None:
        self._store = store
        self._on_finish = on_finish  # the webhook of every run, by name or address
        self._catalog = catalog
        self._supervisor = supervisor

    def start(
        self,
        task_id: str,
        *,
        fresh: bool = False,
        only_failed: bool = False,
        idempotency_key: str | None = None,
        on_finish: str = "",
    ) -> Progress:
        """Resume the task's run, or begin a new one; the progress right after.

        ``fresh`` begins a new run even where the last one could go on; ``only_failed`` copies only the
        tables that failed. ``on_finish`` names a webhook, or is its address, that is told of the end
        besides the task's own. The same ``idempotency_key`` again starts nothing and gives the
        progress of the run that it started. Raises WrongState while a run is active, ConfigChanged
        where the run that would be resumed was begun with another configuration.
        """
        task = self._catalog.task(task_id)
        self._catalog.check_own(task)
        webhooks = self._webhooks(task, on_finish)
        self._supervisor.check_task(task_id)
        if task.kind is not Kind.COPY or task.spec is None:
            return self._resume_loop(task)
        self._check_executor(task.spec)
        with self._store.write() as connection:
            self._lock(connection, task)
            if idempotency_key is not None:
                known = tasks.run_of_idempotency_key(connection, idempotency_key)
                if known is not None:
                    return self._replay(connection, task, idempotency_key, known)
            run = self._newest_run(connection, task_id)
            if run is not None and run.state in RESUMABLE and not fresh:
                run_id, token = self._resume(connection, task, run, only_failed)
            else:
                run_id, token = self._begin(connection, task, run, only_failed)
            runs.set_webhooks(connection, run_id, webhooks)
            if idempotency_key is not None:
                tasks.claim_idempotency_key(connection, idempotency_key, task_id, run_id)
        self._supervisor.launch(run_id, token)
        return self._progress(task)

    def pause(self, task_id: str) -> Progress:
        """Ask the run's worker to drain; acknowledged when this returns."""
        return self._command(task_id, Action.PAUSE)

    def stop(self, task_id: str) -> Progress:
        """Ask for the run to be taken back; tables already in place stay."""
        return self._command(task_id, Action.STOP)

    def set_throttle(self, task_id: str, throttle: Throttle) -> Progress:
        """Give the task's run these bounds and no others, as ``change_throttle`` does."""
        change = ThrottleChange(rows=throttle.rows, bytes=throttle.bytes)
        return self.change_throttle(task_id, change)

    def change_throttle(self, task_id: str, change: ThrottleChange) -> Progress:
        """Change the pace of the task's run, running or paused; effective within 2 s.

        What changes nothing is not logged.
        """
        task = self._catalog.task(task_id)
        if task.kind is Kind.LOOP:
            raise WrongState(f"{task_id!r} is a loop: its pace is its own", hint="pause it instead")
        with self._store.write() as connection:
            run = self._newest_run(connection, task_id)
            if run is None or run.state not in ACTIVE | RESUMABLE:
                state = run.state if run else State.IDLE
                raise WrongState(
                    f"task {task_id!r} is {state}: there is no run to slow down",
                    hint="set throttle in the task itself, or start it first",
                )
            before = runs.throttle(connection, run.run_id)
            bound = change.applied(before)
            if bound != before:
                runs.set_throttle(connection, run.run_id, bound)
                entry = NewEntry(level=Level.INFO, message=_pace(bound))
                log.append(connection, task_id, run.run_id, [entry])
        return self._progress(task)

    # -- start -------------------------------------------------------------------------------

    def _webhooks(self, task: Task, given: str) -> list[Webhook]:
        own = task.spec.on_finish if task.spec is not None else None
        found: list[Webhook] = []
        for name in (own, given, self._on_finish):
            if name and (webhook := self._catalog.webhook(name)) not in found:
                found.append(webhook)
        return found

    def _check_executor(self, spec: TaskSpec) -> None:
        """Raise InvalidConfig or MissingExtra: a run that could not copy a chunk is not begun."""
        if spec.executor is not Executor.LOCAL:
            ends = self._catalog.connection(spec.source), self._catalog.connection(spec.target)
            executors.check(spec, *ends)

    def _lock(self, connection: Connection, task: Task) -> None:
        """Hold the task's row, which a file's task may not have yet; raises TaskNotFound."""
        if task.read_only:
            tasks.ensure_task(connection, task)
            tasks.lock_task(connection, task.task_id)
        elif tasks.lock_stored_task(connection, task.task_id) is None:
            # It was removed after it was looked up: a start must not bring it back.
            raise TaskNotFound(f"task {task.task_id!r} was removed", hint="list the tasks again")

    def _resume_loop(self, task: Task) -> Progress:
        """Let a loop that holds still go on; only its program can begin one."""
        with self._store.write() as connection:
            tasks.lock_task(connection, task.task_id)
            run = self._newest_run(connection, task.task_id)
            state = run.state if run else State.IDLE
            resumed = next_state(state, Action.START)
            if run is None or state is not State.PAUSED or resumed is None:
                raise WrongState(
                    f"loop {task.task_id!r} is {state}: its program starts it",
                    hint="run the program again; Start only resumes a paused loop",
                )
            runs.set_state(connection, run.run_id, resumed)
            units.set_unfinished(connection, task.task_id, run.run_id, UnitState.RUNNING)
            entry = NewEntry(level=Level.INFO, message="resumed")
            log.append(connection, task.task_id, run.run_id, [entry])
        return self._progress(task)

    def _replay(
        self, connection: Connection, task: Task, key: str, known: tuple[str, str]
    ) -> Progress:
        known_task, run_id = known
        if known_task != task.task_id:
            raise WrongState(
                f"the idempotency key {key!r} was used to start task {known_task!r}",
                hint="use a new key for every start that is meant",
            )
        progress = snapshots.run_progress(connection, task, run_id)
        if progress is None:
            raise RunNotFound(f"run {run_id!r} is gone", hint="use a new idempotency key")
        return progress

    def _resume(
        self, connection: Connection, task: Task, run: Run, only_failed: bool
    ) -> tuple[str, int]:
        if run.spec is not None and task.spec is not None:
            changed = _changes(run.spec, task.spec)
            if changed:
                raise ConfigChanged(
                    f"task {task.task_id!r} was changed since run {run.run_id} began: "
                    f"{', '.join(changed)}",
                    hint="start with fresh = true to begin again, or change the task back",
                )
        if run.state is State.PAUSED and runs.error_code(connection, run.run_id) == (
            ConfigChanged.code
        ):
            raise ConfigChanged(f"{run.error}", hint="start with fresh = true to begin again")
        moved = self._connections_now(connection, run)
        held = units.units_of_run(connection, run.run_id)
        failed = {unit.unit_id for unit in held if unit.state is UnitState.FAILED}
        if only_failed and not failed:
            raise WrongState(
                f"no table of task {task.task_id!r} has failed", hint="start without only_failed"
            )
        runs.set_state(connection, run.run_id, State.RUNNING)
        runs.reset_takeovers(connection, run.run_id)
        runs.update_run(
            connection,
            run.run_id,
            only_units=sorted(failed) if only_failed else None,
            **_changeable(task.spec, run.spec),
            **moved,
        )
        log.append(
            connection,
            task.task_id,
            run.run_id,
            [NewEntry(level=Level.INFO, message="resumed from the checkpoints")],
        )
        return run.run_id, runs.lease(connection, run.run_id).token

    def _connections_now(self, connection: Connection, run: Run) -> dict[str, object]:
        """The run's columns of those connections that are configured in another way by now.

        Once it has a plan, they must lead to the databases that hold its rows and its checkpoints.
        """
        values: dict[str, object] = {}
        frozen = runs.frozen_connections(connection, run.run_id)
        for column, old in zip(("source_connection", "target_connection"), frozen, strict=True):
            try:
                new = None if old is None else self._catalog.connection(old.name)
            except ConnectionNotFound:
                continue  # the run has all that it needs
            if old is None or new is None or new == old:
                continue
            engine_url.check(new)
            if run.fingerprint is not None and engine_url.leads_elsewhere(old, new):
                raise ConfigChanged(
                    f"connection {old.name!r} was changed since run {run.run_id} began: from "
                    f"{masked(old.url)} to {masked(new.url)}",
                    hint="start with fresh = true to begin again, or change the connection back",
                )
            values[column] = new
        return values

    def _begin(
        self, connection: Connection, task: Task, last: Run | None, only_failed: bool
    ) -> tuple[str, int]:
        assert task.spec is not None  # noqa: S101  # start() refuses loops
        state = last.state if last else State.IDLE
        if next_state(state, Action.START) is None:
            raise _wrong_state(task.task_id, state, Action.START)
        wanted = [
            units.pending_unit(spec.unit_id, spec.unit_id, spec.target or spec.name)
            for spec in task.spec.table_specs()
        ]
        if only_failed:
            held = [] if last is None else units.units_of_run(connection, last.run_id)
            failed = {
                unit.unit_id for unit in held if unit.state in (UnitState.FAILED, UnitState.SKIPPED)
            }
            wanted = [unit for unit in wanted if unit.unit_id in failed]
            if not wanted:
                raise WrongState(
                    f"no table of task {task.task_id!r} has failed",
                    hint="start without only_failed",
                )
        source = self._catalog.connection(task.spec.source)
        target = self._catalog.connection(task.spec.target)
        for side in (source, target):
            engine_url.check(side)
        run_id = uuid.uuid4().hex
        if last is not None and last.state in RESUMABLE:
            # A fresh start gives the old run up; the new run's worker clears what it left.
            runs.set_state(connection, last.run_id, State.STOPPED, finished=True)
            units.clear_units(connection, last.run_id, units.units_of_run(connection, last.run_id))
        runs.create_run(
            connection,
            run_id=run_id,
            task_id=task.task_id,
            spec=task.spec,
            source=source,
            target=target,
            total_tables=len(wanted),
        )
        units.create_units(connection, run_id, wanted)
        tasks.set_newest_run(connection, task.task_id, run_id)
        log.append(
            connection,
            task.task_id,
            run_id,
            [
                NewEntry(
                    level=Level.INFO,
                    message=f"started: {words.plural(len(wanted), 'table')} from {source.name} to "
                    f"{target.name}, mode {task.spec.mode}",
                )
            ],
        )
        return run_id, 0

    # -- pause and stop ----------------------------------------------------------------------

    def _command(self, task_id: str, action: Action) -> Progress:
        task = self._catalog.task(task_id)
        self._supervisor.check_task(task_id)
        launch: tuple[str, int] | None = None
        with self._store.write() as connection:
            run = self._newest_run(connection, task_id)
            state = run.state if run else State.IDLE
            new = next_state(state, action)
            if run is None or new is None:
                raise _wrong_state(task_id, state, action)
            if run.spec is None and state is State.FAILED:  # a copy's stop takes back what it left
                raise WrongState(
                    f"loop {task_id!r} is {state}: there is nothing left to {action}",
                    hint="its program has ended and left nothing behind; run it again to begin anew",
                )
            if new is state:
                return self._progress(task)  # somebody asked for it already
            # The program of a loop hears the command itself, also while it is paused.
            had_worker = state in (State.RUNNING, State.PAUSING) or run.spec is None
            runs.set_state(connection, run.run_id, new)
            if new is State.PAUSED:
                units.set_unfinished(connection, task_id, run.run_id, UnitState.PAUSED)
            words = {Action.PAUSE: "pause was asked for", Action.STOP: "stop was asked for"}
            log.append(
                connection,
                task_id,
                run.run_id,
                [NewEntry(level=Level.INFO, message=words[action])],
            )
            if new is State.STOPPING and not had_worker:
                launch = (run.run_id, runs.lease(connection, run.run_id).token)
        if launch is not None:
            self._supervisor.launch(*launch)
        return self._progress(task)

    def _newest_run(self, connection: Connection, task_id: str) -> Run | None:
        position = tasks.position(connection, task_id)
        if position is None or position.run_id is None:
            return None
        return runs.run_by_id(connection, position.run_id)

    def _progress(self, task: Task) -> Progress:
        with self._store.read() as connection:
            position = tasks.position(connection, task.task_id)
            if position is None or position.run_id is None:
                return snapshots.idle_progress(task)
            progress = snapshots.run_progress(connection, task, position.run_id)
        if progress is None:
            raise TaskNotFound(f"task {task.task_id!r} was removed", hint="list the tasks again")
        return progress


def _pace(bound: Throttle | None) -> str:
    if bound is None:
        return "no longer throttled"
    parts = [f"{bound.rows:,} rows/s" if bound.rows else ""]
    parts.append(f"{bound.bytes:,} bytes/s" if bound.bytes else "")
    return f"throttled to {' and '.join(part for part in parts if part)}"


def _wrong_state(task_id: str, state: State, action: Action) -> SyncmonError:
    can = ", ".join(allowed(state)) or "nothing until that is done"
    return WrongState(f"task {task_id!r} is {state}: it cannot {action} now", hint=f"it can: {can}")


# These may differ on resume: they say how fast and where, not what.
_CHANGEABLE = ("workers", "throttle", "executor", "scheduler", "name", "on_finish")


def _changes(old: TaskSpec, new: TaskSpec) -> list[str]:
    """The fields that make the run another copy."""
    same = set(_CHANGEABLE)
    if old.table_specs() == new.table_specs():
        same.add("tables")  # written in another way
    return [
        name
        for name in TaskSpec.__struct_fields__
        if name not in same and getattr(old, name) != getattr(new, name)
    ]


def _changeable(new: TaskSpec | None, old: TaskSpec | None) -> dict[str, object]:
    """The run's columns that a resume takes over from the task as it is now."""
    if new is None or old is None:
        raise InvalidConfig("a loop has no configuration", hint="run its program again")
    values: dict[str, object] = {"spec": new}
    if new.throttle != old.throttle:
        values["throttle"] = new.throttle
    return values
