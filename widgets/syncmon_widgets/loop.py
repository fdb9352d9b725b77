"""``track``: any loop, monitored and steered like a task."""

from __future__ import annotations

import operator
import sys
import traceback
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextvars import ContextVar
from types import CodeType, GeneratorType, TracebackType
from typing import Any, Final, Generic, TypeVar, final, overload

from syncmon_ext.model.log import Level
from syncmon_ext.model.loop import LONGEST_NAME, Phase
from syncmon_widgets.counter import counter
from syncmon_widgets.held_loops import may_be_held
from syncmon_widgets.iterations import total_of, whole
from syncmon_widgets.loop_exit import Departure, Way, departure, listen, on_error
from syncmon_widgets.loop_run import LoopRun
from syncmon_widgets.reporter import Reporter, reporter
from syncmon_widgets.stopped import TaskStopped

T = TypeVar("T")
_NOTHING: Final = object()
_LOOK_SECONDS: Final = 0.2  # how soon a paused `async for` hears that it may go on

_active: ContextVar[tuple[LoopRun, ...]] = ContextVar("syncmon_loops", default=())


@overload
def track(iterable: str, name: None = None, *, total: float | None = None) -> Loop[Any]: ...


@overload
def track(
    iterable: Iterable[T] | AsyncIterable[T], name: str | None = None, *, total: float | None = None
) -> Loop[T]: ...


def track(iterable: Any, name: str | None = None, *, total: float | None = None) -> Loop[Any]:
    """Show a loop as a task: on the page, in the log, in pandas, with Pause and Stop.

        for row in track(rows, "cleaning"): …
        async for row in track(rows, "cleaning"): …
        with track("training", total=100) as loop: loop.update(10)

    ``total`` is the number of iterations where ``len`` does not tell it. Pause holds the loop before its
    next iteration; Stop raises TaskStopped there. A loop inside another one is shown if it takes
    longer than half a second.
    """
    if isinstance(iterable, str) and name is None:
        return Loop(None, iterable, total)
    if total is None:
        hint = operator.length_hint(iterable, -1)
        total = None if hint < 0 else hint
    return Loop(iterable, name or "loop", total)


