"""One execution of a loop: what it shares with the thread that reports it."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from types import CodeType
from typing import Final

from syncmon_ext.model.log import Level, clean_message
from syncmon_ext.model.loop import LoopEntry, Phase
from syncmon_ext.model.state import State
from syncmon_widgets.iterations import own, whole
from syncmon_widgets.loop_exit import Departure, last_line
from syncmon_widgets.stopped import TaskStopped

KEEP_ENTRIES: Final = 10_000  # held back while nobody takes them; more would be memory

# Whether `run.done += n` needs no lock, which would cost twice as much as all the rest of an update: a
# CPython with a GIL lets other threads in at calls and at jumps back only, and there is none in it.
_has_gil = getattr(sys, "_is_gil_enabled", lambda: True)  # says so since Python 3.13
ONE_STEP: Final = sys.implementation.name == "cpython" and bool(_has_gil())

_HOLD: Final = frozenset({State.PAUSING, State.PAUSED})
ENDS: Final = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.STOPPED})


class LoopRun:
    """Counts in the loop's thread and is read by the reporter's, without a lock on the way.

    ``done`` is the number of iterations done; ``gate`` says that the loop must look at its orders.
    """

    __slots__ = (
        "_began",
        "_changed",
        "_held",
        "_held_since",
        "_turned",
        "consumer",
        "departure",
        "done",
        "dropped",
        "entries",
        "error",
        "flush",
        "gate",
        "heard",
        "lock",
        "name",
        "note",
        "order",
        "phase",
        "run_id",
        "searched_done",
        "seen_done",
        "task_id",
        "total",
    )

    def __init__(self, name: str, total: int | None, changed: Callable[[], None]) -> None:
        self.name = name
        self.total = total
        self.run_id = uuid.uuid4().hex
        self.task_id: str | None = None  # known once the loop is registered
        self.done: int | float = 0
        self.gate = False
        self.order = State.RUNNING
        self.phase = Phase.RUNNING
        self.note: str | None = None
        self.error: str | None = None
        self.departure: Departure | None = None
        self.entries: deque[LoopEntry] = deque()
        self.heard: Callable[[State], None] | None = None  # called in the reporter's thread
        self.flush: Callable[[], None] | None = None  # waits until the end is told
        self.consumer: CodeType | None = None  # that may keep the items when an exception leaves it
        self.seen_done: int | float = -1  # by who looks whether an exception holds the items
        self.searched_done: int | float = -1
        self.dropped = 0  # entries that found no room
        self._changed = changed
        self.lock = threading.Lock()
        self._turned = threading.Event()
        self._began = time.monotonic()
        self._held = 0.0
        self._held_since: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the loop is over."""
        return self.phase in ENDS

    def elapsed_seconds(self) -> float:
        """Seconds since the loop began, pauses excluded."""
        since = self._held_since
        now = time.monotonic() if since is None else since
        return max(0.0, now - self._began - self._held)

    # -- in the loop's thread --------------------------------------------------------------------

    def add(self, count: float) -> None:
        """Count ``count`` iterations more; from any thread. Fractions add up."""
        if count.__class__ is not int:
            count = own(count, "n")
        if ONE_STEP:
            self.done += count
        else:
            with self.lock:
                self.done += count
        if self.gate:
            self.hold()

    def hold(self) -> None:
        """Do what was ordered: wait until the loop may go on; raises TaskStopped."""
        while not self.may_go_on():
            self._turned.wait()

    def may_go_on(self) -> bool:
        """Whether the loop may go on now; where not, it is shown as paused. Raises TaskStopped."""
        self._turned.clear()
        order = self.order
        if order is State.STOPPING:
            self._resume()
            raise TaskStopped(
                f"{self.name} was stopped after {whole(self.done):,} iterations",
                hint="run it again to begin anew",
            )
        if order in _HOLD and self.phase in (Phase.RUNNING, Phase.WAITING):
            with self.lock:
                if self._held_since is None:
                    self._held_since = time.monotonic()
                    self.phase = Phase.WAITING
            self._changed()
            return False
        self._resume()
        self.gate = False
        if self.order is not order:  # a new order came in between
            self.gate = True
            return self.may_go_on()
        return True

    def wait(self, seconds: float) -> None:
        """Wait for new orders, at most so long."""
        self._turned.wait(seconds)

    def _resume(self) -> None:
        with self.lock:
            if self._held_since is not None:
                self._held += time.monotonic() - self._held_since
                self._held_since = None
                if self.phase is Phase.WAITING:
                    self.phase = Phase.RUNNING

    def say(self, level: Level, message: str) -> None:
        """Add an entry to the loop's log."""
        if len(self.entries) >= KEEP_ENTRIES:
            self.dropped += 1
            return
        message = clean_message(message)
        self.entries.append(LoopEntry(level=level, message=message, time=datetime.now(UTC)))

    def end(
        self, phase: Phase, error: str | None = None, departure: Departure | None = None
    ) -> None:
        """The loop is over."""
        if self.ended:
            return
        self._resume()
        if self._held_since is None:  # the clock stops here
            self._held_since = time.monotonic()
        self.error, self.departure = error, departure
        self.phase = phase
        self._changed()
        if self.flush is not None and departure is None:  # its text comes after the loop is left
            self.flush()

    def end_by(self, error: BaseException | None) -> None:
        """End it as what left it says: completed, stopped or failed."""
        if error is None:
            self.end(Phase.COMPLETED)
        elif isinstance(error, TaskStopped):
            self.end(Phase.STOPPED)
        else:
            self.end(Phase.FAILED, last_line(error))

    # -- in the reporter's thread ----------------------------------------------------------------

    def tell(self, order: State) -> None:
        """Give the loop its orders."""
        if order is self.order:
            return
        self.order = order
        if self.heard is not None:
            self.heard(order)
        self.gate = True
        self._turned.set()
