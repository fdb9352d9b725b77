"""Writes what a worker does into the store, and reads what it is told, on a beat of its own.

The scheduler never waits for the store: it hands changes over, and a thread writes them. A store that
is locked, full or gone for a while costs nothing but news: the copy goes on, since the truth about
committed chunks is in the target, and everything that was not written is written later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.log import Level
from syncmon_ext.model.state import Action, State, UnitState, next_state
from syncmon_ext.model.task import Throttle
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.store import log, runs, samples, units
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.runs import Command
from syncmon_ext.store.store import Store
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.lease import HEARTBEAT_SECONDS

LISTEN_SECONDS: Final = 0.2  # how soon a command is heard
FIGURES_SECONDS: Final = 0.4  # between two writes of nothing but how far running units are
SAMPLE_SECONDS: Final = 1.0
STORE_PATIENCE_SECONDS: Final = 600.0  # at the very end; then the run is left to a takeover
KEEP_LOG: Final = 20_000  # entries held back while the store is gone; more would be memory


class _Batch(NamedTuple):
    units: dict[str, UnitRuntime]
    entries: list[NewEntry]
    totals: dict[str, Any]


class Recorder:
    """The worker's line to the store for one run and token."""

    def __init__(self, store: Store, task_id: str, run_id: str, token: int) -> None:
        self._store = store
        self._task_id = task_id
        self._run_id = run_id
        self._token = token
        self._lock = threading.Lock()
        self._units: dict[str, UnitRuntime] = {}
        self._entries: list[NewEntry] = []
        self._totals: dict[str, Any] = {}
        self._last_beat = self._last_sample = float("-inf")
        self._wake = threading.Event()
        self._closed = False
        self._thread = self._new_thread()
        self.command: State = State.RUNNING  # what the store says the run should be doing
        self.throttle: Throttle | None = None
        self.fenced = False  # a newer owner holds the run

    def start(self) -> None:
        """Begin to listen and to write."""
        self._thread.start()

    def log(self, level: Level, message: str, unit: str | None = None) -> None:
        """Add an entry to the task's log."""
        with self._lock:
            self._entries.append(NewEntry(level=level, message=message, unit=unit))
            if len(self._entries) > KEEP_LOG:
                del self._entries[: KEEP_LOG // 2]
                self._entries.insert(
                    0,
                    NewEntry(
                        level=Level.WARNING,
                        message=f"{KEEP_LOG // 2:,} entries were dropped while the store was away",
                    ),
                )

    def save_unit(self, unit: UnitRuntime) -> None:
        """Write a unit's runtime record."""
        with self._lock:
            self._units[unit.unit_id] = unit

    def save_totals(self, **values: Any) -> None:
        """Write columns of the run."""
        with self._lock:
            self._totals.update(values)

    def write_now(self, change: Callable[[Connection], None]) -> None:
        """Apply ``change`` to the store in a fenced transaction; waits until the store takes it.

        Raises StoreUnavailable when it does not for ten minutes.
        """
        deadline = time.monotonic() + STORE_PATIENCE_SECONDS
        wait = 0.1
        while not self.fenced:
            try:
                with self._store.write() as connection:
                    if runs.holds(connection, self._run_id, self._token) is None:
                        self.fenced = True
                        return
                    change(connection)
                    return
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(wait)
                wait = min(2 * wait, 5.0)

    def finish(
        self,
        action: Action,
        *,
        entry: NewEntry,
        error: tuple[str, str, str] | None = None,
        clear: list[UnitRuntime] | None = None,
        unless: State | None = None,
    ) -> State | None:
        """Record the end of this worker's work and give the run back, once its target is clear.

        Returns the state that the run is in now; None where the table of transitions forbids
        ``action`` or the state is ``unless`` (a command came in the last moment), or where a newer
        owner holds the run.
        """
        self._stop_thread()
        reached: list[State] = []

        def change(connection: Connection) -> None:
            before = runs.run_state(connection, self._run_id)
            state = next_state(before, action)
            if state is None or before is unless:
                return
            self._write(connection, batch, sample=True)
            if clear is not None:
                units.clear_units(connection, self._run_id, clear)
            ended = state in (State.COMPLETED, State.FAILED, State.STOPPED)
            runs.set_state(connection, self._run_id, state, error=error, finished=ended)
            log.append(connection, self._task_id, self._run_id, [entry])
            if state not in (State.COMPLETED, State.STOPPED):
                runs.release(connection, self._run_id, self._token)
            fault_point("store.run_before_commit")
            reached.append(state)

        with self._handed_over() as batch:
            self.write_now(change)
        if reached:
            _unit_recorded(batch)
            fault_point("store.run_recorded")
            return reached[0]
        with self._lock:
            self._units, self._entries = {**batch.units, **self._units}, batch.entries
        self._thread = self._new_thread()
        self._closed = False
        self._thread.start()
        return None

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._beat, name="recorder", daemon=True)

    def _stop_thread(self) -> None:
        self._closed = True
        self._wake.set()
        self._thread.join()
        self._wake.clear()

    def _beat(self) -> None:
        while not self._closed and not self.fenced:
            try:
                self._tick()
            except StoreUnavailable:
                self._wake.wait(1.0)  # it is tried again; nothing that waits here is lost
            self._wake.wait(LISTEN_SECONDS)

    def _tick(self) -> None:
        now = time.monotonic()
        with self._lock:
            news = bool(self._entries) or any(
                unit.state is not UnitState.RUNNING for unit in self._units.values()
            )
            news = news or (bool(self._units) and now - self._last_beat >= FIGURES_SECONDS)
        if not news and now - self._last_beat < HEARTBEAT_SECONDS:
            with self._store.read() as connection:
                self._hear(runs.command(connection, self._run_id))
            return
        sample = now - self._last_sample >= SAMPLE_SECONDS
        with self._handed_over() as batch, self._store.write() as connection:
            told = runs.holds(connection, self._run_id, self._token)
            if told is None:
                self.fenced = True
                return
            self._write(connection, batch, sample=sample)
            if news:
                fault_point("store.before_commit")
        self._last_beat = now
        if sample:
            self._last_sample = now
        self._hear(told)
        if news:
            fault_point("store.chunk_recorded")
        _unit_recorded(batch)

    def _hear(self, told: Command) -> None:
        self.command, self.throttle = told.state, told.throttle

    @contextmanager
    def _handed_over(self) -> Iterator[_Batch]:
        """All that waits to be written; it waits again where the block fails."""
        with self._lock:
            batch = _Batch(self._units, self._entries, self._totals)
            self._units, self._entries, self._totals = {}, [], {}
        try:
            yield batch
        except BaseException:
            with self._lock:
                self._units = {**batch.units, **self._units}
                self._entries = batch.entries + self._entries
                self._totals = {**batch.totals, **self._totals}
            raise

    def _write(self, connection: Connection, batch: _Batch, *, sample: bool) -> None:
        if batch.totals:
            runs.update_run(connection, self._run_id, **batch.totals)
        if batch.units or batch.totals:
            units.save_units(connection, self._task_id, self._run_id, batch.units.values())
        if sample and "rows_committed" in batch.totals:
            samples.add_sample(
                connection,
                self._run_id,
                **{name: batch.totals[name] for name in samples.SAMPLE_VALUES},
            )
        if batch.entries:
            log.append(connection, self._task_id, self._run_id, batch.entries)


def _unit_recorded(batch: _Batch) -> None:
    if any(unit.state is UnitState.COMPLETED for unit in batch.units.values()):
        fault_point("store.unit_recorded")
