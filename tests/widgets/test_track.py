from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syncmon_ext.model.loop import Phase
from syncmon_ext.model.state import State
from syncmon_widgets import LoopHandler, track
from syncmon_widgets import reporter as reporters
from syncmon_widgets.client import Client
from syncmon_widgets.discovery import Server
from syncmon_widgets.session import Session, open_line
from tests.api.conftest import make_server
from tests.server import JupyterServer
from tests.widgets.conftest import until

Settle = Callable[[], None]


def messages(session: Session, task_id: str) -> list[tuple[str, str]]:
    logs = session.task(task_id).logs()
    return list(zip(logs["level"], logs["message"], strict=True))


def test_items_pass_unchanged(session: Session, settled: Settle) -> None:
    assert list(track([3, "a", None], "cleaning")) == [3, "a", None]
    assert list(track(iter([]), "empty")) == []
    settled()
    seen = session.task("cleaning").read()
    assert (seen.kind, seen.state) == ("loop", State.COMPLETED)
    assert (seen.progress.rows_committed, seen.progress.rows_total) == (3, 3)
    assert session.task("empty").read().progress.rows_committed == 0


def test_length_is_that_of_the_iterable() -> None:
    assert len(track(range(7), "a")) == 7
    assert len(track(iter(range(7)), "a")) == 7
    assert len(track((x for x in ()), "a", total=3)) == 3
    with pytest.raises(TypeError, match="unknown"):
        len(track((x for x in ()), "a"))
    with pytest.raises(ValueError, match="empty"):
        track([1], " ")
    with pytest.raises(ValueError, match="total"):
        track("a", total=-1)


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


def test_an_update_that_was_kept_counts_for_the_present_run(
    session: Session, settled: Settle
) -> None:
    loop = track("training", total=4)
    with pytest.raises(RuntimeError, match="has not begun"):
        loop.update()
    early = loop.update
    with loop:
        kept = loop.update
        kept()
        early(2)
    assert loop.done == 3
    with loop:
        kept(4)
    settled()
    assert (loop.done, kept) == (4, loop.update)
    assert list(session.task("training").runs()["rows_committed"]) == [4, 3]


