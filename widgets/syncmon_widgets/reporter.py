"""The thread that reports the loops of this program, twice a second, and hears their orders."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.model.log import Level
from syncmon_ext.model.loop import MOST_ENTRIES, LoopEntry, LoopOrders, LoopReport, NewLoop, Phase
from syncmon_ext.model.state import State
from syncmon_widgets.held_loops import HeldLoops
from syncmon_widgets.iterations import total_of, whole
from syncmon_widgets.loop_exit import last_line
from syncmon_widgets.loop_run import ENDS, LoopRun

REPORT_SECONDS: Final = 0.5
SLOWEST_SECONDS: Final = 5.0  # between two tries while nobody answers
SHORT_SECONDS: Final = 0.5  # a loop inside another one that is shorter is not shown
TEXT_SECONDS: Final = 1.0  # for an exception that left a loop to be shown
SETTLE_SECONDS: Final = 2.0  # that a look at the tasks waits for what the loops have to say
FLUSH_SECONDS: Final = 10.0  # at the end of the program; less where nobody answers
REPORT_BYTES: Final = 700_000  # of entries in one report; a server takes bodies of 1 MiB
ENTRY_BYTES: Final = 120  # of an entry besides its message
FORK_SECONDS: Final = 2.0  # that a fork waits for a report on its way
LINGER_SECONDS: Final = 10.0  # a thread without loops; the next loop finds it ready

_log = logging.getLogger(__name__)


class LoopLine(Protocol):
    """Where reports go: a server, or the store. Raises SyncmonError."""

    def begin_loop(self, loop: NewLoop) -> LoopOrders:
        """Show a loop that begins."""

    def report_loop(self, task_id: str, report: LoopReport) -> LoopOrders:
        """Take a report in."""

    def close(self) -> None:
        """Give the connections back."""


class _Reported(msgspec.Struct):
    """What was said about a run, in the reporter's thread only."""

    run: LoopRun
    nested: bool
    orders: LoopOrders | None = None
    pending: LoopReport | None = None  # sent and not answered yet: it is sent again as it was
    number: int = 0
    due: float = 0.0  # on the monotonic clock
    failures: int = 0
    reopened: bool = False  # the line, since the last answer
    ended_at: float | None = None