@final
class Loop(Generic[T]):
    """A loop that reports itself: iterate over it, or use it as a context manager.

    As a context manager around a ``for`` it is one run, whose exceptions are known exactly. Iterated
    again, it is a new run of the same task.
    """

    def __init__(
        self,
        iterable: Iterable[T] | AsyncIterable[T] | None,
        name: str,
        total: float | None,
        *,
        through: Reporter | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a loop is {name!r}; give it a text")
        name = str(name).strip()[:LONGEST_NAME]
        if not name:
            raise ValueError("the name of a loop is empty; give it one")
        self.name = name
        self.total = total_of(total)
        self._iterable = iterable
        self._through = through
        self._run: LoopRun | None = None
        self._turn_to: Callable[[LoopRun], None] | None = None
        self._inside = False  # a with statement

    def __repr__(self) -> str:
        run = self._run
        done = "" if run is None else f", {whole(run.done):,} done, {run.phase}"
        return f"<loop {self.name!r}{done}>"

    @property
    def task_id(self) -> str | None:
        """The id of the task that shows the loop; None before it was reported first."""
        return self._run.task_id if self._run else None

    @property
    def run(self) -> LoopRun | None:
        """The present run, or the last one; None before the first."""
        return self._run

    @property
    def done(self) -> int:
        """Whole iterations done in the present run, or the last one."""
        return whole(self._run.done) if self._run else 0

    # -- steps -----------------------------------------------------------------------------------

    def update(self, n: float = 1) -> None:
        """Count ``n`` iterations more, from any thread; raises TaskStopped, and waits while paused.

        Numbers of any kind; fractions add up, and the whole iterations show.
        """
        self._running().add(n)  # from the first run on, a counter stands in this one's place

    def log(self, message: str, level: str = "info") -> None:
        """Add a line to the task's log; ``level`` is info, success, warning or error."""
        self._running().say(Level(level), str(message))

    def note(self, text: str | None) -> None:
        """Say what the loop is at: it stands beside the bar."""
        self._running().note = str(text)[:LONGEST_NAME] or None if text is not None else None

    def _running(self) -> LoopRun:
        if self._run is None:
            raise RuntimeError(f"loop {self.name!r} has not begun: iterate over it, or use `with`")
        return self._run

    def begin(self) -> None:
        """Begin a run, as ``with`` does; for programs that call ``end`` themselves."""
        self._run = run = (self._through or reporter()).begin(
            self.name, self.total, nested=any(not run.ended for run in _active.get())
        )
        if self._turn_to is None:
            vars(self)["update"], self._turn_to = counter(run)
        else:
            self._turn_to(run)
        _active.set((*_active.get(), run))
        listen()

    def end(self, error: BaseException | None = None) -> None:
        """End the run, as ``with`` does."""
        finish(self._running(), error)

    # -- with ------------------------------------------------------------------------------------

    def __enter__(self) -> Loop[T]:
        self.begin()
        self._inside = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside = False
        self.end(error)

    async def __aenter__(self) -> Loop[T]:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    # -- for -------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError(f"the length of loop {self.name!r} is unknown")
        return self.total

    def __bool__(self) -> bool:
        return True  # a loop of no iterations is a loop

    def __iter__(self) -> Iterator[T]:
        if not isinstance(self._iterable, Iterable):
            raise TypeError(f"loop {self.name!r} has nothing to iterate over; use it in a `with`")
        if self._inside:
            return _steps(self._running(), self._iterable)
        return counted(self._begun, self._iterable)

    def _begun(self) -> LoopRun:
        self.begin()
        return self._running()

    def __aiter__(self) -> AsyncIterator[T]:
        if not isinstance(self._iterable, AsyncIterable):
            raise TypeError(f"loop {self.name!r} has nothing to `async for` over")
        return _AsyncSteps(self, self._iterable, whole=not self._inside)


def counted(begin: Callable[[], LoopRun], iterable: Iterable[T]) -> Iterator[T]:
    """The items of a loop that is one run, from ``begin`` to however it is left."""
    run = begin()
    consumer = sys._getframe(1).f_code
    if may_be_held(consumer):
        run.consumer = consumer
    item: Any = _NOTHING
    try:
        # As in _steps: a generator inside a generator would cost as much once more.
        for run.done, item in enumerate(iterable, whole(run.done)):  # noqa: B020  # it counts, in place
            yield item
            if run.gate:
                _hold(run)
        if item is not _NOTHING:
            run.done += 1
    except GeneratorExit:
        _end_left(run, _departure(consumer))
        raise
    except BaseException as error:
        finish(run, error)
        raise
    else:
        finish(run, None)
    finally:
        _leave(run)


def _steps(run: LoopRun, iterable: Iterable[T]) -> Iterator[T]:
    """The items inside a ``with``. On the way, one attribute is written and one is read."""
    item: Any = _NOTHING
    for run.done, item in enumerate(iterable, whole(run.done)):  # noqa: B020  # it counts, in place
        yield item
        if run.gate:
            _hold(run)
    if item is not _NOTHING:
        run.done += 1


def _hold(run: LoopRun) -> None:
    run.done += 1  # the body of this iteration is done
    run.hold()


class _AsyncSteps(AsyncIterator[T]):
    """The items of an ``async for``, counted."""

    def __init__(self, loop: Loop[T], iterable: AsyncIterable[T], *, whole: bool) -> None:
        self._loop = loop
        self._items = aiter(iterable)
        self._whole = whole
        self._begun = False
        self._in_body = False

    def __aiter__(self) -> _AsyncSteps[T]:
        return self

    async def __anext__(self) -> T:
        if self._whole and not self._begun:
            self._loop.begin()
        self._begun = True
        run = self._loop._running()
        if self._in_body:
            run.done += 1
            self._in_body = False
        try:
            if run.gate:
                import asyncio

                while not run.may_go_on():
                    await asyncio.to_thread(run.wait, _LOOK_SECONDS)
            item = await anext(self._items)
        except StopAsyncIteration:
            if self._whole:
                self._loop.end()
            raise
        except BaseException as error:
            if self._whole:
                self._loop.end(error)
            raise
        self._in_body = True
        return item

    def __del__(self) -> None:
        if not self._whole or not self._begun:
            return
        run = self._loop._running()
        if run.ended:
            return
        _end_left(run, _departure(None))
        _leave(run)


def finish(run: LoopRun, error: BaseException | None) -> None:
    """End a run: completed, stopped or failed."""
    run.end_by(error)
    _leave(run)


def _departure(consumer: CodeType | None) -> Departure | Way:
    """How the loop is left whose generator, or iterator, asks."""
    try:
        frame = sys._getframe(2)
    except ValueError:  # the program is over: nothing runs the loop
        return Way.UNKNOWN
    return departure(frame, consumer)


def _end_left(run: LoopRun, left: Departure | Way) -> None:
    """End a run that was left before its items came to their end.

    What one left by ``break`` is done. Where nobody asked for more, for whatever reason, that is not known
    to be so: short of its total such a loop is stopped.
    """
    if isinstance(left, Departure):
        run.end(Phase.FAILED, departure=left)
        return
    done = whole(run.done)
    if left is Way.CHOSEN or run.total is None or done >= run.total:
        run.end(Phase.COMPLETED)
        return
    if not run.ended:
        run.say(Level.WARNING, f"ended early, {done:,} of {run.total:,}: nobody asked for more")
    run.end(Phase.STOPPED)


def _fail_held(error: BaseException) -> None:
    """End the loops whose items a traceback holds.

    A comprehension or a generator keeps its iterator in a variable, and the traceback keeps that:
    such a loop is not told that it is over.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, GeneratorType) and value.gi_code is counted.__code__:
                inner = value.gi_frame
                run = inner.f_locals.get("run") if inner is not None else None
                if isinstance(run, LoopRun):
                    finish(run, error)


on_error(_fail_held)


def _leave(run: LoopRun) -> None:
    _active.set(tuple(other for other in _active.get() if other is not run))


def innermost() -> LoopRun | None:
    """The innermost loop that is active here; in a thread of its own, the newest of the program."""
    mine = [run for run in _active.get() if not run.ended]
    return mine[-1] if mine else reporter().newest()


__all__ = ["Loop", "TaskStopped", "innermost", "track"]
