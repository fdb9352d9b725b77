"""How a loop was left early: by ``break``, by an exception in its body, or one knows not how.

A generator is only told that it is not needed any more. That it is an exception that leaves the loop
is seen in the frame that runs it: Python notes the frame and the instruction in a traceback before it
lets go of the iterator. The exception itself is known later, to whoever handles or shows it.

Before Python 3.12 a comprehension is a frame of its own, which a traceback keeps with the iterator until
the exception is forgotten. Nothing but an exception leaves a comprehension early, unless what it iterates
over ended, such as the shorter one of a ``zip``: then the call of the comprehension is what lets go.
"""

from __future__ import annotations

import contextlib
import gc
import linecache
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from syncmon_widgets.handler_watch import watch

# `break` and `return` drop the iterator with these; no exception leaves a loop from them.
_LEAVING: Final = frozenset({"POP_TOP", "POP_ITER", "END_FOR"})
COMPREHENSIONS: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
_CALLS: Final = frozenset({"CALL", "CACHE"})  # a cache belongs to the instruction before it


class Departure:
    """A loop that an exception left. ``text`` waits a moment until the exception is known."""

    def __init__(self, frame: types.FrameType, file: str, line: int) -> None:
        self._frame = frame
        self._known = threading.Event()
        source = linecache.getline(file, line).strip()
        self._text = f"an exception in line {line}" + (f": {source}" if source else "")

    def tell(self, error: BaseException) -> None:
        """The exception is ``error``."""
        self._text = last_line(error)
        self.tell_no_more()

    def tell_no_more(self) -> None:
        """Nobody will know the exception: it is forgotten."""
        self._known.set()

    def concerns(self, error: BaseException) -> bool:
        """Whether ``error`` went through the frame of the loop."""
        return any(frame is self._frame for frame, _ in traceback.walk_tb(error.__traceback__))

    def text(self, timeout: float) -> str:
        """The traceback's last line, or the line of the program where nobody showed it."""
        self._known.wait(timeout)
        return self._text


_waiting: weakref.WeakSet[Departure] = weakref.WeakSet()
_hearers: list[Callable[[BaseException], None]] = []
_listening = False


def last_line(error: BaseException) -> str:
    """The line of a traceback that names the error, without what was noted to it."""
    kind = type(error)
    home = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    said = ""
    with contextlib.suppress(Exception):  # an error that cannot say what it is, still is one
        said = str(error).strip()
    return f"{home}{kind.__qualname__}: {said}" if said else f"{home}{kind.__qualname__}"


class Way(Enum):
    """How a loop was left, where no exception is known to have left it."""

    CHOSEN = "chosen"  # by break or return
    UNKNOWN = "unknown"  # nobody asked for more: a zip, a next(), a generator that was dropped


def departure(frame: types.FrameType, consumer: types.CodeType | None = None) -> Departure | Way:
    """The departure by exception of a loop, or how else it was left.

    ``frame`` is the one that lets go of the iterator, ``consumer`` the code that iterated.
    """
    instruction = _instruction(frame)
    in_comprehension = consumer is not None and consumer.co_name in COMPREHENSIONS
    if consumer is not None and in_comprehension and frame.f_code is not consumer:
        if instruction in _CALLS:
            return Way.UNKNOWN
        found = Departure(frame, consumer.co_filename, consumer.co_firstlineno)
        found.tell_no_more()
        return found
    if instruction in _LEAVING:
        return Way.CHOSEN
    for holder in gc.get_referrers(frame):
        if (
            isinstance(holder, types.TracebackType)
            and holder.tb_frame is frame
            and holder.tb_lasti == frame.f_lasti
        ):
            found = Departure(frame, frame.f_code.co_filename, frame.f_lineno)
            error = _exception_of(holder)
            if error is None:
                _waiting.add(found)
                listen()
                watch(holder, found.tell)
            else:
                found.tell(error)
            return found
    return Way.UNKNOWN


def _exception_of(trace: types.TracebackType) -> BaseException | None:
    """The exception on its way with ``trace``: Python ties the two together from 3.12 on."""
    for holder in gc.get_referrers(trace):
        if isinstance(holder, BaseException) and holder.__traceback__ is trace:
            return holder
    return None


def _instruction(frame: types.FrameType) -> str:
    import dis

    code = frame.f_code.co_code
    return dis.opname[code[frame.f_lasti]] if 0 <= frame.f_lasti < len(code) else ""


def on_error(hear: Callable[[BaseException], None]) -> None:
    """Have ``hear`` called with each exception that is shown."""
    _hearers.append(hear)


def _tell(error: BaseException | None) -> None:
    if error is None:
        return
    for hear in _hearers:
        hear(error)
    for waiting in list(_waiting):
        if waiting.concerns(error):
            waiting.tell(error)
            _waiting.discard(waiting)


def listen() -> None:
    """Hear of exceptions that are shown: by IPython at the end of a cell, else by Python."""
    global _listening
    if _listening:
        return
    _listening = True
    shell: Any = None
    with contextlib.suppress(KeyError, AttributeError):
        shell = sys.modules["IPython"].get_ipython()
    if shell is not None:
        shell.events.register("post_run_cell", lambda result: _tell(result.error_in_exec))
        return
    sys.excepthook = _after(sys.excepthook, lambda arguments: arguments[1])
    threading.excepthook = _after(threading.excepthook, lambda arguments: arguments[0].exc_value)


def _after(
    hook: Callable[..., Any], error_of: Callable[[tuple[Any, ...]], BaseException | None]
) -> Callable[..., Any]:
    def told(*arguments: Any) -> None:
        _tell(error_of(arguments))
        hook(*arguments)

    return told
