"""Loops whose program is gone: found by whoever watches, and ended, since nobody can take them over."""

from __future__ import annotations

from typing import Final

from syncmon_ext.model.log import Level
from syncmon_ext.model.run import Lease, Run
from syncmon_ext.model.state import Action, State, UnitState, next_state
from syncmon_ext.store import log, loops, runs, tasks
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.store import Store
from syncmon_ext.sync.lease import LeaseWatch, is_here, process_of

# A kernel on another host reports twice a second, unless its program holds Python's global lock.
SILENT_SECONDS: Final = 120.0
KERNEL_LOST: Final = "kernel_lost"
_MESSAGE: Final = "the kernel that ran it is gone"
_HINT: Final = "run its program again: a loop cannot go on without it"


def is_lost(watch: LeaseWatch, lease: Lease) -> bool:
    """Whether the loop's process is gone: on this host the system knows, elsewhere silence tells."""
    if lease.owner is not None and is_here(lease.owner):
        return process_of(lease.owner) is None
    return watch.is_dead(lease, SILENT_SECONDS)


def end_lost(store: Store, run: Run, lease: Lease) -> None:
    """Record that the loop's program is gone, unless it reported or somebody else did so meanwhile."""
    with store.write() as connection:
        tasks.lock_task(connection, run.task_id)
        now = runs.run_by_id(connection, run.run_id)
        if now is None or now.state is not run.state:
            return
        if runs.lease(connection, run.run_id).heartbeat != lease.heartbeat:
            return
        state, level = _end(run.state), Level.ERROR
        assert state is not None  # noqa: S101  # every state that is watched can end
        error: tuple[str, str, str] | None = (KERNEL_LOST, _MESSAGE, _HINT)
        shown = UnitState.FAILED
        if state is State.STOPPED:
            shown, error, level = UnitState.STOPPED, None, Level.INFO
        runs.set_state(connection, run.run_id, state, error=error, finished=True)
        runs.update_run(
            connection, run.run_id, current_table=None, failed_tables=int(state is State.FAILED)
        )
        loops.change_unit(
            connection,
            run.task_id,
            run.run_id,
            state=shown,
            error=_MESSAGE if error else None,
            speed=None,
            eta_seconds=None,
            finished_at=utc_now(),
        )
        log.append(connection, run.task_id, run.run_id, [NewEntry(level=level, message=_MESSAGE)])


def _end(state: State) -> State | None:
    """Where a loop without a program ends: stopped if that was asked for, else failed."""
    if state is State.STOPPING:
        return next_state(state, Action.DRAINED)
    if state is State.PAUSED:  # nobody is there to go on
        state = next_state(state, Action.START) or state
    return next_state(state, Action.FAIL)
