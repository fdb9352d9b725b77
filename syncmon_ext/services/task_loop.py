"""The loop service: Python loops report themselves, and hear what a person wants of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from syncmon_ext.model.errors import InvalidRequest, RunNotFound, SyncmonError, TaskNotFound
from syncmon_ext.model.log import Level, clean_message
from syncmon_ext.model.loop import LoopOrders, LoopReport, NewLoop, Phase, loop_id
from syncmon_ext.model.progress import unit_progress
from syncmon_ext.model.run import Owner, Run
from syncmon_ext.model.state import ACTIVE, ENDED, Action, State, UnitState, next_state
from syncmon_ext.model.task import Kind, Task
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.loop_pace import LoopFigures, LoopPaces
from syncmon_ext.services.loop_watch import KERNEL_LOST
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.store import log, loops, runs, samples, tasks
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.store import Store

MOST_LOOPS: Final = 1_000  # active at a time under one name
LONGEST_AGO: Final = 31_536_000.0  # a year: what began earlier began then
LONGEST_TEXT: Final = 255
LARGEST_PID: Final = 2**31 - 1

# How the unit of a run is shown in each state that a loop's run can be in after a report.
_UNIT_STATES: Final = {
    State.RUNNING: UnitState.RUNNING,
    State.PAUSING: UnitState.RUNNING,
    State.STOPPING: UnitState.RUNNING,
    State.PAUSED: UnitState.PAUSED,
    State.COMPLETED: UnitState.COMPLETED,
    State.FAILED: UnitState.FAILED,
    State.STOPPED: UnitState.STOPPED,
}


class LoopLost(SyncmonError):
    """The run of a loop is not its program's any more."""

    code = "loop_lost"
    status = 409


class TaskLoop:
    """Loops as tasks. The process that runs a loop owns its run."""

    def __init__(self, store: Store, catalog: Catalog, supervisor: Supervisor) -> None:
        self._store = store
        self._catalog = catalog
        self._supervisor = supervisor
        self._paces = LoopPaces()

    def begin(self, loop: NewLoop) -> LoopOrders:
        """Show a loop that begins: a new run of the task of its name.

        While a loop of this name is active, and where a copy has its id, the id gets a suffix. The
        same ``run_id`` again begins nothing.
        """
        _check_owner(loop.owner)
        name = clean_message(loop.name).strip() or "loop"
        self._supervisor.check_loops()
        taken = {task.task_id for task in self._catalog.tasks() if task.kind is not Kind.LOOP}
        with self._store.write() as connection:
            known = runs.run_by_id(connection, loop.run_id)
            if known is not None:
                if known.spec is not None:
                    raise InvalidRequest(
                        f"run_id {loop.run_id} is a copy's", hint="choose a random one"
                    )
                return _orders(known)
            task_id = self._free_id(connection, name, taken)
            loops.begin(
                connection,
                task_id=task_id,
                run_id=loop.run_id,
                name=name,
                total=loop.total,
                owner=loop.owner,
                started_at=utc_now() - timedelta(seconds=min(loop.elapsed_seconds, LONGEST_AGO)),
            )
            size = "" if loop.total is None else f": {loop.total:,} iterations"
            _say(connection, task_id, loop.run_id, Level.INFO, f"started{size}")
        return LoopOrders(
            task_id=task_id, run_id=loop.run_id, token=loops.FIRST_TOKEN, state=State.RUNNING
        )

    def report(self, task_id: str, report: LoopReport) -> LoopOrders:
        """Take a report in; the answer says what the loop must do.

        Raises TaskNotFound, RunNotFound, and LoopLost where the run is another program's.
        """
        with self._store.write() as connection:
            task = tasks.lock_stored_task(connection, task_id)
            if task is None or task.kind is not Kind.LOOP:
                raise TaskNotFound(f"there is no loop {task_id!r}", hint="begin it with POST loops")
            run = runs.run_by_id(connection, report.run_id)
            if run is None or run.task_id != task_id:
                raise RunNotFound(
                    f"loop {task_id!r} has no run {report.run_id!r}",
                    hint="begin it with POST loops",
                )
            taken = loops.take_report(connection, run.run_id, report.token, report.number)
            if taken is None:
                raise LoopLost(
                    f"run {run.run_id} of loop {task_id!r} does not wait for report "
                    f"{report.number} with token {report.token}",
                    hint="reports are numbered from 1, and each is sent until it is answered",
                )
            if taken:
                run = self._take(connection, self._awake(connection, run), report)
        if run.state in ENDED:
            self._paces.forget(run.run_id)
        return _orders(run)

    def _free_id(self, connection: Connection, name: str, taken: set[str]) -> str:
        """The id under which a loop of this name is shown; its task is there afterwards."""
        base = loop_id(name)
        for number in range(1, MOST_LOOPS + 1):
            task_id = base if number == 1 else f"{base}-{number}"
            if task_id in taken:
                continue
            if tasks.create_task(connection, Task(task_id=task_id, kind=Kind.LOOP, name=name)):
                return task_id
            found = tasks.lock_stored_task(connection, task_id)
            place = tasks.position(connection, task_id)
            if found is None or found.kind is not Kind.LOOP or place is None:
                continue
            if place.state not in ACTIVE | {State.PAUSED}:
                loops.rename(connection, task_id, name)
                return task_id
        raise InvalidRequest(
            f"{MOST_LOOPS:,} loops named {name!r} are active", hint="give them other names"
        )

    def _awake(self, connection: Connection, run: Run) -> Run:
        """The run as it is; a loop that was taken for lost and reports again goes on."""
        place = tasks.position(connection, run.task_id)
        newest = place is not None and place.run_id == run.run_id
        code = runs.error_code(connection, run.run_id)
        state = next_state(run.state, Action.START)
        if run.state is not State.FAILED or code != KERNEL_LOST or not newest or state is None:
            return run
        runs.set_state(connection, run.run_id, state)
        loops.change_unit(connection, run.task_id, run.run_id, error=None, finished_at=None)
        _say(connection, run.task_id, run.run_id, Level.INFO, "the loop reports again")
        return msgspec.structs.replace(run, state=state)

    def _take(self, connection: Connection, run: Run, report: LoopReport) -> Run:
        """Write a new report down; the run afterwards."""
        if run.state in ENDED:
            return run
        state = _state_after(run.state, report.phase)
        total = report.rows_committed if state is State.COMPLETED else report.total
        figures = self._paces.measure(
            run.run_id, report.rows_committed, total, report.elapsed_seconds
        )
        said = clean_message(report.error or "the loop failed")
        unit = _unit_values(state, report, total, figures)
        runs.update_run(connection, run.run_id, **_run_values(state, report, total, figures))
        if report.entries:
            entries = [
                NewEntry(level=e.level, message=e.message, time=e.time) for e in report.entries
            ]
            log.append(connection, run.task_id, run.run_id, entries)
        if figures.is_sample or state in ENDED:
            samples.add_sample(
                connection,
                run.run_id,
                elapsed_seconds=report.elapsed_seconds,
                rows_committed=report.rows_committed,
                bytes_committed=0,
                overall_progress=unit["progress"],
                speed=figures.speed,
                speed_bytes=None,
            )
        if state is not run.state:
            failed = state is State.FAILED
            error = (
                ("loop_failed", said, "see the traceback where the loop runs") if failed else None
            )
            runs.set_state(connection, run.run_id, state, error=error, finished=state in ENDED)
            unit["error"] = said if failed else None
            _say(connection, run.task_id, run.run_id, *_words(state, report, said))
        if state in ENDED:
            unit["finished_at"] = utc_now()
        loops.change_unit(connection, run.task_id, run.run_id, **unit)
        return msgspec.structs.replace(run, state=state)


