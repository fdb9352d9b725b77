"""A worker's work on one run that it has taken up: from its plan to recording how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import Final

import msgspec

from syncmon_ext.model import words
from syncmon_ext.model.errors import (
    ConfigChanged,
    FenceLost,
    MissingExtra,
    SecretUnresolved,
    SyncmonError,
    TargetBusy,
)
from syncmon_ext.model.log import Level, with_hint
from syncmon_ext.model.plan import Plan, UnitPlan
from syncmon_ext.model.state import Action, State, UnitState
from syncmon_ext.model.task import Consistency, Executor
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.store import runs, units
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.runs import FrozenRun
from syncmon_ext.store.store import Store
from syncmon_ext.sync import consistency, engine_url, jobs, stopped
from syncmon_ext.sync.carrier import Carrier, LocalCarrier
from syncmon_ext.sync.dask_carrier import DaskCarrier
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.gauge import Gauge
from syncmon_ext.sync.look_back import LookBack
from syncmon_ext.sync.older_runs import OlderRuns
from syncmon_ext.sync.outages import Outages
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.pool import ChildPool, Notice
from syncmon_ext.sync.recorder import Recorder
from syncmon_ext.sync.results import Discarded
from syncmon_ext.sync.scheduler import Interrupted, Scheduler
from syncmon_ext.sync.snapshot import SnapshotHolder

FORGET_SECONDS: Final = 60.0  # for a target that went away right after the last commit


class Execution:
    """One run in the hands of this worker."""

    def __init__(
        self, store: Store, frozen: FrozenRun, token: int, must_end: Callable[[], bool]
    ) -> None:
        self._store = store
        self._frozen = frozen
        self._must_end = must_end
        self._own = Ownership(
            store_id=store.store_id, task_id=frozen.task_id, run_id=frozen.run_id, token=token
        )
        self._recorder = Recorder(store, frozen.task_id, frozen.run_id, token)
        with store.read() as connection:
            self._run = runs.run_by_id(connection, frozen.run_id)
            runtimes = units.units_of_run(connection, frozen.run_id)
        assert self._run is not None  # noqa: S101  # the lease was read from its row
        self._runtimes = {unit.unit_id: unit for unit in runtimes}
        self._recorder.command = self._run.state
        self._recorder.throttle = self._run.throttle
        slots = 1 if frozen.target.url.startswith("sqlite") else frozen.spec.workers
        self._outages = Outages()
        self._pool = ChildPool(
            slots + 1,  # one more for planning, walking and putting in place
            [frozen.source.name, frozen.target.name],
            self._noticed,
        )
        self._carrier = self._new_carrier()
        self._gauge = Gauge(
            self._recorder,
            self._carrier,
            slots=slots,
            elapsed_seconds=self._run.elapsed_seconds,
            overall_progress=None,
        )
        self._scheduler = Scheduler(
            frozen, self._own, self._recorder, self._pool, self._carrier, self._gauge, must_end
        )
        self._snapshot = SnapshotHolder(frozen.source)
        self._look_back = LookBack(frozen, self._own, self._scheduler)
        self._older_runs = OlderRuns(store, self._recorder, frozen, self._scheduler.call)

    def _new_carrier(self) -> Carrier:
        spec = self._frozen.spec
        if spec.executor is Executor.DASK:
            return DaskCarrier(spec.scheduler or "", self._own, self._noticed)
        return LocalCarrier(self._pool)

    @property
    def fenced(self) -> bool:
        """Whether a newer owner holds the run."""
        return self._recorder.fenced

    def run(self) -> None:
        """Execute until an end, a pause, a stop or a newer owner; record it."""
        self._recorder.start()
        try:
            self._execute()
        except FenceLost:
            self._recorder.fenced = True
        except Exception as defect:
            message = f"the worker met a defect of syncmon: {type(defect).__name__}: {defect}"
            self._recorder.finish(Action.LOSE, entry=NewEntry(level=Level.ERROR, message=message))
            raise
        finally:
            self._snapshot.release()
            self._carrier.close()
            self._pool.shutdown(cancel_futures=True)

    def _execute(self) -> None:
        if self._recorder.command in (State.COMPLETED, State.STOPPED):
            return self._forget(self._frozen.plan.units if self._frozen.plan else [])
        while True:
            try:
                if self._recorder.command is State.STOPPING:
                    return self._stop()
                self._begin()
                self._scheduler.run()
                if self._complete():
                    return None
            except Interrupted:
                self._scheduler.drain()
                if self._recorder.fenced:
                    return None
                if self._must_end():
                    return self._leave()
                if self._recorder.command is State.STOPPING:
                    continue
                if self._pause():
                    return None
            except (SecretUnresolved, ConfigChanged, MissingExtra) as error:
                self._scheduler.drain()
                if self._pause(error):
                    return None
            except SyncmonError as error:
                if self._give_up(error):
                    return None

    def _begin(self) -> None:
        """Plan, or check that the plan still holds; take the target; look where the copy stands."""
        plan = self._plan()
        self._older_runs.clear()
        if self._frozen.spec.consistency is not Consistency.CHUNK:
            self._snapshot.begin()  # while the target is taken
        self._doubt(plan)
        self._claim(plan)
        if isinstance(self._carrier, DaskCarrier):
            ends = self._frozen.source, self._frozen.target
            self._carrier.places = self._scheduler.call("identify", jobs.identify, *ends)
        self._scheduler.renew_snapshot = self._renewed_snapshot
        self._read_before = any(unit.rows_committed for unit in self._runtimes.values())
        self._scheduler.snapshot = self._renewed_snapshot()
        self._scheduler.take_plan(plan, self._runtimes)

    def _renewed_snapshot(self) -> str | None:
        """Take a snapshot where one is held for the run, and say what holds from here on."""
        wanted, source = self._frozen.spec.consistency, self._frozen.source
        held = None
        if wanted is not Consistency.CHUNK:
            held = self._snapshot.take(self._scheduler.obey)
        words = consistency.stated(engine_url.dialect(source), wanted, resumed=self._read_before)
        self._recorder.save_totals(consistency=words)
        self._read_before = True  # by the time that there is another
        return held

    def _plan(self) -> Plan:
        frozen = self._frozen
        fresh: Plan = self._scheduler.call(
            "plan", jobs.plan, frozen.task_id, frozen.spec, frozen.source, frozen.target
        )
        wanted = set(self._runtimes)
        fresh = msgspec.structs.replace(
            fresh, units=[unit for unit in fresh.units if unit.unit_id in wanted]
        )
        if frozen.plan is None:
            self._recorder.write_now(
                lambda connection: runs.update_run(
                    connection, frozen.run_id, plan=fresh, fingerprint=fresh.fingerprint
                )
            )
            fault_point("store.plan_recorded")
            for unit in fresh.units:
                for warning in unit.warnings:
                    self._recorder.log(Level.WARNING, f"{unit.unit_id}: {warning}", unit.unit_id)
            return fresh
        changed = _changed(frozen.plan, fresh, self._runtimes)
        if changed:
            raise ConfigChanged(
                f"the schema of {', '.join(changed)} is not what it was when the run began",
                hint="begin anew: run --fresh, Start fresh… on the page, fresh = true elsewhere",
            )
        return frozen.plan

    def _doubt(self, plan: Plan) -> None:
        """Mark the units of which the target has less than the store has seen committed there."""
        if self._frozen.plan is None:
            return
        for unit_id in self._look_back.fallen_short(plan.units, self._runtimes):
            self._scheduler.doubted.add(unit_id)
            runtime = self._runtimes[unit_id]
            if runtime.state is UnitState.COMPLETED:
                pending = msgspec.structs.replace(runtime, state=UnitState.PENDING)
                self._runtimes[unit_id] = pending

    def _claim(self, plan: Plan) -> None:
        self._recorder.write_now(
            lambda connection: runs.set_target_held(connection, self._frozen.run_id, True)
        )
        fault_point("store.target_held")
        sound = [unit for unit in plan.units if not unit.errors]
        arguments = (self._frozen.target, self._own, sound)
        try:
            self._scheduler.call("claim", jobs.claim, *arguments)
        except TargetBusy:
            # The holder may be a run that ended, whose worker died before it could say so there.
            self._older_runs.forget_ended()
            self._scheduler.call("claim", jobs.claim, *arguments)

    # -- the ends of a run -------------------------------------------------------------------

    def _complete(self) -> bool:
        copies = self._scheduler.units
        # The target may have been set back while the run went on, as a failover does whose replica had
        # lagged. One that does not answer is believed.
        if (placed := self._look_back.placed([copy.plan for copy in copies])) is not None:
            self._scheduler.keep_completed(placed)
        failed = [copy for copy in copies if copy.runtime.state is not UnitState.COMPLETED]
        if failed:
            self._scheduler.drain()  # chunks beside those that failed are counted, or not committed
        self._gauge.refresh(copies, [], force=True)
        rows = sum(copy.runtime.rows_committed for copy in copies)
        if failed:
            names = ", ".join(copy.plan.unit_id for copy in failed[:5])
            more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
            message = f"{len(failed)} of {len(copies)} tables failed: {names}{more}"
            hint = "see each table's error; Start resumes them from their checkpoints"
            state = self._recorder.finish(
                Action.FAIL,
                entry=NewEntry(level=Level.ERROR, message=message),
                error=("tables_failed", message, hint),
            )
            return state is not None or self._recorder.fenced
        state = self._recorder.finish(
            Action.COMPLETE,
            entry=NewEntry(
                level=Level.SUCCESS,
                message=f"completed: {words.plural(rows, 'row')} in "
                f"{words.plural(len(copies), 'table')}",
            ),
        )
        if state is State.COMPLETED:
            self._forget([copy.plan for copy in copies])
        return state is not None or self._recorder.fenced

    def _forget(self, plans: list[UnitPlan]) -> None:
        """The end is recorded: clear the target. Where it fails, the supervisor sends another."""
        job = self._scheduler.submit("forget", jobs.forget, self._frozen.target, self._own, plans)
        wait([job], timeout=FORGET_SECONDS)
        if job.done() and job.exception() is None:
            self._unhold()

    def _unhold(self) -> None:
        with self._store.write() as connection:
            runs.set_target_held(connection, self._frozen.run_id, False)
            runs.release(connection, self._frozen.run_id, self._own.token)
        fault_point("store.released")

    def _pause(self, error: SyncmonError | None = None) -> bool:
        self._scheduler.mark_unfinished(UnitState.PAUSED)
        message = "paused" if error is None else f"paused: {error.message}"
        state = self._recorder.finish(
            Action.DRAINED,
            entry=NewEntry(level=Level.INFO if error is None else Level.ERROR, message=message),
            error=None if error is None else (error.code, error.message, error.hint),
            unless=State.STOPPING,  # it has work to do before it is drained
        )
        return state is not None or self._recorder.fenced

    def _leave(self) -> None:
        """SIGTERM: the run is as if its worker had died, but with everything tidy."""
        self._scheduler.mark_unfinished(UnitState.INTERRUPTED)
        self._recorder.finish(
            Action.LOSE,
            entry=NewEntry(
                level=Level.WARNING,
                message="the worker was told to end; the run goes on from its checkpoints "
                "as soon as a server or command takes it up",
            ),
        )

    def _give_up(self, error: SyncmonError) -> bool:
        """What is wrong concerns the whole run: no unit can be copied."""
        self._scheduler.drain()
        self._scheduler.mark_unfinished(UnitState.FAILED)
        state = self._recorder.finish(
            Action.FAIL,
            entry=NewEntry(level=Level.ERROR, message=with_hint(error.message, error.hint)),
            error=(error.code, error.message, error.hint),
        )
        return state is not None or self._recorder.fenced

    def _stop(self) -> None:
        """Take away what the run left unfinished; tables already in place stay and are listed."""
        with self._store.read() as connection:
            frozen = runs.frozen_run(connection, self._frozen.run_id)
        discarded: list[Discarded] = []
        if frozen.plan is not None:
            try:
                discarded = self._discard(frozen.plan.units)
            except Interrupted:
                return  # SIGTERM or a newer owner; the stop is finished by the next one
        with self._store.read() as connection:
            stored = units.units_of_run(connection, self._frozen.run_id)
        known = {copy.plan.unit_id: copy.runtime for copy in self._scheduler.units}
        ended = stopped.ended_units(stored, known)
        message = stopped.said(ended, discarded)
        self._recorder.finish(
            Action.DRAINED,
            entry=NewEntry(level=Level.INFO, message=message),
            clear=ended,
        )
        if not self._recorder.fenced:
            self._unhold()

    def _discard(self, plans: list[UnitPlan]) -> list[Discarded]:
        future = self._scheduler.submit("stop", jobs.discard, self._frozen.target, self._own, plans)
        while not future.done():
            if self._must_end() or self._recorder.fenced:
                self._pool.kill()
                raise Interrupted
            wait([future], timeout=0.1)
            self._gauge.refresh(self._scheduler.units, self._scheduler.waits())
        result: list[Discarded] = future.result()
        return result

    def _noticed(self, notice: Notice) -> None:
        if not notice.message:
            self._gauge.move()
            return
        if notice.over:
            told = self._outages.ended(notice.label)
        else:
            told = self._outages.is_news(notice.label, time.monotonic())
        if told:
            unit = notice.label if notice.label in self._runtimes else None
            level = Level.INFO if notice.over else Level.WARNING
            self._recorder.log(level, f"{notice.label}: {notice.message}", unit)


def _changed(old: Plan, new: Plan, wanted: dict[str, UnitRuntime]) -> list[str]:
    """The units whose shape is not what it was."""
    now = {unit.unit_id: unit.fingerprint for unit in new.units}
    return [
        unit.unit_id
        for unit in old.units
        if unit.unit_id in wanted
        and wanted[unit.unit_id].state is not UnitState.COMPLETED
        and now.get(unit.unit_id) != unit.fingerprint
    ]