def test_updates_from_many_threads_are_all_counted(session: Session, settled: Settle) -> None:
    def work() -> None:
        for _ in range(20_000):
            loop.update()
            run.add(1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        with track("threads") as loop:
            run = loop.run
            assert run is not None
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert loop.done == 160_000
    finally:
        sys.setswitchinterval(interval)
    settled()
    assert session.task("threads").read().progress.rows_committed == 160_000


def test_iterating_again_is_another_run(session: Session, settled: Settle) -> None:
    loop = track([1, 2], "cleaning")
    assert list(loop) == list(loop) == [1, 2]
    settled()
    assert len(session.task("cleaning").runs()) == 2


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


def test_short_loops_inside_another_are_not_shown(session: Session, settled: Settle) -> None:
    for _ in track(range(50), "outer"):
        for _ in track(range(20), "inner"):
            pass
    settled()
    assert [task.task_id for task in session.tasks()] == ["outer"]


def test_long_loop_inside_another_is_shown(session: Session, settled: Settle) -> None:
    for _ in track(range(2), "outer"):
        for _ in track(range(8), "inner"):
            time.sleep(0.1)
    settled()
    assert [task.task_id for task in session.tasks()] == ["inner", "outer"]
    assert len(session.task("inner").runs()) == 2


def test_log_records_go_to_the_innermost_loop(session: Session, settled: Settle) -> None:
    logger = logging.Logger("etl")
    logger.addHandler(LoopHandler())
    logger.warning("outside any loop")
    for number in track(range(2), "cleaning"):
        logger.error("row %d is odd\x1b[0m", number)
        logger.debug("not wanted")
    settled()
    assert messages(session, "cleaning")[1:3] == [
        ("error", "row 0 is odd"),
        ("error", "row 1 is odd"),
    ]


def test_many_entries_arrive_whole_and_in_order(session: Session, settled: Settle) -> None:
    with track("chatty") as loop:
        for number in range(3_000):
            loop.log(f"line {number} " + "ü" * (5_000 if number % 500 == 0 else 0))
    settled()
    said = [m.split(" ")[1] for _, m in messages(session, "chatty") if m.startswith("line")]
    assert said == [str(number) for number in range(3_000)]


def test_loop_without_store_runs_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from syncmon_ext.model.errors import InvalidConfig
    from syncmon_widgets import reporter as reporters

    def nowhere() -> Any:
        raise InvalidConfig("there is no such place")

    mine = reporters.Reporter(nowhere)
    monkeypatch.setattr(reporters, "_reporter", mine)
    assert list(track(range(3), "cleaning")) == [0, 1, 2]
    until(lambda: not mine._known and not mine._new)
    assert "there is no such place" in caplog.text
    mine.close()


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


def test_numbers_of_numpy_and_fractions_count(session: Session, settled: Settle) -> None:
    with track("numpy", total=np.int64(300)) as loop:
        for _ in range(3):
            loop.update(np.int8(100))  # a sum of these alone would overflow
        for _ in range(10):
            loop.update(0.1)
        loop.note(np.str_("at the end"))
        loop.log(np.float64(0.5))
        assert loop.done == 301
    with track("float", total=10.0) as loop:
        loop.update(np.float32(2.5))
    for _ in track(iter([1, 2]), "tracked", total=np.float64(2)):
        pass
    settled()
    seen = {task.task_id: task.read().progress for task in session.tasks()}
    assert {progress.state for progress in seen.values()} == {State.COMPLETED}
    assert {name: progress.rows_committed for name, progress in seen.items()} == {
        "numpy": 301,
        "float": 2,
        "tracked": 2,
    }
    assert ("info", "0.5") in messages(session, "numpy")


def test_what_is_no_number_is_refused_where_it_is_given(session: Session) -> None:
    with track("odd") as loop:
        for value in ("3", [1], float("nan"), np.array([1, 2])):
            with pytest.raises((TypeError, ValueError), match="number of iterations"):
                loop.update(value)
        assert loop.done == 0
    for total in ("10", float("nan"), -1):
        with pytest.raises((TypeError, ValueError), match="number of iterations"):
            track("odd", total=total)
    assert track("endless", total=float("inf")).total is None
    with pytest.raises(TypeError, match="name of a loop"):
        track([1], 5)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("note", [object(), "n" * 300], ids=["unencodable", "refused"])
def test_loop_that_cannot_report_does_not_stay_running(
    server: JupyterServer, monkeypatch: pytest.MonkeyPatch, note: Any
) -> None:
    line = Client(Server(url=server.url, token=server.token))
    mine = reporters.Reporter(lambda: line)
    monkeypatch.setattr(reporters, "_reporter", mine)
    name = f"mute-{type(note).__name__}"
    with track(name, total=10) as loop:
        until(lambda: loop.task_id)
        loop.update(4)
        assert loop.run is not None
        loop.run.note = note  # the loop's own doing, past note()
        until(lambda: line.progress(name).state is State.FAILED)
        loop.update()
    seen = line.progress(name)
    assert seen.error is not None
    assert "could not report any more" in seen.error
    assert seen.rows_committed >= 4
    mine.close()
    line.close()


def test_loop_finds_its_server_again_behind_another_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_server(tmp_path / "server") as server:
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(server.runtime))
        monkeypatch.delenv("SYNCMON_STORE", raising=False)
        mine = reporters.Reporter(open_line)
        monkeypatch.setattr(reporters, "_reporter", mine)
        with track("long", total=10) as loop:
            until(lambda: loop.task_id)
            server.stop()
            server.token = "another"
            server.start()
            loop.update(10)
        mine.close()
        assert mine._line is not None
        mine._line.close()
        with server.client() as api:
            assert api.get("tasks/long/progress").json()["state"] == "completed"


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
