"""Learns which exception is on its way, where Python does not tie it to its traceback yet.

CPython 3.11 does so when a handler takes the exception, or a calling frame is left. One look at that
moment is enough: the frames are traced until then, for microseconds, and not under another tracer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

MOST_EVENTS: Final = 100  # then it is left unknown, and the program goes on at full speed


def watch(trace: TracebackType, tell: Callable[[BaseException], None]) -> None:
    """Call ``tell`` with the exception that leaves ``trace`` behind; here, at its next handler."""
    if sys.gettrace() is not None:  # a debugger's, or one that measures coverage
        return
    frames: list[FrameType] = []
    frame: FrameType | None = trace.tb_frame
    while frame is not None:
        if frame.f_trace is None:
            frames.append(frame)
        frame = frame.f_back
    seen = 0

    def look(_: FrameType, event: str, value: Any) -> Any:
        nonlocal seen
        seen += 1
        error = value[1] if event == "exception" else sys.exc_info()[1]
        if not isinstance(error, BaseException) or not _left(error, trace):
            error = None
        if error is None and seen < MOST_EVENTS:
            return None if event == "call" else look
        sys.settrace(None)
        for traced in frames:
            traced.f_trace = None
        frames.clear()
        if error is not None:
            tell(error)
        return None

    for traced in frames:
        traced.f_trace = look
    sys.settrace(look)


def _left(error: BaseException, trace: TracebackType) -> bool:
    """Whether ``trace`` is a part of the traceback of ``error``."""
    part = error.__traceback__
    while part is not None:
        if part is trace:
            return True
        part = part.tb_next
    return False
