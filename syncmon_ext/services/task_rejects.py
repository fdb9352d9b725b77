"""The rejects service: the bad rows of a task, which its target keeps, and another try at them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from syncmon_ext.model.errors import RunNotFound, WrongState
from syncmon_ext.model.log import Level
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.reject import Rejects, Replayed
from syncmon_ext.model.state import ACTIVE
from syncmon_ext.model.task import Kind
from syncmon_ext.services import probe
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.store import log, runs, tasks
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.runs import FrozenRun
from syncmon_ext.store.store import Store

RUNS: Final = 20  # of a task whose plans are looked at for the tables of its rejects


class TaskRejects:
    """Rejects of the tasks of a catalog. Every method blocks on the target."""

    def __init__(self, store: Store, catalog: Catalog, seconds: float) -> None:
        self._store = store
        self._catalog = catalog
        self._seconds = seconds  # that the databases have to answer

    def listed(self, task_id: str, limit: int, *, with_values: bool) -> Rejects:
        """The newest ``limit`` rejects; without values for who may only read."""
        frozen = self._frozen(task_id)
        if frozen is None:
            return Rejects(total=0, rejects=[])
        found = probe.rejects(frozen.target, self._store.store_id, task_id, limit, self._seconds)
        if with_values:
            return found
        bare = [msgspec.structs.replace(r, message=None, row=None) for r in found.rejects]
        return msgspec.structs.replace(found, rejects=bare)

    def replay(self, task_id: str) -> Replayed:
        """Try the rejects again; raises WrongState while the task runs, RunNotFound before it has."""
        frozen = self._frozen(task_id)
        if frozen is None:
            raise RunNotFound(f"task {task_id!r} has not run yet", hint="start it first")
        with self._store.read() as connection:
            state = runs.run_state(connection, frozen.run_id)
            units = _units(runs.planned_runs(connection, task_id, RUNS), frozen)
        if state in ACTIVE:
            raise WrongState(
                f"task {task_id!r} is {state}: its rejects cannot be replayed now",
                hint="wait until it has ended, or stop it",
            )
        done = probe.replay(
            frozen.source,
            frozen.target,
            self._store.store_id,
            task_id,
            units,
            self._seconds,
        )
        entry = _entry(done)
        with self._store.write() as connection:
            log.append(connection, task_id, frozen.run_id, [entry])
        return done

    def _frozen(self, task_id: str) -> FrozenRun | None:
        task = self._catalog.task(task_id)
        if task.kind is Kind.LOOP:
            raise WrongState(
                f"{task_id!r} is a loop: it copies no rows", hint="see its log instead"
            )
        with self._store.read() as connection:
            position = tasks.position(connection, task_id)
            if position is None or position.run_id is None:
                return None
            return runs.frozen_run(connection, position.run_id)


def _units(planned: Iterable[FrozenRun], frozen: FrozenRun) -> list[UnitPlan]:
    """The newest plan of each table that went the way of ``frozen``: its run may have had a part of them, or
    have ended before it had any."""
    newest: dict[str, UnitPlan] = {}
    for run in planned:
        if run.plan is not None and (run.source, run.target) == (frozen.source, frozen.target):
            for unit in run.plan.units:
                newest.setdefault(unit.unit_id, unit)
    return list(newest.values())


def _entry(done: Replayed) -> NewEntry:
    if not (done.replayed or done.gone or done.remaining):
        return NewEntry(level=Level.INFO, message="rejects replayed: there is nothing to replay")
    message = (
        f"rejects replayed: {done.replayed:,} rows are in place now, {done.gone:,} are gone from "
        f"the source, {done.remaining:,} remain"
    )
    return NewEntry(level=Level.WARNING if done.remaining else Level.SUCCESS, message=message)
