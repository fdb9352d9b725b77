"""Finds loops that an exception left, while its traceback still holds their items.

A comprehension before Python 3.12, and a generator expression in any, is a frame of its own, with its
iterator in a variable. Where the exception is caught and kept, as a notebook keeps its last one, nothing
lets go of the iterator: the loop is not told that it is over. Neither form can handle an exception
itself, so one whose traceback goes through the frame has left it for good.

It is looked for beside the loop, at no cost to its iterations.
"""

from __future__ import annotations

import gc
import inspect
import sys
import time
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, GeneratorType, TracebackType
from typing import Any, Final

from syncmon_widgets.loop_exit import COMPREHENSIONS
from syncmon_widgets.loop_run import LoopRun

SHARE: Final = 0.05  # of the time, at most, that is spent on looks through all objects
_DEPTH: Final = 4  # between a frame and the items: a zip of an enumerate, say
_MOST_CALLS: Final = 20  # between the loop and whoever caught the exception
_WRAPPERS: Final = frozenset({enumerate, filter, map, tuple, zip})
_ASYNC: Final = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def may_be_held(consumer: CodeType) -> bool:
    """Whether a frame of this code keeps the items that it iterates over in a variable."""
    name = consumer.co_name
    # One that awaits is on nobody's stack while it lives.
    return (name in COMPREHENSIONS or name == "<genexpr>") and not consumer.co_flags & _ASYNC


class HeldLoops:
    """Ends the loops that are held. Used from one thread."""

    def __init__(self) -> None:
        self._not_before = 0.0  # on the monotonic clock

    def look(self, runs: Iterable[LoopRun]) -> None:
        """Look at those loops that stand still since the last time, once for each standstill."""
        for run in runs:
            if run.consumer is None or run.ended:
                continue
            done = run.done
            rests, run.seen_done = run.seen_done == done, done
            if not rests or run.searched_done == done or time.monotonic() < self._not_before:
                continue
            if _runs_now(run.consumer):
                continue
            run.searched_done = done
            began = time.thread_time()  # of the processor: other programs' load does not count
            error = _error_that_holds(run, run.consumer)
            self._not_before = time.monotonic() + (time.thread_time() - began) / SHARE
            if error is not None:
                run.end_by(error)


def _runs_now(code: CodeType) -> bool:
    """Whether a frame of ``code`` is on the stack of any thread."""
    for top in sys._current_frames().values():
        frame: FrameType | None = top
        while frame is not None:
            if frame.f_code is code:
                return True
            frame = frame.f_back
    return False


def _error_that_holds(run: LoopRun, consumer: CodeType) -> BaseException | None:
    for frame in _frames(consumer):
        if _owns(frame, run, _DEPTH):
            for trace in _tracebacks(frame):
                return _error_of(trace)
    return None


def _frames(code: CodeType) -> list[FrameType]:
    # The items themselves are among those that refer to it: they must not be held by a list here.
    found = gc.get_referrers(code)
    return [frame for frame in found if isinstance(frame, FrameType) and frame.f_code is code]


def _tracebacks(frame: FrameType) -> Iterator[TracebackType]:
    for holder in gc.get_referrers(frame):
        if isinstance(holder, TracebackType) and holder.tb_frame is frame:
            yield holder


def _error_of(trace: TracebackType) -> BaseException | None:
    """The exception that went through ``trace``, which knows the frame that caught it."""
    outer: TracebackType | None = trace
    for _ in range(_MOST_CALLS):
        part, outer = outer, None
        for holder in gc.get_referrers(part):
            if isinstance(holder, BaseException) and holder.__traceback__ is part:
                return holder
            if isinstance(holder, TracebackType) and holder.tb_next is part:
                outer = holder
        if outer is None:
            break
    return None


def _owns(holder: object, run: LoopRun, depth: int) -> bool:
    """Whether ``holder`` has the items of ``run``, and nobody else could ask for more of them."""
    parts: list[Any] = gc.get_referents(holder)
    for at in range(len(parts)):
        kind = type(parts[at])
        if kind is GeneratorType:
            has = _run_of(parts[at]) is run
        elif kind in _WRAPPERS or kind.__module__ == "itertools":
            has = depth > 0 and _owns(parts[at], run, depth - 1)
        else:
            continue
        if has:
            alone = [object()]  # counted as those in the list of parts, but for the holder
            return sys.getrefcount(parts[at]) - sys.getrefcount(alone[0]) == 1
    return False


def _run_of(items: GeneratorType[Any, Any, Any]) -> LoopRun | None:
    frame = items.gi_frame
    run = frame.f_locals.get("run") if frame is not None else None
    return run if isinstance(run, LoopRun) else None
