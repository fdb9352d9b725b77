"""How a loop that reports itself is seen to have ended: whole, left, failed, or with its process."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from syncmon_ext.model.loop import Phase
from syncmon_ext.model.state import State
from syncmon_widgets import reporter as reporters
from syncmon_widgets import track
from syncmon_widgets.session import Session
from tests.widgets.conftest import Settle, messages, until


def test_break_is_no_failure(session: Session, settled: Settle) -> None:
    for row in track(range(10), "cleaning"):
        if row == 4:
            break
    settled()
    assert session.task("cleaning").state is State.COMPLETED
    assert messages(session, "cleaning")[-1] == (
        "success",
        "completed: 4 iterations of 10: the loop was left",
    )


def test_exception_in_the_body_fails_the_loop(session: Session, settled: Settle) -> None:
    with pytest.raises(ZeroDivisionError):
        for row in track([2, 1, 0], "cleaning"):
            1 / row
    settled()
    seen = session.task("cleaning").read().progress
    assert seen.state is State.FAILED
    assert seen.rows_committed == 2
    assert "1 / row" in str(seen.error) or "ZeroDivisionError" in str(seen.error)


def test_caught_exception_is_a_failure_and_named(session: Session, settled: Settle) -> None:
    with contextlib.suppress(ZeroDivisionError):
        [1 / (3 - row) for row in track(range(10), "comprehension")]
    with contextlib.suppress(ZeroDivisionError):
        for row in track(range(10), "for"):
            1 / (3 - row)
    settled()
    seen = {task.task_id: task.read().progress for task in session.tasks()}
    assert {(p.state, p.rows_committed, p.rows_total) for p in seen.values()} == {
        (State.FAILED, 3, 10)
    }
    assert seen["for"].error == "ZeroDivisionError: division by zero"
    assert "1 / (3 - row)" in str(seen["comprehension"].error) or (
        seen["comprehension"].error == "ZeroDivisionError: division by zero"
    )


def test_loop_whose_exception_is_kept_is_failed_and_named(
    session: Session, settled: Settle
) -> None:
    """As in a notebook, whose last exception stays, with all that its frames held."""

    def listed(name: str) -> None:
        [1 / (3 - row) for row in track(range(10), name)]

    def summed(name: str) -> None:
        sum(1 / (3 - row) for row in track(range(10), name))

    def zipped(name: str) -> None:
        [
            1 / (3 - row)
            for row, _ in zip(track(range(10), name), enumerate("abcdefg"), strict=False)
        ]

    def far(name: str) -> None:
        listed(name)

    kept = []
    for way in (listed, summed, zipped, far):
        try:
            way(way.__name__)
        except ZeroDivisionError as error:
            kept.append(error)
        task = session.task(way.__name__)
        until(lambda task=task: task.read().progress.state is State.FAILED)
        seen = task.read().progress
        assert seen.error == "ZeroDivisionError: division by zero"
        assert seen.rows_committed == 3
    assert len(kept) == 4


def test_loop_that_may_go_on_is_not_ended_for_a_kept_exception(
    session: Session, settled: Settle
) -> None:
    items = iter(track(range(6), "shared"))
    kept = []
    try:
        [1 / (3 - row) for row in items]
    except ZeroDivisionError as error:
        kept.append(error)
    waiting = (row for row in track(range(6), "suspended"))
    next(waiting)
    until(lambda: len(reporters.reporter()._known) == 2)
    runs = [reported.run for reported in reporters.reporter()._known]
    # Each of them was looked at, and left alone.
    looked = [run for run in runs if run.consumer is not None]
    until(lambda: looked and all(run.searched_done == run.done for run in looked))
    assert {run.phase for run in runs} == {Phase.RUNNING}
    assert list(items) == [4, 5]
    assert list(waiting) == [1, 2, 3, 4, 5]
    settled()
    assert session.task("shared").read().progress.state is State.COMPLETED
    assert kept


def test_loop_after_one_that_is_kept_is_not_inside_it(session: Session, settled: Settle) -> None:
    kept = []
    try:
        [1 / (3 - row) for row in track(range(10), "kept")]
    except ZeroDivisionError as error:
        kept.append(error)
    task = session.task("kept")
    until(lambda: task.read().progress.state is State.FAILED)
    list(track(range(3), "short"))
    settled()
    assert session.task("short").read().progress.state is State.COMPLETED
    assert kept


def test_loop_short_of_its_total_is_not_completed(session: Session, settled: Settle) -> None:
    def first_negative(numbers: Iterator[float]) -> bool:
        return any(number < 0 for number in numbers)

    with contextlib.suppress(ZeroDivisionError):
        sum(1 / (3 - row) for row in track(range(10), "summed"))
    assert first_negative(1 - row for row in track(range(10), "searched"))
    assert len(list(zip(track(range(10), "zipped"), range(4), strict=False))) == 4
    assert len(list(zip(track(range(4), "whole"), range(4), strict=False))) == 4
    settled()
    states = {task.task_id: task.state for task in session.tasks()}
    assert states == {
        "summed": State.STOPPED,
        "searched": State.STOPPED,
        "zipped": State.STOPPED,
        "whole": State.COMPLETED,
    }
    seen = session.task("summed").read().progress
    assert (seen.rows_committed, seen.rows_total, seen.overall_progress) == (3, 10, 30.0)
    assert ("warning", "ended early, 3 of 10: nobody asked for more") in messages(session, "summed")


def test_exception_of_the_iterable_fails_the_loop(session: Session, settled: Settle) -> None:
    def rows() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk"):
        list(track(rows(), "cleaning"))
    settled()
    assert session.task("cleaning").read().progress.error == "OSError: the disk is gone"


def test_with_knows_its_exception(session: Session, settled: Settle) -> None:
    with pytest.raises(RuntimeError), track(range(5), "cleaning") as loop:
        for row in loop:
            loop.log(f"row {row}", "warning")
            if row == 2:
                raise RuntimeError("no luck")
    settled()
    seen = session.task("cleaning").read().progress
    assert (seen.error, seen.rows_committed) == ("RuntimeError: no luck", 2)
    said = messages(session, "cleaning")
    assert [entry for entry in said if entry[0] == "warning"] == [
        ("warning", f"row {row}") for row in range(3)
    ]


def test_async_body_that_fails(session: Session, settled: Settle) -> None:
    async def rows() -> AsyncIterator[int]:
        for number in range(9):
            yield number

    async def work(limit: int | None) -> None:
        async for row in track(rows(), "async", total=9):
            if row == limit:
                break
            if row == 5:
                raise ValueError("five")

    asyncio.run(work(3))
    settled()
    assert session.task("async").state is State.COMPLETED
    with pytest.raises(ValueError, match="five"):
        asyncio.run(work(None))
    settled()
    assert session.task("async").state is State.FAILED
    assert session.task("async").read().progress.rows_committed == 5


PROGRAM = """
import sys
from syncmon_widgets import track
if sys.argv[1] == "comprehension":
    [1 / x for x in track([2, 1, 0], "script")]
