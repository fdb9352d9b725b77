"""Two ways to show a task that is watched: live bars in a terminal, lines anywhere else."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.live import Live

from syncmon_ext.cli import bars
from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import State

LINE_SECONDS: Final = 10.0  # between two progress lines while the state stays
PIPED_CELLS: Final = 1_000  # nothing is wrapped or cut for a program that reads it
SPEED_SECONDS: Final = 1.0  # between two columns of the speed curve


class View(Protocol):
    """Shows one task; used as a context manager."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture standing."""

    def show(self, progress: Progress, entries: Sequence[LogEntry]) -> None:
        """Show how far the task is, and what was logged since the last call."""

    def say(self, message: str) -> None:
        """Show a message of the command itself."""


class BarsView:
    """Live bars; log entries pass by above them."""

    def __init__(self, console: Console, way: str) -> None:
        self._console = console
        self._way = way
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._speeds: deque[float] = deque(maxlen=8)
        self._speed_at = 0.0

    def __enter__(self) -> Self:
        """Hide the cursor and begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture standing."""
        self._live.stop()

    def show(self, progress: Progress, entries: Sequence[LogEntry]) -> None:
        """Draw the picture anew."""
        now = time.monotonic()
        if progress.speed is not None and now - self._speed_at >= SPEED_SECONDS:
            self._speeds.append(progress.speed)
            self._speed_at = now
        for entry in entries:
            self._console.print(bars.log_line(entry))
        picture = bars.picture(
            progress, self._way, speeds=list(self._speeds), lines=self._console.height - 1
        )
        self._live.update(picture, refresh=True)

    def say(self, message: str) -> None:
        """A line above the bars."""
        self._console.print(message, style="bold", markup=False)


class LinesView:
    """Line by line: every log entry, and the progress now and then and when the state changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state: State | None = None
        self._said_at = 0.0

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to clear."""

    def show(self, progress: Progress, entries: Sequence[LogEntry]) -> None:
        """Print what is new."""
        for entry in entries:
            self.say(bars.plain_log_line(entry))
        now = time.monotonic()
        if progress.state is not self._state or now - self._said_at >= LINE_SECONDS:
            self.say(bars.progress_line(progress))
            self._state, self._said_at = progress.state, now

    def say(self, message: str) -> None:
        """A line."""
        self._console.print(message, markup=False, soft_wrap=True)


def stdout_console() -> Console:
    """The console on standard output; it colours nothing by itself."""
    console = Console(highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = PIPED_CELLS
    return console


def view_for(console: Console, way: str) -> View:
    """Bars where the console can move its cursor, else lines."""
    if console.is_terminal and not console.is_dumb_terminal:
        return BarsView(console, way)
    return LinesView(console)