def _state_after(state: State, phase: Phase) -> State:
    """The state of a loop after a report, each step by the table."""
    if phase is Phase.RUNNING:
        return state
    if phase is Phase.WAITING:  # it may not have heard yet that it was resumed, or stopped
        return (next_state(state, Action.DRAINED) or state) if state is State.PAUSING else state
    if state is State.PAUSED:  # it went on all the same: an interrupt ended its wait
        state = next_state(state, Action.START) or state
    if phase is Phase.STOPPED and state is not State.STOPPING:
        state = next_state(state, Action.STOP) or state
    if phase is Phase.COMPLETED and state is State.STOPPING:
        phase = Phase.STOPPED
    action = {
        Phase.COMPLETED: Action.COMPLETE,
        Phase.FAILED: Action.FAIL,
        Phase.STOPPED: Action.DRAINED,
    }[phase]
    return next_state(state, action) or state


def _unit_values(
    state: State, report: LoopReport, total: int | None, figures: LoopFigures
) -> dict[str, Any]:
    shown = _UNIT_STATES[state]
    moving = shown is UnitState.RUNNING
    return {
        "state": shown,
        "progress": unit_progress(shown, report.rows_committed, total),
        "rows_total": total,
        "rows_committed": report.rows_committed,
        "speed": figures.speed if moving else None,
        "eta_seconds": figures.left.mid if figures.left and moving else None,
    }


def _run_values(
    state: State, report: LoopReport, total: int | None, figures: LoopFigures
) -> dict[str, Any]:
    unit = _unit_values(state, report, total, figures)
    left = figures.left if unit["eta_seconds"] is not None else None
    return {
        "elapsed_seconds": report.elapsed_seconds,
        "stalled_seconds": figures.stalled_seconds if state is State.RUNNING else 0.0,
        "completed_tables": int(state is State.COMPLETED),
        "failed_tables": int(state is State.FAILED),
        "current_table": None if state in ENDED else report.note,
        "current_table_progress": None if state in ENDED else unit["progress"],
        "rows_total": total,
        "rows_committed": report.rows_committed,
        "overall_progress": unit["progress"],
        "speed": unit["speed"],
        "eta_seconds": left.mid if left else None,
        "eta_low_seconds": left.low if left else None,
        "eta_high_seconds": left.high if left else None,
    }


def _words(state: State, report: LoopReport, error: str) -> tuple[Level, str]:
    count = f"{report.rows_committed:,} iterations"
    if state is State.FAILED:
        return Level.ERROR, f"failed after {count}: {error}"
    if state is State.COMPLETED:
        of = report.total
        early = f" of {of:,}: the loop was left" if of and of > report.rows_committed else ""
        return Level.SUCCESS, f"completed: {count}{early}"
    return Level.INFO, f"{state} after {count}"


def _check_owner(owner: Owner) -> None:
    if not 0 < owner.pid <= LARGEST_PID or not 0 <= owner.process_started < 1e12:
        raise InvalidRequest("owner: not a process", hint="send its pid and when it started")
    for text in (owner.host, owner.boot_id):
        if len(text) > LONGEST_TEXT or not text.isprintable():
            raise InvalidRequest("owner: the host or its boot id cannot be used")


def _orders(run: Run) -> LoopOrders:
    return LoopOrders(task_id=run.task_id, run_id=run.run_id, token=run.token, state=run.state)


def _say(connection: Connection, task_id: str, run_id: str, level: Level, words: str) -> None:
    log.append(connection, task_id, run_id, [NewEntry(level=level, message=words)])
