"""dlt's pipelines as tasks: ``dlt.pipeline(…, progress=DltProgress("chinook"))``."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from dlt.common.runtime.collector import Collector  # type: ignore[attr-defined]  # re-exported

from syncmon_ext.model.log import Level
from syncmon_widgets.loop import finish
from syncmon_widgets.loop_run import LoopRun
from syncmon_widgets.reporter import reporter

# The counters that say how far a step is: dlt knows their totals. The others count rows of tables.
_STEPS = ("Resources", "Files", "Jobs")


class DltProgress(Collector):
    """Shows each step of a pipeline as a task: ``chinook extract``, ``chinook normalize``, …

    A step counts its resources, files or jobs; the rows seen so far stand in its note. Pause holds the
    step where it counts next; Stop raises TaskStopped there, which fails the step.
    """

    def __init__(self, name: str) -> None:
        self.step = ""
        self._name = name
        self._lock = threading.Lock()
        self._run: LoopRun | None = None
        self._rows: dict[str, int] = {}

    def update(  # dlt's signature
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Count; called by dlt, from any of its threads."""
        run = self._run
        if run is None:
            return
        if message:
            run.say(Level.INFO, f"{label or name}: {message}")
        if label is not None:  # a part of a counter that is counted itself
            if inc and label.lower() == "failed":
                run.say(Level.ERROR, f"{name}: {inc:,} failed")
            return
        if name in _STEPS:
            with self._lock:
                if total is not None:
                    run.total = total
                if inc_total is not None:
                    run.total = (run.total or 0) + inc_total
            run.add(inc)
            return
        with self._lock:
            self._rows[name] = self._rows.get(name, 0) + inc
            rows = sum(self._rows.values())
        run.note = f"{name}, {rows:,} rows so far"
        run.add(0)  # where Pause and Stop take hold, too

    def _start(self, step: str) -> None:
        self._rows = {}
        kind = step.split(" ", 1)[0].lower()  # "Load chinook in 1732…": an id would be a task each
        self._run = reporter().begin(f"{self._name} {kind}", None, nested=False)
        self._run.say(Level.INFO, step)

    def _stop(self) -> None:
        self._end(None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        for table, rows in self._rows.items():
            run.say(Level.SUCCESS, f"{table}: {rows:,} rows")
        finish(run, error)

    def __getstate__(self) -> dict[str, Any]:
        """dlt may send a pipeline to other processes; a run is reported by one."""
        return {"step": self.step, "_name": self._name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_name"])  # type: ignore[misc]  # as if it were new there
