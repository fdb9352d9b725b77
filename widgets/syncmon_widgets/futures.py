"""Futures as a task: those of Dask's ``Client``, and of any ``concurrent.futures.Executor``."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from syncmon_ext.model.log import Level
from syncmon_ext.model.loop import LONGEST_NAME, Phase
from syncmon_ext.model.state import State
from syncmon_widgets.loop_exit import last_line
from syncmon_widgets.loop_run import LoopRun
from syncmon_widgets.reporter import reporter


def track_futures(futures: Iterable[Any], name: str) -> None:
    """Show futures that are on their way as a task; returns at once.

        track_futures(client.map(clean, parts), "cleaning")

    The task counts those that are done. It fails when one fails, after all are done, with the error of
    the first. Stop cancels what is not done. Futures cannot be held: while they are to pause the task
    says so, and goes on.
    """
    held = list(futures)
    run = reporter().begin(name.strip()[:LONGEST_NAME] or "futures", len(held), nested=False)
    _Watch(run, held).begin()


class _Watch:
    def __init__(self, run: LoopRun, futures: list[Any]) -> None:
        self._run = run
        self._futures = futures
        self._lock = threading.Lock()
        self._left = len(futures)
        self._error: str | None = None
        self._stopping = False

    def begin(self) -> None:
        self._run.heard = self._heard
        if not self._futures:
            self._run.end(Phase.COMPLETED)
        for future in self._futures:
            future.add_done_callback(self._done)

    def _done(self, future: Any) -> None:
        """One future is done; called in a thread of the executor's, or of Dask's client."""
        cancelled = future.cancelled()
        error = None if cancelled else future.exception()
        with self._lock:
            self._left -= 1
            last = self._left == 0
            if error is not None:
                self._error = self._error or last_line(error)
            if not cancelled:
                self._run.done += 1
        if error is not None:
            self._run.say(Level.ERROR, last_line(error))
        if last:
            self._end()

    def _end(self) -> None:
        if self._stopping:
            self._run.end(Phase.STOPPED)
        elif self._error is not None:
            self._run.end(Phase.FAILED, self._error)
        else:
            self._run.end(Phase.COMPLETED)

    def _heard(self, order: State) -> None:
        if order is State.PAUSING:
            self._run.say(
                Level.WARNING, "futures cannot be held: they go on, and Stop cancels them"
            )
        if order is State.STOPPING:
            self._stopping = True
            for future in self._futures:
                future.cancel()
