"""How a ``for`` loop was left early: by ``break``, or by an exception in its body.

A generator is only told that it is not needed any more. That it is an exception that leaves the loop
is seen in the frame that runs it: Python notes the frame and the instruction in a traceback before it
lets go of the iterator. The exception itself is known later, to whoever handles or shows it.
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
from typing import Any, Final

# `break` and `return` drop the iterator with these; no exception leaves a loop from them.
_LEAVING: Final = frozenset({"POP_TOP", "POP_ITER", "END_FOR"})


class Departure:
    """A loop that an exception left. ``text`` waits a moment until the exception is known."""

    def __init__(self, frame: types.FrameType, error: BaseException | None) -> None:
        self._frame = frame
        self._known = threading.Event()
        name, line = frame.f_code.co_filename, frame.f_lineno
        source = linecache.getline(name, line).strip()
        self._text = f"an exception in line {line}" + (f": {source}" if source else "")
        if error is not None:
            self.tell(error)

    def tell(self, error: BaseException) -> None:
        """The exception is ``error``."""
        self._text = last_line(error)
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


def departure(frame: types.FrameType) -> Departure | None:
    """The departure by exception of the loop that ``frame`` runs; None where it was just left."""
    if _instruction(frame) in _LEAVING:
        return None
    for holder in gc.get_referrers(frame):
        if (
            isinstance(holder, types.TracebackType)
            and holder.tb_frame is frame
            and holder.tb_lasti == frame.f_lasti
        ):
            found = Departure(frame, _exception_of(holder))
            _waiting.add(found)
            listen()
            return found
    return None


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
