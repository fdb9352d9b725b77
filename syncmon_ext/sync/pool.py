"""The child processes in which jobs run: an Executor whose children can be killed at any moment.

Jobs talk to databases that may hang, so the process that schedules them never does. A child that dies,
or is killed, fails its job with ChildDied; the next job gets a new child.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import RawArray
from typing import Any, Final, NamedTuple

from syncmon_ext.sync import phases, throttle

# The scheduler has threads, so it must not fork; a server that imported the jobs once forks for it.
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["syncmon_ext.sync.nursery"])
_SLOT_FIELDS: Final = 4  # waiting for (index of the name, -1 = nothing), since, rows/s, bytes/s


class ChildDied(Exception):  # what happened, not whose fault
    """The child process of a job ended before the job did."""


class Notice(NamedTuple):
    """What a running job says beside its result: a retry, with its reason; or, without words, that it
    moves on."""

    label: str
    message: str
    over: bool = False  # what was told of under this label


class _Shares:
    """Numbers that a child and the scheduler share without asking each other."""

    def __init__(self, size: int) -> None:
        self.numbers = RawArray("d", size * _SLOT_FIELDS)
        for slot in range(size):
            self.numbers[slot * _SLOT_FIELDS] = -1.0

    def set_waiting(self, slot: int, name_index: int) -> None:
        base = slot * _SLOT_FIELDS
        self.numbers[base + 1] = time.monotonic()
        self.numbers[base] = name_index

    def waiting(self, slot: int) -> tuple[int, float]:
        base = slot * _SLOT_FIELDS
        return int(self.numbers[base]), self.numbers[base + 1]

    def set_rates(self, slot: int, rows: float, size_bytes: float) -> None:
        base = slot * _SLOT_FIELDS
        self.numbers[base + 2], self.numbers[base + 3] = rows, size_bytes

    def rates(self, slot: int) -> tuple[float, float]:
        base = slot * _SLOT_FIELDS
        return self.numbers[base + 2], self.numbers[base + 3]


class _SlotPace(NamedTuple):
    shares: _Shares
    slot: int

    def rates(self) -> tuple[float, float]:
        return self.shares.rates(self.slot)


class _Call(NamedTuple):
    future: Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    last: bool  # of its child
    era: int  # how often all children had been killed before


def _died(call: _Call) -> ChildDied:
    return ChildDied(f"a child process ended in the middle of {call.function.__name__}")


_listener: ContextVar[Callable[[Notice], None] | None] = ContextVar("listener", default=None)


def listen(listener: Callable[[Notice], None] | None) -> None:
    """Send every notice of this thread's jobs to ``listener``."""
    _listener.set(listener)


def tell(label: str, message: str, *, over: bool = False) -> None:
    """From inside a job: send a notice to whoever scheduled it; dropped where nobody listens."""
    if (listener := _listener.get()) is not None:
        listener(Notice(label, message, over))


def tell_moving(label: str) -> None:
    """From inside a job: what it does has come a step further, though nothing is committed."""
    tell(label, "")


