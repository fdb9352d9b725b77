"""Tasks without a server: syncmon's services on the store, in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from syncmon_ext.model.config import parse_spec
from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.loop import LoopOrders, LoopReport, NewLoop
from syncmon_ext.model.plan import Plan
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.run import RunSummary
from syncmon_ext.model.sample import HistorySample
from syncmon_ext.model.task import Throttle
from syncmon_ext.model.view import TaskView
from syncmon_widgets.arrow import table_of, table_of_columns
from syncmon_widgets.backend import LogQuery

if TYPE_CHECKING:
    import pyarrow as pa

WATCH_SECONDS: Final = 1.0  # between two looks at the workers: no server does it


class Direct:
    """The services of one store. Workers outlive this process, as they outlive a server."""

    def __init__(self, store_url: str, config_file: str | None = None) -> None:
        from syncmon_ext.services.catalog import Catalog
        from syncmon_ext.services.configuration import beside_the_server
        from syncmon_ext.services.supervisor import Supervisor
        from syncmon_ext.services.task_control import TaskControl
        from syncmon_ext.services.task_log import TaskLog
        from syncmon_ext.services.task_loop import TaskLoop
        from syncmon_ext.services.task_progress import TaskProgress
        from syncmon_ext.store.store import Store

        self._store = Store(store_url)
        self._catalog = Catalog(self._store, beside_the_server(config_file))
        self._supervisor = Supervisor(self._store)
        self._control = TaskControl(self._store, self._catalog, self._supervisor)
        self._progress = TaskProgress(self._store, self._catalog)
        self._log = TaskLog(self._store, self._catalog)
        self._loops = TaskLoop(self._store, self._catalog, self._supervisor)
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="syncmon-watch", daemon=True).start()

    @property
    def where(self) -> str:
        """What this works on, for a person."""
        return f"the store {self._store.shown_url}"

    @property
    def base_url(self) -> str | None:
        """There is no page."""
        return None

    def close(self) -> None:
        """Give the connections back."""
        self._closed.set()
        self._store.close()

    def _watch(self) -> None:
        """Take over what lost its worker, as a server would."""
        from syncmon_ext.model.errors import SyncmonError

        while not self._closed.wait(WATCH_SECONDS):
            try:
                self._supervisor.check()
            except SyncmonError:
                continue  # the store is away; whoever asks for something is told

    # -- tasks -----------------------------------------------------------------------------------

    def tasks(self) -> list[TaskView]:
        """All tasks, without their units."""
        return self._progress.views()

    def task(self, task_id: str) -> TaskView:
        """One task with all its units."""
        return self._progress.view(task_id)

    def create_task(self, task_id: str, spec: dict[str, Any]) -> TaskView:
        """Make a task that the store keeps."""
        self._catalog.create(task_id, parse_spec(spec, ""))
        return self.task(task_id)

    def delete_task(self, task_id: str) -> None:
        """Remove a task with its runs, its log and its history."""
        self._catalog.delete(task_id)

    def start(self, task_id: str, *, fresh: bool, only_failed: bool, key: str) -> Progress:
        """Start or resume; the same ``key`` again starts nothing."""
        return self._control.start(
            task_id, fresh=fresh, only_failed=only_failed, idempotency_key=key
        )

    def pause(self, task_id: str) -> Progress:
        """Ask for a pause."""
        return self._control.pause(task_id)

    def stop(self, task_id: str) -> Progress:
        """Ask for a stop."""
        return self._control.stop(task_id)

    def set_throttle(self, task_id: str, *, rows: int | None, size: int | None) -> Progress:
        """Change the pace; None is no bound."""
        return self._control.set_throttle(task_id, Throttle(rows=rows, bytes=size))

    # -- what is known of them -------------------------------------------------------------------

    def progress(self, task_id: str) -> Progress:
        """How far the task is."""
        return self._progress.progress(task_id)

    def plan(self, task_id: str) -> Plan:
        """The dry run."""
        from syncmon_ext.model.errors import InvalidConfig
        from syncmon_ext.services import probe

        task = self._catalog.task(task_id)
        if task.spec is None:
            raise InvalidConfig(f"{task_id} is a loop: it copies nothing")
        source = self._catalog.connection(task.spec.source)
        target = self._catalog.connection(task.spec.target)
        return probe.plan(task_id, task.spec, source, target)

    def runs(self, task_id: str) -> list[RunSummary]:
        """The newest runs, newest first."""
        return self._progress.runs(task_id, 1_000)

    def logs(self, task_id: str, query: LogQuery, limit: int | None) -> pa.Table:
        """The newest ``limit`` entries that match, oldest first, with ``after`` alone the oldest.

        None: all of them.
        """
        from syncmon_ext.services.task_log import LogFilter

        wanted = LogFilter(
            level=query.level,
            unit=query.unit,
            contains=query.q,
            after=query.after,
            before=query.before,
        )
        if limit is None:
            return table_of_columns(LogEntry, self._log.columns(task_id, wanted))
        return table_of(LogEntry, [self._log.entries(task_id, wanted, limit)])

    def history(self, task_id: str, run_id: str | None) -> pa.Table:
        """The samples of one run, or of all."""
        return table_of(HistorySample, self._progress.history_batches(task_id, run_id))

    # -- loops -----------------------------------------------------------------------------------

    def begin_loop(self, loop: NewLoop) -> LoopOrders:
        """Show a loop that begins."""
        return self._loops.begin(loop)

    def report_loop(self, task_id: str, report: LoopReport) -> LoopOrders:
        """Take a report in."""
        return self._loops.report(task_id, report)
