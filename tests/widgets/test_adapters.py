"""tqdm's bars, dlt's pipelines and futures as tasks."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.state import State
from syncmon_widgets import TaskStopped
from syncmon_widgets.futures import track_futures
from syncmon_widgets.session import Session
from tests.widgets.conftest import until

Settle = Callable[[], None]


@pytest.fixture
def bar() -> Any:
    """The drop-in, which draws into nothing here."""
    pytest.importorskip("tqdm")
    from syncmon_widgets.auto import tqdm

    def make(*args: Any, **kwargs: Any) -> Any:
        return tqdm(*args, file=io.StringIO(), **kwargs)

    return make


def test_bar_is_drawn_and_is_a_task(session: Session, settled: Settle) -> None:
    pytest.importorskip("tqdm")
    from syncmon_widgets.auto import tqdm, trange

    drawn = io.StringIO()
    assert list(tqdm(range(5), desc="cleaning", file=drawn, ncols=60, mininterval=0)) == [*range(5)]
    assert "cleaning: 100%" in drawn.getvalue()
    for _ in trange(2, 6, desc="ranged", file=io.StringIO(), leave=False):
        pass
    settled()
    done = [(t.task_id, t.state, t.read().progress.rows_committed) for t in session.tasks()]
    assert done == [("cleaning", State.COMPLETED, 5), ("ranged", State.COMPLETED, 4)]


@pytest.mark.parametrize("first", ["", "import syncmon_widgets.auto, syncmon_widgets.bar\n"])
def test_bar_is_imported_from_the_package(session: Session, first: str) -> None:
    pytest.importorskip("tqdm")
    program = f"{first}from syncmon_widgets import tqdm, trange\n"
    program += "assert [*tqdm(range(5), desc='natural')] == [*trange(5, desc='ranged')]"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    states = {task.task_id: task.state for task in session.tasks()}
    assert states == dict.fromkeys(("natural", "ranged"), State.COMPLETED)


def test_bar_s_updates_note_and_total(session: Session, settled: Settle, bar: Any) -> None:
    with bar(desc="training", total=10, initial=2, mininterval=0) as one:
        one.set_postfix(loss=0.5)
        one.update(3)
        assert one._run.note == "training, loss=0.5"
        one.total = 20
        one.refresh()
    settled()
    seen = session.task("training").read().progress
    assert (seen.state, seen.rows_committed, seen.rows_total) == (State.COMPLETED, 5, 5)
    assert session.task("training").logs()["message"].iloc[-1] == (
        "completed: 5 iterations of 20: the loop was left"
    )


def test_bar_that_is_set_by_hand_or_in_fractions(
    session: Session, settled: Settle, bar: Any
) -> None:
    with bar(desc="set", total=10) as one:
        one.n = 4
        one.refresh()
        until(lambda: [t.read().progress.rows_committed for t in session.tasks()] == [4])
        for _ in range(6):
            one.update(0.5)
        assert one._run.done == 7
        one.reset()
        one.update(10)
    settled()
    seen = session.task("set").read().progress
    assert (seen.state, seen.rows_committed) == (State.COMPLETED, 10)


def test_bar_that_fails_or_is_left(session: Session, settled: Settle, bar: Any) -> None:
    with pytest.raises(ValueError, match="no luck"), bar(desc="with", total=3):
        raise ValueError("no luck")
    with pytest.raises(ZeroDivisionError):
        for number in bar([1, 0], desc="for"):
            1 / number
    for number in bar([1, 0], desc="left"):
        if number:
            break
    assert list(bar([1, 2], desc="off", disable=True)) == [1, 2]
    settled()
    states = {task.task_id: task.state for task in session.tasks()}
    assert states == {"with": State.FAILED, "for": State.FAILED, "left": State.COMPLETED}


def test_bar_is_stopped(session: Session, bar: Any) -> None:
    threading.Thread(
        target=lambda: until(lambda: session.tasks() and session.task("bar")).stop()
    ).start()
    with pytest.raises(TaskStopped):
        for _ in bar(range(100_000), desc="bar"):
            time.sleep(0.005)
    assert until(lambda: session.task("bar").state is State.STOPPED)


def test_futures_are_counted_and_fail(session: Session, settled: Settle) -> None:
    with ThreadPoolExecutor(2) as pool:
        track_futures([pool.submit(pow, 2, n) for n in range(20)], "powers")
        track_futures([pool.submit(divmod, 1, n) for n in range(3)], "divided")
        track_futures([], "none")
    settled()
    assert session.task("powers").read().progress.rows_committed == 20
    assert session.task("none").state is State.COMPLETED
    assert session.task("divided").read().progress.error == (
        "ZeroDivisionError: integer division or modulo by zero"
    )


def test_stop_cancels_futures(session: Session) -> None:
    started = threading.Event()

    def work() -> None:
        started.set()
        time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(work) for _ in range(10_000)]
        track_futures(futures, "slow")
        task = until(lambda: session.tasks() and session.task("slow"))
        task.pause()
        until(lambda: "cannot be held" in " ".join(task.logs()["message"]))
        task.stop()
        assert until(lambda: task.state is State.STOPPED)
    assert sum(future.cancelled() for future in futures) > 5_000


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_dask_s_futures(session: Session, settled: Settle) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.Client(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as client:
        futures = client.map(lambda n: n * n, range(30))
        track_futures(futures, "squares")
        assert client.gather(futures)[5] == 25
        until(lambda: session.tasks() and session.task("squares").state is State.COMPLETED)
    assert session.task("squares").read().progress.rows_committed == 30


@pytest.mark.filterwarnings("ignore")  # dlt and what it imports warn about each other
def test_dlt_s_steps(session: Session, settled: Settle, tmp_path: Path, monkeypatch: Any) -> None:
    dlt = pytest.importorskip("dlt")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    from syncmon_widgets.dlt import DltProgress

    pipeline = dlt.pipeline(
        "chinook",
        destination=dlt.destinations.filesystem(str(tmp_path / "lake")),
        dataset_name="music",
        pipelines_dir=str(tmp_path / "pipelines"),
        progress=DltProgress("chinook"),
    )
    pipeline.run([{"id": n} for n in range(50)], table_name="tracks")
    settled()
    done = {task.task_id: task.read().progress for task in session.tasks()}
    assert set(done) == {"chinook-extract", "chinook-normalize", "chinook-load"}
    assert {progress.state for progress in done.values()} == {State.COMPLETED}
    assert done["chinook-load"].rows_committed >= 1
    assert "tracks: 50 rows" in set(session.task("chinook-extract").logs()["message"])