class Reporter:
    """Reports the loops of one program. ``open_line`` is called in the thread, when first needed."""

    def __init__(self, open_line: Callable[[], LoopLine]) -> None:
        self._open_line = open_line
        self._line: LoopLine | None = None
        self._lock = threading.Lock()
        self._spoke = threading.Condition(self._lock)
        self._new: list[_Reported] = []
        self._known: list[_Reported] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._held = HeldLoops()

    def begin(self, name: str, total: int | None, *, nested: bool) -> LoopRun:
        """A run that is reported from now on."""
        run = LoopRun(name, total, self._wake.set)
        if _is_child():
            run.flush = self.settle
        with self._lock:
            self._new.append(_Reported(run=run, nested=nested))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._work, name="syncmon-loops", daemon=True
                )
                self._thread.start()
        self._wake.set()
        return run

    def newest(self) -> LoopRun | None:
        """The loop that began last and is not over."""
        with self._lock:
            active = [r.run for r in (*self._known, *self._new) if not r.run.ended]
        return active[-1] if active else None

    def settle(self, timeout: float = SETTLE_SECONDS) -> None:
        """Wait until loops that began are shown, and loops that ended are shown as that."""
        with self._spoke:
            if threading.current_thread() is not self._thread:
                self._spoke.wait_for(
                    lambda: not self._new and not any(map(_is_news, self._known)), timeout
                )

    def close(self, timeout: float = FLUSH_SECONDS) -> None:
        """Report what is left; loops that are not over have lost their program."""
        with self._lock:
            left = [*self._known, *self._new]
            thread = self._thread
        for reported in left:
            if not reported.run.ended:
                reported.run.end(Phase.FAILED, "the program ended before the loop did")
        self._closing = True
        self._wake.set()
        if thread is not None and thread.is_alive():
            thread.join(timeout)

    # -- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        idle_since = time.monotonic()
        while True:
            with self._lock:
                self._known += self._new
                self._new = []
            self._held.look(reported.run for reported in self._known)
            now = time.monotonic()
            for reported in list(self._known):
                if self._is_due(reported, now):
                    with _speaking:
                        self._speak(reported)
            with self._spoke:
                self._spoke.notify_all()
                if self._known or self._new:
                    idle_since = now
                elif self._closing or now - idle_since > LINGER_SECONDS:
                    self._thread = None
                    return
            self._wake.wait(self._pause())
            self._wake.clear()

    def _pause(self) -> float:
        if not self._known:
            return REPORT_SECONDS if self._closing else LINGER_SECONDS
        next_due = min(reported.due for reported in self._known)
        return min(max(0.01, next_due - time.monotonic()), REPORT_SECONDS)

    def _is_due(self, reported: _Reported, now: float) -> bool:
        run = reported.run
        if reported.nested and reported.orders is None:
            if run.ended and run.elapsed_seconds() < SHORT_SECONDS:
                self._known.remove(reported)
                return False
            if run.elapsed_seconds() < SHORT_SECONDS:
                reported.due = now + SHORT_SECONDS / 2
                return False
        if run.ended and reported.ended_at is None:
            reported.ended_at = now
        news = run.phase is not Phase.RUNNING and not reported.failures
        told = reported.orders is not None and (
            run.phase is Phase.WAITING and reported.orders.state is State.PAUSED
        )
        return now >= reported.due or (news and not told)

    def _speak(self, reported: _Reported) -> None:
        try:
            if self._line is None:
                self._line = self._open_line()
            self._report(self._line, reported)
        except SyncmonError as error:
            if error.status in (401, 403) and not reported.reopened:
                # The server was started anew, with another token: it is looked for once more.
                reported.reopened = True
                self._drop_line()
                return
            if _is_final(error):
                self._give_up(reported, error)
                return
            if not reported.failures:
                _log.warning("loop %s cannot report: %s", reported.run.name, error.message)
            reported.failures += 1
            if self._closing:
                self._known.remove(reported)
                return
            wait = min(REPORT_SECONDS * 2**reported.failures, SLOWEST_SECONDS)
            reported.due = time.monotonic() + wait
        except Exception as error:  # a loop must never fail for being watched
            _log.exception("loop %s cannot report", reported.run.name)
            self._give_up(reported, error)

    def _report(self, line: LoopLine, reported: _Reported) -> None:
        run = reported.run
        if reported.orders is None:
            from syncmon_ext.sync.lease import this_process

            reported.orders = line.begin_loop(
                NewLoop(
                    run_id=run.run_id,
                    name=run.name,
                    owner=this_process(),
                    total=run.total,
                    elapsed_seconds=run.elapsed_seconds(),
                )
            )
            run.task_id = reported.orders.task_id
        if reported.pending is None:
            reported.number += 1
            reported.pending = _report_of(run, reported.orders, reported.number)
        answer = line.report_loop(reported.orders.task_id, reported.pending)
        for _ in reported.pending.entries:
            run.entries.popleft()
        over = reported.pending.phase in ENDS
        more = bool(run.entries)
        reported.pending, reported.orders, reported.failures = None, answer, 0
        reported.reopened = False
        reported.due = time.monotonic() + (0.0 if more or run.ended else REPORT_SECONDS)
        run.tell(answer.state)
        if over:
            self._known.remove(reported)

    def _drop_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _give_up(self, reported: _Reported, error: Exception) -> None:
        """The loop goes on, unseen; its task does not stay running for ever."""
        run = reported.run
        _log.warning("loop %s is not shown any more: %s", run.name, error)
        run.tell(State.RUNNING)
        self._known.remove(reported)
        if reported.orders is None or self._line is None:
            return
        over = run.phase in ENDS and run.phase is not Phase.FAILED
        said = f"the loop could not report any more: {last_line(error)}"
        # Nothing in it is the loop's own, for that may be what cannot be sent.
        farewell = LoopReport(
            run_id=run.run_id,
            token=reported.orders.token,
            number=max(1, reported.number),
            phase=run.phase if over else Phase.FAILED,
            rows_committed=whole(run.done),
            elapsed_seconds=run.elapsed_seconds(),
            error=None if over else said,
        )
        with contextlib.suppress(Exception):  # it cannot be told then, as it was said
            self._line.report_loop(reported.orders.task_id, farewell)


