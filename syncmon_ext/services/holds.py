"""How long the server's event loop is held at a time, and by what."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

HOLD_SECONDS: Final = 0.05  # from here on a person notices, and it is looked what runs
LOOK_SECONDS: Final = (
    0.05  # between two looks whether the loop is held, while it has anything to do
)
WINDOW_SECONDS: Final = 30.0  # the longest hold is that of this window and the one before
SILENCE_SECONDS: Final = 60.0  # between two lines in the log
PACKAGE: Final = f"{Path(__file__).parents[1]}{os.sep}"
_PYTHON: Final = (f"{Path(asyncio.__file__).parents[1]}{os.sep}", "<frozen")  # its own library

_log = logging.getLogger(__name__)


class Cause(StrEnum):
    """Who held the loop."""

    SYNCMON = "syncmon"
    COLLECTION = "garbage_collection"
    OTHER = "other"  # Jupyter or another extension, or nobody could be seen


class Holds(msgspec.Struct, frozen=True, kw_only=True):
    """What metrics show."""

    longest_seconds: float  # of the last half minute to minute
    counts: dict[Cause, int]  # of those over HOLD_SECONDS


class HoldMonitor:
    """Measures every round of the loop between two waits: what is ready then has to wait so long.

    Asyncio itself does so only in its debug mode, at many times the cost. The loop's selector is
    wrapped for some 0.2 µs a round; loops without one (uvloop) are not monitored. A thread looks what
    runs while a round takes long; it sleeps while the loop does.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = 0.0  # when the round began; 0 while the loop waits
        self._longest = self._longest_before = 0.0
        self._counts: Counter[Cause] = Counter()
        self._seen: tuple[float, Cause, str] = (0.0, Cause.OTHER, "")
        self._collected = self._collecting_since = 0.0
        self._said_at = float("-inf")
        self._selector: Any = None
        self._awake = threading.Event()  # a round has begun since the thread last looked
        self._stop = threading.Event()

    @property
    def holds(self) -> Holds | None:
        """What was measured; None where the loop cannot be monitored."""
        if self._selector is None:
            return None
        counts = {cause: self._counts[cause] for cause in Cause}
        return Holds(
            longest_seconds=max(self._longest, self._longest_before, self._held()), counts=counts
        )

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; call it from within the loop."""
        selector = getattr(loop, "_selector", None)
        if selector is None or not hasattr(selector, "select"):
            return
        wait, clock, awake = selector.select, self._clock, self._awake

        def select(timeout: float | None = None) -> Any:
            if self._since:
                held = clock() - self._since
                if held > self._longest:
                    self._longest = held
                if held >= HOLD_SECONDS:
                    self._count(held)
            self._since = 0.0
            found = wait(timeout)
            self._since = clock()
            if not awake.is_set():
                awake.set()
            return found

        selector.select = select
        self._selector = selector
        gc.callbacks.append(self._collection)
        threading.Thread(
            target=self._look_on, args=(threading.get_ident(),), name="syncmon-holds", daemon=True
        ).start()

    def stop(self) -> None:
        """Leave the loop as it was."""
        self._stop.set()
        self._awake.set()
        if self._selector is not None:
            del self._selector.select  # the class's own is behind it
            gc.callbacks.remove(self._collection)
            self._selector = None

    def _held(self) -> float:
        since = self._since
        return self._clock() - since if since else 0.0

    def _collection(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < 2:  # the others take a millisecond
            return
        if phase == "start":
            self._collecting_since = self._clock()
        else:
            self._collected = self._clock() - self._collecting_since

    def _count(self, held: float) -> None:
        since, cause, what = self._seen
        if since != self._since:
            cause, what = Cause.OTHER, "something that was not seen"
        if self._collecting_since >= self._since and 2 * self._collected >= held:
            cause, what = Cause.COLLECTION, f"Python's garbage collection, during {what}"
        self._counts[cause] += 1
        level = logging.WARNING if cause is Cause.SYNCMON else logging.DEBUG
        now = self._clock()
        if now - self._said_at >= SILENCE_SECONDS and _log.isEnabledFor(level):
            self._said_at = now
            _log.log(level, "the event loop was held for %.0f ms by %s", held * 1e3, what)

    def _look_on(self, thread: int) -> None:
        turned_at = self._clock()
        while True:
            self._awake.wait(WINDOW_SECONDS)
            if self._stop.wait(LOOK_SECONDS):
                return
            self._awake.clear()
            now, since = self._clock(), self._since
            if since:
                self._awake.set()  # this round may become a long one
            if now - turned_at >= WINDOW_SECONDS:
                turned_at, self._longest_before, self._longest = now, self._longest, 0.0
            if since and now - since >= HOLD_SECONDS and self._seen[0] != since:
                self._seen = (since, *_running(sys._current_frames().get(thread)))


def _running(frame: FrameType | None) -> tuple[Cause, str]:
    """Whose code runs in ``frame``, and where: the innermost line of syncmon's, else of others'."""
    place = ""
    while frame is not None:
        name = frame.f_code.co_filename
        words = f"{name}:{frame.f_lineno} {frame.f_code.co_qualname}"
        if name.startswith(PACKAGE):
            return Cause.SYNCMON, words
        if not place and (not name.startswith(_PYTHON) or "site-packages" in name):
            place = words
        frame = frame.f_back
    return Cause.OTHER, place or "the loop itself"
