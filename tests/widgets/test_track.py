"""A loop that reports itself: what it counts and logs, and what of it is shown."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syncmon_ext.model.state import State
from syncmon_widgets import LoopHandler, track
from syncmon_widgets import reporter as reporters
from syncmon_widgets.client import Client
from syncmon_widgets.discovery import Server
from syncmon_widgets.session import Session, open_line
from tests.api.conftest import make_server
from tests.server import JupyterServer
from tests.widgets.conftest import Settle, messages, until


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