if sys.argv[1] == "for":
    for x in track([2, 1, 0], "script"):
        1 / x
if sys.argv[1] == "exit":
    steps = iter(track([2, 1, 0], "script"))
    next(steps)
"""


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("for", "ZeroDivisionError: division by zero"),
        ("comprehension", "ZeroDivisionError: division by zero"),
        ("exit", "the program ended before the loop did"),
    ],
)
def test_script_that_ends_has_reported(session: Session, how: str, error: str) -> None:
    """The environment names the test's own store."""
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True)
    assert session.task("script").read().progress.error == error


def test_loop_is_seen_as_over_at_once(session: Session) -> None:
    for _ in range(3):
        for _ in track(range(10), "quick"):
            pass
        assert session.task("quick").state == "completed"


FORKING = """
import multiprocessing, os, sys
from syncmon_widgets import track
made_before = track(range(5), "made-before")
def count(name):
    return sum(1 for _ in track(range(5), name))
def go_through_made_before():
    list(made_before)
def fail():
    for n in track([1, 0], "failing"):
        1 / n
context = multiprocessing.get_context("fork")
assert count("parent") == 5
children = [context.Process(target=count, args=(f"child-{n}",)) for n in range(3)]
children += [context.Process(target=go_through_made_before), context.Process(target=fail)]
for child in children:
    child.start()
for child in children:
    child.join()
with context.Pool(2) as pool:  # which kills its workers at the end
    assert pool.map(count, ["pool-1", "pool-2"]) == [5, 5]
pid = os.fork()
if pid == 0:
    count("bare")
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_loops_of_forked_children_end_as_they_did(session: Session) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    states = {task.task_id: task.state for task in session.tasks()}
    assert states.pop("failing") is State.FAILED
    assert session.task("failing").read().progress.error == "ZeroDivisionError: division by zero"
    names = {"parent", "made-before", "pool-1", "pool-2", "bare", *(f"child-{n}" for n in range(3))}
    assert states == dict.fromkeys(names, State.COMPLETED)
