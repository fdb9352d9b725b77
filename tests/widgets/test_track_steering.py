"""A loop that reports itself is paused, started again and stopped from elsewhere."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from syncmon_ext.model.state import State
from syncmon_widgets import TaskStopped, track
from syncmon_widgets.session import Session
from tests.widgets.conftest import Settle, until


def endless() -> Iterator[int]:
    number = 0
    while True:
        time.sleep(0.002)
        yield number
        number += 1


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def test_pause_holds_the_loop_and_start_lets_it_go_on(session: Session) -> None:
    done: list[int] = []
    leave = threading.Event()

    def work() -> None:
        for number in track(endless(), "cleaning"):
            done.append(number)
            if leave.is_set():
                break

    thread, raised = in_thread(work)
    task = until(lambda: session.tasks() and session.task("cleaning"))
    until(lambda: done)
    asked = time.monotonic()
    task.pause()
    assert task.wait(timeout=5) is State.PAUSED
    assert time.monotonic() - asked < 2
    held, elapsed = len(done), task.read().progress.elapsed_seconds
    time.sleep(1.2)  # two reports later
    assert len(done) == held
    seen = task.read().progress
    assert seen.rows_committed == held
    assert seen.elapsed_seconds == pytest.approx(elapsed, abs=0.05), "pauses do not count"
    task.start()
    until(lambda: len(done) > held)
    leave.set()
    thread.join(5)
    assert raised == []
    assert task.wait(timeout=5) is State.COMPLETED
    assert done == list(range(len(done))), "no item is lost or repeated"


@pytest.mark.parametrize("first_pause", [False, True])
def test_stop_raises_in_the_loop(session: Session, first_pause: bool) -> None:
    def work() -> None:
        for _ in track(endless(), "cleaning"):
            pass

    thread, raised = in_thread(work)
    task = until(lambda: session.tasks() and session.task("cleaning"))
    if first_pause:
        task.pause()
        assert task.wait(timeout=5) is State.PAUSED
    asked = time.monotonic()
    task.stop()
    thread.join(5)
    assert time.monotonic() - asked < 2
    assert [type(error) for error in raised] == [TaskStopped]
    assert "cleaning was stopped after" in str(raised[0])
    assert task.wait(timeout=5) is State.STOPPED


def test_stop_raises_in_update(session: Session) -> None:
    def work() -> None:
        with track("training") as loop:
            while True:
                time.sleep(0.005)
                loop.update(3)

    thread, raised = in_thread(work)
    until(lambda: session.tasks() and session.task("training")).stop()
    thread.join(5)
    assert [type(error) for error in raised] == [TaskStopped]


def test_stop_is_not_swallowed_by_a_loop_that_goes_on_after_errors(session: Session) -> None:
    done: list[int] = []

    def work() -> None:
        with track("robust", total=10_000) as loop:
            for number in range(10_000):
                try:
                    time.sleep(0.002)
                    done.append(number)
                    loop.update()
                except Exception:  # noqa: S112  # as careless programs do
                    continue

    thread, raised = in_thread(work)
    task = until(lambda: session.tasks() and session.task("robust"))
    task.stop()
    thread.join(5)
    assert [type(error) for error in raised] == [TaskStopped]
    assert len(done) < 10_000
    assert task.wait(timeout=5) is State.STOPPED
    again = pickle.loads(pickle.dumps(raised[0]))  # noqa: S301  # one's own
    assert (str(again), again.hint) == (str(raised[0]), "run it again to begin anew")


def test_async_loop_is_tracked_paused_and_stopped(session: Session, settled: Settle) -> None:
    beats: list[float] = []

    async def rows() -> AsyncIterator[int]:
        for number in range(100_000):
            await asyncio.sleep(0.002)
            yield number

    async def beat() -> None:
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def work() -> int:
        beating = asyncio.create_task(beat())
        last = -1
        try:
            async for row in track(rows(), "async"):
                last = row
        except TaskStopped:
            return last
        finally:
            beating.cancel()
        return -2

    found: list[int] = []
    thread, raised = in_thread(lambda: found.append(asyncio.run(work())))
    task = until(lambda: session.tasks() and session.task("async"))
    task.pause()
    assert task.wait(timeout=5) is State.PAUSED
    before = len(beats)
    until(lambda: len(beats) > before + 20)  # the event loop goes on
    task.start()
    task.stop()
    thread.join(5)
    assert raised == []
    assert found[0] > 0
    settled()
    assert task.state is State.STOPPED
    assert session.task("async").read().progress.rows_committed == found[0] + 1
