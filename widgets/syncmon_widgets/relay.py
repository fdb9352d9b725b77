"""Reads tasks for all monitors of a backend, in one thread that rests when nobody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

import msgspec

from syncmon_ext.model.errors import SyncmonError, TaskNotFound
from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ENDED, State
from syncmon_widgets.backend import Backend, LogQuery

FAST_SECONDS: Final = 0.5  # between two reads while a display lives from them
STEADY_SECONDS: Final = 1.0  # between two reads for the traits alone
REST_SECONDS: Final = 2.0  # while nothing moves: somebody may start it
ALIVE_SECONDS: Final = 3.0  # a display that hears nothing for 8 s says so
TAIL_ENTRIES: Final = 200  # of a log; the whole of it is in ``task.logs()``
FEW_TASKS: Final = 3  # are read one by one, more of them as one list

_REST: Final = ENDED | {State.PAUSED, State.IDLE}


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What was read: the tasks' progress, the logs' tails, or why there is neither."""

    progress: dict[str, Progress] = {}
    logs: dict[str, tuple[LogEntry, ...]] = {}  # the newest entries, oldest first
    error: str | None = None


class Listener(Protocol):
    """Who is told; is called in the relay's thread."""

    @property
    def scope(self) -> tuple[str, ...] | None:
        """The tasks whose progress is wanted; None: all of them."""

    @property
    def chosen(self) -> str | None:
        """The task that is wanted with all its units and its log."""

    @property
    def displayed(self) -> bool:
        """Whether a display lives from the news."""

    def take(self, news: News) -> None:
        """Take what was read."""


class Relay:
    """Reads for listeners as long as there are any."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._tails: dict[str, _Tail] = {}

    def add(self, listener: Listener) -> None:
        """Tell ``listener`` from now on."""
        with self._lock:
            self._listeners.append(listener)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._read_on, name="syncmon-relay", daemon=True
                )
                self._thread.start()
        self._wake.set()

    def remove(self, listener: Listener) -> None:
        """Tell ``listener`` nothing any more."""
        with self._lock:
            self._listeners = [one for one in self._listeners if one is not listener]
        self._wake.set()

    def hurry(self) -> None:
        """Read now: something was chosen or pressed."""
        self._wake.set()

    def read(self, listeners: list[Listener]) -> News:
        """One look at everything that ``listeners`` want. Never raises."""
        chosen = {one.chosen for one in listeners if one.chosen is not None}
        try:
            progress = self._progress(listeners, chosen)
            logs = {task_id: self._tail(task_id, progress.get(task_id)) for task_id in chosen}
        except SyncmonError as error:
            return News(error=error.message)
        return News(progress=progress, logs=logs)

    def _progress(self, listeners: list[Listener], chosen: set[str]) -> dict[str, Progress]:
        named = {task_id for one in listeners for task_id in one.scope or ()}
        everything = any(one.scope is None for one in listeners)
        found: dict[str, Progress] = {}
        if everything or len(named - chosen) > FEW_TASKS:
            for view in self._backend.tasks():
                if everything or view.task_id in named:
                    found[view.task_id] = view.progress
            chosen = chosen & set(found)  # one that was removed is no error
        else:
            chosen = chosen | named
        gone: SyncmonError | None = None
        for task_id in sorted(chosen):
            try:
                found[task_id] = self._backend.progress(task_id)
            except SyncmonError as error:
                if error.code != TaskNotFound.code:
                    raise
                gone = error
        if gone is not None and not found:
            raise gone
        return found

    def _tail(self, task_id: str, progress: Progress | None) -> tuple[LogEntry, ...]:
        tail = self._tails.setdefault(task_id, _Tail())
        if progress is None:
            return ()
        if tail.read_at != (progress.run_id, progress.updated_at) or progress.state not in _REST:
            tail.read(self._backend, task_id)
            tail.read_at = (progress.run_id, progress.updated_at)
        return tail.entries

    def _read_on(self) -> None:
        while True:
            self._wake.clear()
            with self._lock:
                listeners = list(self._listeners)
                if not listeners:
                    self._thread = None
                    return
            try:
                news = self.read(listeners)
            except RuntimeError:  # the session was closed under the monitors
                with self._lock:
                    self._listeners.clear()
                    self._thread = None
                return
            for listener in listeners:
                listener.take(news)
            self._wake.wait(pause_after(news, any(one.displayed for one in listeners)))


class _Tail:
    """The newest entries of one log."""

    def __init__(self) -> None:
        self.entries: tuple[LogEntry, ...] = ()
        self.read_at: tuple[Any, Any] | None = None

    def read(self, backend: Backend, task_id: str) -> None:
        if self.entries:
            query = LogQuery(after=self.entries[-1].seq)
            newer = entries_of(backend.logs(task_id, query, TAIL_ENTRIES))
            if len(newer) < TAIL_ENTRIES:
                self.entries = (*self.entries, *newer)[-TAIL_ENTRIES:]
                return
        self.entries = tuple(entries_of(backend.logs(task_id, LogQuery(), TAIL_ENTRIES)))


def entries_of(table: Any) -> list[LogEntry]:
    """The rows of an Arrow table of log entries."""
    rows: list[dict[str, Any]] = table.to_pylist()
    return msgspec.convert(rows, list[LogEntry])


def pause_after(news: News, displayed: bool) -> float:
    """Seconds until the next read."""
    if all(progress.state in _REST for progress in news.progress.values()):
        return REST_SECONDS
    return FAST_SECONDS if displayed else STEADY_SECONDS


class Changes:
    """What a display has not been sent yet."""

    def __init__(self) -> None:
        self._forget = threading.Event()
        self._begin()

    def _begin(self) -> None:
        self._progress: dict[str, Progress] = {}
        self._seqs: dict[str, int] = {}
        self._error: str | None = None
        self._said_at = float("-inf")

    def forget(self) -> None:
        """The display begins anew: all of the next news are new."""
        self._forget.set()

    def message(
        self, news: News, clock: Callable[[], float] = time.monotonic
    ) -> dict[str, Any] | None:
        """The message that says what is new; None: nothing, and it was said a moment ago."""
        if self._forget.is_set():
            self._forget.clear()
            self._begin()
        progress = [p for task_id, p in news.progress.items() if self._progress.get(task_id) != p]
        logs = [
            entry
            for task_id, tail in news.logs.items()
            for entry in tail
            if entry.seq > self._seqs.get(task_id, 0)
        ]
        tasks = news.error is None and news.progress.keys() != self._progress.keys()
        quiet = not progress and not logs and not tasks and news.error == self._error
        if quiet and clock() - self._said_at < ALIVE_SECONDS:
            return None
        if news.error is None:
            self._progress = dict(news.progress)
        self._seqs |= {task_id: tail[-1].seq for task_id, tail in news.logs.items() if tail}
        self._error, self._said_at = news.error, clock()
        found = msgspec.to_builtins({"progress": progress, "logs": logs})
        return {"type": "news", "tasks": tasks, "error": news.error, **found}


# By the backend's id, which is its own as long as the relay, which holds it, lives.
_RELAYS: WeakValueDictionary[int, Relay] = WeakValueDictionary()
_RELAYS_LOCK = threading.Lock()


def relay_of(backend: Backend) -> Relay:
    """The one relay of ``backend``."""
    with _RELAYS_LOCK:
        relay = _RELAYS.get(id(backend))
        if relay is None:
            relay = _RELAYS[id(backend)] = Relay(backend)
        return relay
