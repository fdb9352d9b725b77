"""What is raised inside a loop that was told to stop."""

from __future__ import annotations

from typing import Final


class TaskStopped(BaseException):  # named after what happened
    """A person stopped the loop from the page, a panel, a command or another program.

    It is no Exception, for the reason that KeyboardInterrupt is none: a loop that goes on after whatever
    its rows may raise, with ``except Exception``, is to stop all the same.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message: Final = message
        self.hint: Final = hint

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.message, self.hint))

    def _render_traceback_(self) -> list[str]:
        """IPython shows this in place of a traceback: nothing went wrong."""
        return [f"■ {self.message}"]


def _rebuild(message: str, hint: str) -> TaskStopped:
    return TaskStopped(message, hint=hint)