class ChildPool(Executor):
    """``size`` slots, each with a child that starts with its first job.

    A job goes to the slot that was the last to end one: where one follows the other, a single child does
    them all, with what it has opened and compiled.
    ``names`` are the connections that a job may wait for. ``on_notice`` is called in a pool thread.
    """

    def __init__(
        self, size: int, names: Sequence[str], on_notice: Callable[[Notice], None]
    ) -> None:
        self._names = list(names)
        self._on_notice = on_notice
        self._shares = _Shares(size)
        self._calls: list[queue.SimpleQueue[_Call | None]] = [
            queue.SimpleQueue() for _ in range(size)
        ]
        self._waiting: deque[_Call] = deque()
        self._idle = list(reversed(range(size)))
        self._children: dict[int, Any] = {}
        self._era = 0
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [
            threading.Thread(
                target=self._serve_slot, args=(slot,), name=f"slot-{slot}", daemon=True
            )
            for slot in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn(*args)`` in a child; both must be picklable. Keywords are not supported."""
        if kwargs:
            raise TypeError("jobs take positional arguments only")
        return self._put(fn, args, last=False)

    def submit_last(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """As ``submit``, in a child that ends with the job: so much memory is not given back else."""
        return self._put(fn, args, last=True)

    def _put(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], *, last: bool
    ) -> Future[Any]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            call = _Call(Future(), function, arguments, last, self._era)
            if self._idle:
                self._calls[self._idle.pop()].put(call)
            else:
                self._waiting.append(call)
        return call.future

    def kill(self) -> None:
        """Kill every child now: transactions in flight are rolled back by their databases. What was
        submitted and has not begun never does."""
        with self._lock:
            self._era += 1
            for child in self._children.values():
                child.kill()
            self._children.clear()  # a job that comes now gets a new child, not a dying one
            waiting = list(self._waiting)
            self._waiting.clear()
        for call in waiting:
            call.future.cancel()

    def waits(self) -> list[tuple[str, float]]:
        """What the children wait for: (connection name, seconds so far), the longest first."""
        now = time.monotonic()
        found = []
        for slot in range(len(self._threads)):
            index, since = self._shares.waiting(slot)
            if index >= 0:
                found.append((self._names[index], now - since))
        return sorted(found, key=lambda wait: -wait[1])

    def set_rates(self, rows: float, size_bytes: float) -> None:
        """Bound each chunk in flight; 0.0 = no bound. Felt by running chunks at once."""
        for slot in range(len(self._threads)):
            self._shares.set_rates(slot, rows, size_bytes)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the children after the jobs that were submitted, or at once with ``cancel_futures``."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._calls[self._idle.pop()].put(None)
        if cancel_futures:
            self.kill()
        if wait:
            for thread in self._threads:
                thread.join()

    def _rest(self, slot: int) -> None:
        """Give the slot the next job, or let it be the first to get one."""
        with self._lock:
            if self._waiting:
                self._calls[slot].put(self._waiting.popleft())
            elif self._closed:
                self._calls[slot].put(None)
            else:
                self._idle.append(slot)

    def _serve_slot(self, slot: int) -> None:
        child: Any = None
        pipe: Connection | None = None
        while (call := self._calls[slot].get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                self._rest(slot)
                continue
            with self._lock:
                usable = self._children.get(slot) is child
            if child is None or pipe is None or not usable or not child.is_alive():
                self._bury(child, pipe)
                child, pipe = self._start(slot)
            with self._lock:  # from here on this child dies with the others
                begins = call.era == self._era
            succeeded, value = self._run(pipe, child, call) if begins else (False, _died(call))
            self._shares.set_waiting(slot, -1)
            if isinstance(value, ChildDied):
                self._bury(child, pipe)
                child = pipe = None
            elif call.last:
                self._end(child, pipe)
                child = pipe = None
            self._rest(slot)  # before the answer, which the next job may follow
            if succeeded:
                call.future.set_result(value)
            else:
                call.future.set_exception(value)
            del call, value  # what they hold is not kept until the next job comes
        self._end(child, pipe)
        with self._lock:
            self._children.pop(slot, None)

    @staticmethod
    def _end(child: Any, pipe: Connection | None) -> None:
        if child is None or pipe is None:
            return
        with contextlib.suppress(OSError):
            pipe.send(None)
        child.join(timeout=2)
        if child.is_alive():
            child.kill()
            child.join()
        pipe.close()

    @staticmethod
    def _bury(child: Any, pipe: Connection | None) -> None:
        if child is not None and pipe is not None:
            child.kill()
            child.join()
            pipe.close()

    def _start(self, slot: int) -> tuple[Any, Connection]:
        ours, theirs = _CONTEXT.Pipe()
        child = _CONTEXT.Process(
            target=_serve, args=(theirs, self._shares.numbers, slot, self._names), daemon=True
        )
        child.start()
        theirs.close()
        with self._lock:
            self._children[slot] = child
        return child, ours

    def _run(self, pipe: Connection, child: Any, call: _Call) -> tuple[bool, Any]:
        """Whether the job succeeded, and its result or error."""
        try:
            pipe.send((call.function, call.arguments))
            while True:
                wait([pipe, child.sentinel])
                if not pipe.poll():
                    break  # only the sentinel is ready: the child is dead and left no answer
                answer = pipe.recv()
                if isinstance(answer, Notice):
                    self._on_notice(answer)
                    continue
                return answer  # type: ignore[no-any-return]  # as _serve sends it
        except (OSError, EOFError):
            pass
        return False, _died(call)


def _serve(pipe: Connection, numbers: Any, slot: int, names: list[str]) -> None:
    """A child's life: jobs come through the pipe until it closes or the scheduler dies."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group is told to end: the scheduler drains
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    shares = _Shares.__new__(_Shares)
    shares.numbers = numbers
    index = {name: number for number, name in enumerate(names)}
    phases.listen(
        lambda name: shares.set_waiting(slot, -1 if name is None else index.get(name, -1))
    )
    throttle.set_pace(_SlotPace(shares, slot))
    lock = threading.Lock()

    def send(answer: Any) -> None:
        with lock:
            pipe.send(answer)

    listen(send)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        if job is None:
            return
        function, arguments = job
        try:
            answer = (True, function(*arguments))
        except Exception as error:
            answer = (False, sendable(error))
        send(answer)


def sendable(error: Exception) -> Exception:
    """``error`` without what cannot or must not cross: causes, tracebacks and driver objects."""
    import pickle

    error.__cause__ = error.__context__ = None
    error.__traceback__ = None
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own object
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
