"""What tasks are read from and steered through: a server, or the store itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from syncmon_ext.model.log import Level
from syncmon_ext.model.plan import Plan
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.run import RunSummary
from syncmon_ext.model.state import State
from syncmon_ext.model.view import TaskView
from syncmon_widgets.reporter import LoopLine

if TYPE_CHECKING:
    import pyarrow as pa


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which log entries are wanted; None is no condition."""

    level: Level | None = None
    unit: str | None = None
    q: str | None = None  # in the message, in any case
    after: int | None = None  # positions behind this one
    before: int | None = None

    def parameters(self) -> dict[str, Any]:
        """The conditions as a query's parameters."""
        return {k: v for k, v in msgspec.structs.asdict(self).items() if v is not None}


class Backend(LoopLine, Protocol):
    """Tasks and loops, however they are reached. All methods block, and raise SyncmonError."""

    @property
    def where(self) -> str:
        """What this works on, for a person."""

    @property
    def base_url(self) -> str | None:
        """The path below which the page and its panels are; None: there is no server."""

    def tasks(self) -> list[TaskView]:
        """All tasks, without their units."""

    def task(self, task_id: str) -> TaskView:
        """One task with all its units."""

    def create_task(self, task_id: str, spec: dict[str, Any]) -> TaskView:
        """Make a task that the store keeps."""

    def delete_task(self, task_id: str) -> None:
        """Remove a task with its runs, its log and its history."""

    def start(self, task_id: str, *, fresh: bool, only_failed: bool, key: str) -> Progress:
        """Start or resume; the same ``key`` again starts nothing."""

    def pause(self, task_id: str) -> Progress:
        """Ask for a pause."""

    def stop(self, task_id: str) -> Progress:
        """Ask for a stop."""

    def set_throttle(self, task_id: str, *, rows: int | None, size: int | None) -> Progress:
        """Change the pace, in rows and bytes per second; None is no bound."""

    def progress(self, task_id: str) -> Progress:
        """How far the task is."""

    def plan(self, task_id: str) -> Plan:
        """The dry run."""

    def runs(self, task_id: str) -> list[RunSummary]:
        """The newest runs, newest first."""

    def logs(self, task_id: str, query: LogQuery, limit: int | None) -> pa.Table:
        """The newest ``limit`` entries that match, oldest first; None: all of them.

        With ``after`` alone the oldest, so that one can read on without a gap.
        """

    def history(self, task_id: str, run_id: str | None) -> pa.Table:
        """The samples of one run, or of all."""

    def close(self) -> None:
        """Give the connections back."""


@runtime_checkable
class Telling(Protocol):
    """A backend that tells of changes by itself, and need not be asked again and again."""

    def await_change(self, task_id: str, known: State, seconds: float) -> bool:
        """Wait until the task is in another state than ``known``, for so many seconds at most.

        False where nothing can be told now.
        """
