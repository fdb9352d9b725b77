"""What is raised inside a loop that was told to stop."""

from __future__ import annotations

from syncmon_ext.model.errors import SyncmonError


class TaskStopped(SyncmonError):  # named after what happened
    """A person stopped the loop from the page, a panel, a command or another program."""

    code = "task_stopped"
    status = 409

    def _render_traceback_(self) -> list[str]:
        """IPython shows this in place of a traceback: nothing went wrong."""
        return [f"■ {self.message}"]
