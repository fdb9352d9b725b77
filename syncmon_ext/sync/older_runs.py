"""Earlier runs, and what they left in their targets: it goes before another run claims the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncmon_ext.model import words
from syncmon_ext.model.errors import CopyFailed, DatabaseUnavailable, InvalidConfig
from syncmon_ext.model.log import Level
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Mode
from syncmon_ext.store import runs
from syncmon_ext.store.runs import FrozenRun
from syncmon_ext.store.shown_url import masked
from syncmon_ext.store.store import Store
from syncmon_ext.sync import engine_url, jobs
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.recorder import Recorder
from syncmon_ext.sync.results import Discarded


class OlderRuns:
    """Clears for one run; ``call`` runs a job over a whole task and waits for it."""

    def __init__(
        self, store: Store, recorder: Recorder, frozen: FrozenRun, call: Callable[..., Any]
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._frozen = frozen
        self._call = call

    def clear(self) -> None:
        """Take away what earlier runs of this task left in the target: a fresh start replaces them."""
        with self._store.read() as connection:
            older = runs.runs_to_clear(connection, self._frozen.task_id, self._frozen.run_id)
        for run_id, state, token in older:
            self._clear(run_id, token, forget=state is State.COMPLETED)

    def forget_ended(self) -> None:
        """Release the tables of runs of any task that ended, and whose worker died before it could do so."""
        with self._store.read() as connection:
            ended = runs.ended_runs_to_forget(connection)
        for run_id, token in ended:
            self._clear(run_id, token, forget=True)

    def _clear(self, run_id: str, token: int, *, forget: bool) -> None:
        with self._store.read() as connection:
            other = runs.frozen_run(connection, run_id)
        if other.plan is not None:
            own = Ownership(
                store_id=self._store.store_id, task_id=other.task_id, run_id=run_id, token=token
            )
            job = jobs.forget if forget else jobs.discard
            try:
                kept = self._call("clear", job, other.target, own, other.plan.units)
            except (DatabaseUnavailable, CopyFailed, InvalidConfig) as error:
                if not engine_url.leads_elsewhere(other.target, self._frozen.target):
                    raise
                # The run goes elsewhere, and perhaps since that database is gone.
                message = f"what run {run_id} left in {masked(other.target.url)} stays there: {error.message}"
                self._recorder.log(Level.WARNING, message)
            else:
                if other.spec.mode is Mode.APPEND and not forget:
                    self._tell_kept(kept)
        self._recorder.write_now(lambda connection: runs.set_target_held(connection, run_id, False))

    def _tell_kept(self, discarded: list[Discarded]) -> None:
        """A fresh start of an append goes on beside what the run before had added."""
        for unit in discarded:
            if unit.rows_kept:
                rows = words.plural(unit.rows_kept, "row")
                message = f"{unit.unit_id}: {rows} that the run before had added stay in the table"
                self._recorder.log(Level.WARNING, message, unit.unit_id)