def _report_of(run: LoopRun, orders: LoopOrders, number: int) -> LoopReport:
    phase = run.phase  # read before the count: what ended does not count on
    error = run.error
    if phase is Phase.FAILED and run.departure is not None:
        error = run.departure.text(TEXT_SECONDS)
    entries = _first_entries(run)
    if phase in ENDS and len(run.entries) > len(entries):
        phase = Phase.RUNNING  # first the rest of the log
    return LoopReport(
        run_id=run.run_id,
        token=orders.token,
        number=number,
        phase=phase,
        rows_committed=whole(run.done),
        elapsed_seconds=run.elapsed_seconds(),
        total=total_of(run.total),
        note=run.note,
        error=error,
        entries=entries,
    )


def _first_entries(run: LoopRun) -> list[LoopEntry]:
    """The oldest entries that make one report; the loop may add to them meanwhile."""
    if run.dropped and not run.entries:
        dropped, run.dropped = run.dropped, 0
        run.say(Level.WARNING, f"{dropped:,} entries were dropped: they came too fast")
    found: list[LoopEntry] = []
    size = 0
    for at in range(min(len(run.entries), MOST_ENTRIES)):
        size += 4 * len(run.entries[at].message) + ENTRY_BYTES
        if found and size > REPORT_BYTES:
            break
        found.append(run.entries[at])
    return found


def _is_final(error: SyncmonError) -> bool:
    """Whether trying again is of no use."""
    return error.status in (400, 401, 403, 404, 409, 413, 422)


def _is_news(reported: _Reported) -> bool:
    """Whether something that is worth waiting for is about to be said."""
    untold = reported.orders is None and not reported.nested
    return (untold or reported.run.ended) and not reported.failures


_reporter: Reporter | None = None
_forked = False
_speaking = threading.RLock()
_held_still = False


def _is_child() -> bool:
    """Whether this process works for another one, which may end it once its work is handed back."""
    process = sys.modules.get("multiprocessing.process")
    return _forked or (process is not None and process.parent_process() is not None)


def settle() -> None:
    """What the loops of this program have to say is said; where there are none this costs nothing."""
    if _reporter is not None:
        _reporter.settle()


def reporter() -> Reporter:
    """The reporter of this program."""
    global _reporter
    if _reporter is None:
        from syncmon_widgets.session import open_line

        _reporter = Reporter(open_line)
        atexit.register(_close)
        if _is_child():  # what multiprocessing starts by a fork ends without atexit
            from multiprocessing.util import Finalize

            Finalize(None, _close, exitpriority=0)
    return _reporter


def _close() -> None:
    if _reporter is not None:
        _reporter.close()


def _forget() -> None:
    """A forked child does not speak for its parent's loops."""
    global _reporter, _forked, _speaking
    _forked, _speaking = True, threading.RLock()
    if _reporter is not None:
        _reporter = None
        atexit.unregister(_close)


def _hold_still() -> None:
    """A fork in the midst of a report would leave the child half-imported modules and locks for ever."""
    global _held_still
    _held_still = _speaking.acquire(timeout=FORK_SECONDS)


def _go_on() -> None:
    if _held_still:
        _speaking.release()


os.register_at_fork(before=_hold_still, after_in_parent=_go_on, after_in_child=_forget)
