"""Watches the workers: a run whose worker is dead is taken over, by any server or command."""

from __future__ import annotations

import math
import threading
from contextlib import suppress

from sqlalchemy import Connection

from syncmon_ext.model.errors import StoreUnavailable, SyncmonError
from syncmon_ext.model.log import Level
from syncmon_ext.model.run import Lease, Run
from syncmon_ext.model.state import ACTIVE, Action, State, UnitState, next_state
from syncmon_ext.services import loop_watch
from syncmon_ext.store import announcements, log, loops, runs, tasks, units
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.store import Store
from syncmon_ext.sync import launcher
from syncmon_ext.sync.lease import LEASE_SECONDS, LeaseWatch, end_process, is_frozen
from syncmon_ext.sync.standby import Standby
from syncmon_ext.sync.telling import tell_of_end

# Of a lease without a heartbeat; the rest of it only counts while the store takes writes.
SUSPICIOUS = 0.5
TAKEOVERS = 3  # without a row of progress between them; then something is wrong with the run itself


class Supervisor:
    """One observer of all leases in a store. ``check`` is called about once a second."""

    def __init__(self, store: Store, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._store = store
        self._lease_seconds = lease_seconds
        self._watch = LeaseWatch()
        self._lock = threading.Lock()
        self._given_up: set[str] = set()
        self._standby = Standby()

    def stand_by(self) -> None:
        """Have a worker ready for the next launch."""
        launcher.stand_by(self._store.url, self._standby)

    def stand_down(self) -> None:
        """Have none ready."""
        self._standby.dismiss()

    def launch(self, run_id: str, token: int) -> None:
        """Start a worker for the run whose lease has ``token``.

        Where it cannot be started the log says why, and the next check tries again.
        """
        try:
            launcher.launch(self._store.url, run_id, token, self._standby)
        except SyncmonError as error:
            with self._store.write() as connection:
                run = runs.run_by_id(connection, run_id)
                if run is not None:
                    entry = NewEntry(level=Level.ERROR, message=f"{error.message}. {error.hint}")
                    log.append(connection, run.task_id, run_id, [entry])

    def check(self) -> bool:
        """Find the runs that lost their worker, and give each a new one; end the lost loops.

        True where there is something to be checked again.
        """
        with self._lock:
            try:
                with self._store.read() as connection:
                    watched = [*runs.runs_in(connection, ACTIVE), *loops.paused(connection)]
                    ended = runs.runs_to_forget(connection)
            except StoreUnavailable:
                self._watch.forget(set())  # a heartbeat that nobody could see has not stood still
                raise
            self._watch.forget({run.run_id for run, _ in (*watched, *ended)})
            for run, lease in watched:
                self._check_run(run, lease)
            for run, lease in ended:
                # Its worker died between the record of the end and the clearing of the target.
                if self._is_dead(run, lease):
                    end_process(lease.owner)
                    with self._store.write() as connection:
                        runs.release(connection, run.run_id, lease.token)
                    self.launch(run.run_id, lease.token)
            return bool(watched or ended)

    def check_task(self, task_id: str) -> None:
        """The same for one task, before a command decides by its state."""
        with self._lock:
            with self._store.read() as connection:
                watched = [*runs.runs_in(connection, ACTIVE), *loops.paused(connection)]
            for run, lease in watched:
                if run.task_id == task_id:
                    self._check_run(run, lease, resume=False)

    def check_loops(self) -> None:
        """End the loops whose program is gone."""
        with self._lock:
            with self._store.read() as connection:
                watched = [*runs.runs_in(connection, ACTIVE), *loops.paused(connection)]
            for run, lease in watched:
                if run.spec is None:
                    self._check_run(run, lease)

    def _check_run(self, run: Run, lease: Lease, *, resume: bool = True) -> None:
        if run.spec is None:  # a loop: nobody can take it over
            if loop_watch.is_lost(self._watch, lease):
                loop_watch.end_lost(self._store, run, lease)
            return
        if run.state is not State.INTERRUPTED and not self._is_dead(run, lease):
            return
        if run.state is State.INTERRUPTED and not resume:
            return
        # Perhaps it is only frozen: with the lock on a file that the next one needs, or on the store.
        end_process(lease.owner)
        launch = self._take_over(run, lease, resume=resume)
        if launch:
            self.launch(run.run_id, lease.token)
        elif run.run_id in self._given_up:
            self._given_up.discard(run.run_id)
            # There is no worker that could do it, and whoever watches must not wait for receivers.
            threading.Thread(target=self._tell_of_end, args=[run.run_id], daemon=True).start()

    def _is_dead(self, run: Run, lease: Lease) -> bool:
        silent = self._watch.silent_seconds(lease)
        suspicious = self._lease_seconds * SUSPICIOUS <= silent < math.inf
        if suspicious and not is_frozen(lease.owner):
            # In a store that is locked or full nobody's heart can be seen to beat.
            try:
                with self._store.write() as connection:
                    tasks.bump(connection, run.task_id)  # to set a value again would write nothing
            except StoreUnavailable:
                self._watch.forget(set())
                raise
        return silent > self._lease_seconds

    def _tell_of_end(self, run_id: str) -> None:
        with suppress(SyncmonError):  # a store that is closed, or gone, in between
            tell_of_end(self._store, run_id)

    def _take_over(self, run: Run, lease: Lease, *, resume: bool) -> bool:
        """Move the run on, if nobody else did meanwhile; whether a worker must be started."""
        with self._store.write() as connection:
            tasks.lock_task(connection, run.task_id)
            now = runs.run_by_id(connection, run.run_id)
            if now is None or now.state is not run.state or now.token != lease.token:
                return False
            state = run.state
            # Counts the heartbeat up, so that no other observer takes the run over a second time.
            runs.release(connection, run.run_id, lease.token)
            if state is not State.INTERRUPTED and state is not State.STOPPING:
                lost = next_state(state, Action.LOSE)
                assert lost is not None  # noqa: S101  # every active state can be lost
                runs.set_state(connection, run.run_id, lost)
                announcements.note_loss(connection, run.run_id)
                shown = UnitState.PAUSED if lost is State.PAUSED else UnitState.INTERRUPTED
                units.set_unfinished(connection, run.task_id, run.run_id, shown)
                self._say(connection, run, Level.WARNING, "the worker is gone")
                state = lost
            if state is State.PAUSED or not resume:
                return False
            if state is not State.STOPPING:
                count = runs.count_takeover(connection, run.run_id)
                if count > TAKEOVERS:
                    self._give_up(connection, run)
                    self._given_up.add(run.run_id)
                    return False
            resumed = next_state(state, Action.TAKE_OVER)
            assert resumed is not None  # noqa: S101  # interrupted and stopping can be taken over
            runs.set_state(connection, run.run_id, resumed)
            self._say(connection, run, Level.INFO, "taken over; going on from the checkpoints")
            return True

    def _give_up(self, connection: Connection, run: Run) -> None:
        message = f"the worker was lost {TAKEOVERS} times without progress"
        hint = "read the log, and the system's log, for what ends it; Start tries again"
        runs.set_state(
            connection,
            run.run_id,
            State.FAILED,
            error=("worker_lost", message, hint),
            finished=True,
        )
        self._say(connection, run, Level.ERROR, f"{message}. {hint}")

    def _say(self, connection: Connection, run: Run, level: Level, message: str) -> None:
        log.append(connection, run.task_id, run.run_id, [NewEntry(level=level, message=message)])
