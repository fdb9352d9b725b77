"""A task's handle: steer it, wait for it, show it, and take its figures as DataFrames."""

from __future__ import annotations

import operator
import time
import uuid
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from syncmon_ext.model.errors import CopyFailed, InvalidRequest, StoreUnavailable, SyncmonError
from syncmon_ext.model.log import Level
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ENDED, State
from syncmon_ext.model.view import TaskView
from syncmon_widgets.backend import Backend, LogQuery, Telling

if TYPE_CHECKING:
    from syncmon_widgets.frames import HistoryFrame, TaskFrame
    from syncmon_widgets.monitor import Monitor

LOOK_SECONDS: Final = 0.1  # between two looks at first, where nothing is told
SLOWEST_LOOK_SECONDS: Final = 1.0
TOLD_SECONDS: Final = 60.0  # then one looks by oneself, though nothing was told
PATIENCE_SECONDS: Final = 300.0  # with a server that is restarted while one waits

_REST: Final = ENDED | {State.PAUSED, State.IDLE}


class Task:
    """One task, by its id. All methods raise SyncmonError, with a hint."""

    def __init__(self, backend: Backend, task_id: str) -> None:
        self._backend = backend
        self.task_id: Final = task_id

    # -- steering --------------------------------------------------------------------------------

    def start(self, *, fresh: bool = False, only_failed: bool = False) -> Task:
        """Resume the task's run, or begin a new one; the task, to be shown.

        ``fresh`` begins a new run even where the last one could go on; ``only_failed`` copies only the
        tables that failed.
        """
        key = uuid.uuid4().hex
        self._backend.start(self.task_id, fresh=fresh, only_failed=only_failed, key=key)
        return self

    def pause(self) -> Task:
        """Ask for a pause; the chunks that are committed stay."""
        self._backend.pause(self.task_id)
        return self

    def stop(self) -> Task:
        """Ask for a stop; tables already in place stay, the rest is taken back."""
        self._backend.stop(self.task_id)
        return self

    def throttle(self, *, rows: int | None = None, size: int | None = None) -> Task:
        """Bound the pace of the run, in rows and bytes per second; None is no bound."""
        self._backend.set_throttle(self.task_id, rows=rows, size=size)
        return self

    def delete(self) -> None:
        """Remove the task with its runs, its log and its history."""
        self._backend.delete_task(self.task_id)

    def wait(self, timeout: float | None = None, *, check: bool = False) -> State:
        """Wait until the run has ended or is paused; its state then.

        Raises TimeoutError after ``timeout`` seconds. With ``check`` a failed run raises CopyFailed.
        A server that is restarted meanwhile is waited for.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = LOOK_SECONDS
        while True:
            progress = self._progress_patiently(deadline)
            if progress.state in _REST:
                break
            left = TOLD_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.task_id} is {progress.state} after {timeout:g} s")
            if isinstance(self._backend, Telling) and self._backend.await_change(
                self.task_id, progress.state, min(left, TOLD_SECONDS)
            ):
                continue
            time.sleep(min(left, pause))
            pause = min(1.5 * pause, SLOWEST_LOOK_SECONDS)
        if check and progress.state is State.FAILED:
            raise CopyFailed(progress.error or f"{self.task_id} failed", hint=progress.hint or "")
        return progress.state

    def _progress_patiently(self, deadline: float | None) -> Progress:
        lost_at: float | None = None
        while True:
            try:
                return self._backend.progress(self.task_id)
            except SyncmonError as error:
                now = time.monotonic()
                lost_at = lost_at or now
                away = error.code == "unreachable" or isinstance(error, StoreUnavailable)
                if not away or now - lost_at > PATIENCE_SECONDS:
                    raise
                if deadline is not None and now >= deadline:
                    raise
            time.sleep(SLOWEST_LOOK_SECONDS)

    # -- reading ---------------------------------------------------------------------------------

    def read(self) -> TaskView:
        """The task and its progress, as the API gives them."""
        return self._backend.task(self.task_id)

    @property
    def state(self) -> State:
        """The state of the newest run; idle before the first."""
        return self._backend.progress(self.task_id).state

    def progress(self) -> TaskFrame:
        """How far the task is: one row."""
        from syncmon_widgets.frames import progress_frame

        return progress_frame(self._backend.progress(self.task_id))

    def units(self) -> TaskFrame:
        """How far each table is: a row each."""
        from syncmon_widgets.frames import units_frame

        return units_frame(self._backend.progress(self.task_id))

    def plan(self) -> TaskFrame:
        """The dry run: a row for each column of each table; why one cannot be copied is in ``errors``."""
        from syncmon_widgets.frames import plan_frame

        return plan_frame(self._backend.plan(self.task_id))

    def runs(self) -> TaskFrame:
        """The newest runs, newest first."""
        from syncmon_widgets.frames import runs_frame

        return runs_frame(self._backend.runs(self.task_id))

    def logs(
        self,
        *,
        level: str | None = None,
        limit: int | None = None,
        unit: str | None = None,
        q: str | None = None,
    ) -> TaskFrame:
        """The newest ``limit`` log entries, oldest first; all of them without a limit.

        ``level`` is info, success, warning or error; ``q`` is looked for in the message, in any case.
        """
        from syncmon_widgets.frames import logs_frame

        limit = None if limit is None else _whole(limit)
        try:
            wanted = LogQuery(level=None if level is None else Level(level), unit=unit, q=q)
        except ValueError:
            known = ", ".join(Level)
            raise InvalidRequest(f"level is {level!r}", hint=f"give one of {known}") from None
        return logs_frame(self._backend.logs(self.task_id, wanted, limit))

    def history(self, run: str | None = None) -> HistoryFrame:
        """The progress samples of the run with this id, or of all runs; ``.plot()`` draws them."""
        from syncmon_ext.model.words import noun
        from syncmon_widgets.frames import history_frame

        counts = f"{noun(self._backend.progress(self.task_id).kind)}s"
        return history_frame(self._backend.history(self.task_id, run), counts)

    # -- showing ---------------------------------------------------------------------------------

    def monitor(self) -> Monitor:
        """A live widget with the traits ``state``, ``progress`` and ``logs``, to compose and observe."""
        from syncmon_widgets.monitor import Monitor

        return Monitor([self])

    @property
    def url(self) -> str | None:
        """The address of the task on syncmon's page; None without a server."""
        if self._backend.base_url is None:
            return None
        return f"{self._backend.where}syncmon/#{urlencode({'task': self.task_id})}"

    def __repr__(self) -> str:
        return f"<task {self.task_id!r} on {self._backend.where}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """The live panel, the last state as a table where there is none, and as text."""
        from syncmon_widgets.panel import panel_html, panel_text

        try:
            view = self.read()
        except SyncmonError as error:
            return {"text/plain": f"{self.task_id}: {error.message}. {error.hint}"}
        live = self._backend.base_url is not None
        bundle = {
            "text/html": panel_html(view, url=self.url, live=live),
            "text/plain": panel_text(view),
        }
        wanted = set(include) if include else set(bundle)
        return {k: v for k, v in bundle.items() if k in wanted and k not in set(exclude or ())}


def _whole(limit: object) -> int:
    try:
        found = operator.index(limit)  # type: ignore[arg-type]  # numpy's integers too; others are refused
    except TypeError:
        found = 0
    if found < 1:
        raise InvalidRequest(
            f"limit is {limit!r}", hint="give a positive whole number, or None for all"
        )
    return found
